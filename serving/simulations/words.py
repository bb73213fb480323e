"""Why a simulation is not started, shown or stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cluster.errors import Refusal


class Wrong(Refusal):
    """What is asked cannot be simulated (HTTP 422)."""

    @classmethod
    def of(cls, line: str) -> Self:
        """Return a line that says all of it."""
        return cls(rule=line, value="", remedy="")

    def __str__(self) -> str:
        return super().__str__() if self.value else self.rule


class NoSimulation(Refusal):
    """There is none of that id for the eyes of who asks (HTTP 404)."""


class NotStopped(Refusal):
    """It is over, or others wait for it too (HTTP 409)."""


class NoResult(Refusal):
    """It has no result yet, or will have none (HTTP 409)."""


@dataclass(frozen=True, kw_only=True)
class TooManySimulations(Refusal):
    """A planner has used up what is allowed, or too many wait (HTTP 429)."""

    again_s: int = 1  # seconds until asking again may help


class NoJobs(Refusal):
    """No cluster takes jobs now (HTTP 503)."""
