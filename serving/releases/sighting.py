"""What a judge sees of one decision, of one that was overridden, of one pair of scores, and of one
account that has matured. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """One decision that was made while a release ran."""

    account: str  # whom the lot was drawn for
    is_candidate: bool
    share: float  # of accounts that the candidate had then: the chance of the lot
    step: int
    at: datetime
    chance: float | None  # calibrated; None where no model answered
    bad: frozenset[str] = frozenset()  # names of the guards that it speaks to
    is_incident: bool = False  # one failure before it is why: it says nothing of this account

    @property
    def hourly(self) -> str:
        """The account in this hour."""
        return f"{self.at:%Y-%m-%dT%H} {self.account}"

    @property
    def in_arm(self) -> str:
        """The account as this arm saw it: of a mirrored decision both arms saw it."""
        return f"{int(self.is_candidate)} {self.account}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Overridden:
    """A decision that was made while a release ran, and that a person decided otherwise."""

    account: str
    is_candidate: bool
    share: float  # as the decision was made


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two scores of one lead at one time, and what became of it."""

    lead: str
    stable: float  # calibrated chances
    candidate: float
    outcome: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Matured:
    """An account that was decided about while a release ran, and whose outcome is known."""

    account: str
    is_candidate: bool
    share: float
    outcome: bool
