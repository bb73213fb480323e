"""Which runner a job uses, Ray or this process: both run the same kernel, with the same result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cluster import session
from cluster.errors import WrongUse, nearest

if TYPE_CHECKING:
    from cluster.settings import Settings

type Runner = Literal["ray", "inline"]
CHOICES = ("auto", "ray", "inline")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A runner and why it was taken."""

    runner: Runner
    reason: str

    def __str__(self) -> str:
        return f"{self.runner} ({self.reason})"


def choose(asked: str, rows: int, settings: Settings) -> Choice:
    """Return the runner asked for, or for `auto` the one that fits the size of the input."""
    if asked not in CHOICES:
        raise WrongUse(
            f"runner must be one of {', '.join(CHOICES)}, got '{asked}': {nearest(asked, CHOICES)}"
        )
    if asked == "ray":
        return Choice(runner="ray", reason="asked for")
    if asked == "inline":
        return Choice(runner="inline", reason="asked for")
    if session.is_connected() and rows >= settings.ray_from_rows // 10:
        return Choice(runner="ray", reason=f"{rows:,} rows and a session is there")
    if rows >= settings.ray_from_rows:
        return Choice(runner="ray", reason=f"{rows:,} rows, from {settings.ray_from_rows:,} on")
    return Choice(runner="inline", reason=f"{rows:,} rows, below {settings.ray_from_rows:,}")
