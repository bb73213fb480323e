"""The grid of a past: at which moments is scored, and which model of its time scores each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The moments that one model scores, none before that at which it was taught."""

    cut: datetime  # the model is taught what was known then, and nothing later
    moments: tuple[datetime, ...]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Moments from `first` to `last`, and when a newer model takes over.

    What comes later only adds moments: the grid does not move with its end.
    """

    first: datetime
    last: datetime
    every: timedelta
    retrain: timedelta

    def __post_init__(self) -> None:
        if self.every <= timedelta(0) or self.retrain < self.every:
            raise ValueError(f"0 < every <= retrain must hold, got {self.every}, {self.retrain}")

    @property
    def moments(self) -> tuple[datetime, ...]:
        """All moments."""
        count = max(0, (self.last - self.first) // self.every + 1)
        return tuple(self.first + number * self.every for number in range(count))

    @property
    def stretches(self) -> Iterator[Stretch]:
        """The moments by model, oldest first; before the first model nothing is scored."""
        cut = self.first + self.retrain
        while cut <= self.last:
            until = cut + self.retrain
            mine = tuple(moment for moment in self.moments if cut <= moment < until)
            yield Stretch(cut=cut, moments=mine)
            cut = until

    def learnt_from(self, days: float) -> frozenset[datetime]:
        """Return the moments to learn from that lie about so many days apart: all rows of a unit
        are alike.
        """
        apart = max(1, round(timedelta(days=days) / self.every))
        return frozenset(self.moments[::apart])


def midnight(moment: datetime) -> datetime:
    """Return the first midnight of UTC at or after a moment.

    >>> midnight(datetime(2026, 3, 1, 9, tzinfo=UTC)).isoformat()
    '2026-03-02T00:00:00+00:00'
    """
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day if day == moment else day + timedelta(days=1)
