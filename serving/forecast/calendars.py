"""Working calendars: how many contacts each desk can make in each step.

Reps x contacts per rep and day x working days of the step, less holidays and those who are away. A
fraction of a contact is not lost at the end of a step: it counts in the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MONDAY_TO_FRIDAY = frozenset(range(5))


@dataclass(frozen=True, kw_only=True)
class Absence:
    """Reps of a desk who are away, on both days and all between; below 0, who join it."""

    first: date
    last: date
    reps: int = 1


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """When a desk works and what it can do on a day."""

    reps: int
    contacts_per_day: Fraction | int  # of one rep
    weekdays: frozenset[int] = MONDAY_TO_FRIDAY  # Monday is 0
    holidays: frozenset[date] = frozenset()
    absences: tuple[Absence, ...] = ()

    def __post_init__(self) -> None:
        if self.reps < 0 or self.contacts_per_day < 0:
            raise ValueError(
                "reps and contacts per day must be 0 or more, "
                f"got {self.reps} and {self.contacts_per_day}"
            )

    def reps_on(self, day: date) -> int:
        """Return how many reps work on a day; more away than there are leaves none."""
        if day.weekday() not in self.weekdays or day in self.holidays:
            return 0
        away = sum(each.reps for each in self.absences if each.first <= day <= each.last)
        return max(0, self.reps - away)


def capacity(
    calendars: Sequence[Calendar], first: date, *, days_per_step: int, steps: int
) -> np.ndarray:
    """Return contacts, int64 [desks, steps]; step 0 begins on the day `first`."""
    rows = [list(_contacts(each, first, days_per_step, steps)) for each in calendars]
    return np.array(rows, np.int64).reshape(len(calendars), steps)


def _contacts(calendar: Calendar, first: date, days: int, steps: int) -> Iterator[int]:
    whole, done = [0], Fraction(0)
    for step in range(steps):
        of_step = (first + timedelta(days=step * days + day) for day in range(days))
        done += sum(map(calendar.reps_on, of_step)) * Fraction(calendar.contacts_per_day)
        whole.append(math.floor(done))
    return (after - before for before, after in pairwise(whole))
