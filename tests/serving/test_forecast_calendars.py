"""Working calendars: contacts of a desk by step, less holidays and absences."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from serving.forecast.calendars import Absence, Calendar, capacity

MONDAY = date(2024, 4, 29)  # 1 May 2024 is a Wednesday


def contacts(calendar: Calendar, days: int, steps: int) -> list[int]:
    return capacity([calendar], MONDAY, days_per_step=days, steps=steps)[0].tolist()


def test_a_week_has_five_working_days() -> None:
    assert contacts(Calendar(reps=3, contacts_per_day=10), 7, 3) == [150, 150, 150]


def test_a_weekend_has_none() -> None:
    assert contacts(Calendar(reps=1, contacts_per_day=10), 1, 8) == [10] * 5 + [0, 0, 10]


def test_holidays_and_absences_are_taken_off() -> None:
    away = Absence(first=date(2024, 5, 2), last=date(2024, 5, 6), reps=2)
    calendar = Calendar(
        reps=3, contacts_per_day=10, holidays=frozenset({date(2024, 5, 1)}), absences=(away,)
    )
    assert contacts(calendar, 1, 10) == [30, 30, 0, 10, 10, 0, 0, 10, 30, 30]
    assert contacts(calendar, 7, 2) == [80, 130]


def test_more_away_than_there_are_leaves_none() -> None:
    away = Absence(first=MONDAY, last=MONDAY, reps=9)
    assert contacts(Calendar(reps=2, contacts_per_day=5, absences=(away,)), 1, 2) == [0, 10]


def test_a_fraction_counts_in_the_next_step() -> None:
    assert contacts(Calendar(reps=1, contacts_per_day=Fraction(5, 2)), 1, 5) == [2, 3, 2, 3, 2]
    third = Calendar(reps=1, contacts_per_day=Fraction(1, 3), weekdays=frozenset(range(7)))
    assert sum(contacts(third, 1, 300)) == 100


def test_each_desk_has_its_row() -> None:
    desks = [Calendar(reps=1, contacts_per_day=1), Calendar(reps=0, contacts_per_day=1)]
    assert capacity(desks, MONDAY, days_per_step=7, steps=2).tolist() == [[5, 5], [0, 0]]
    assert capacity([], MONDAY, days_per_step=7, steps=2).shape == (0, 2)


def test_less_than_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 0 or more, got -1 and 3"):
        Calendar(reps=-1, contacts_per_day=3)
