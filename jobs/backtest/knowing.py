"""What was known at an origin, read from the courses of units as known then. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from features.targets import Named
from jobs.backtest.known import Known
from jobs.backtest.walk import Key
from serving.forecast import amounts, groups, learning, person, standing
from serving.forecast.funnels import DAY
from serving.forecast.tested import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from serving.forecast.person import Person
    from serving.forecast.units import Course

WON, VALUE = "won", "value_cents"
MEASURES = (WON, VALUE)
SLICED = ("segment", "team")  # dimensions whose values are series of their own
CHANCE = Named(kind="opportunity", names=("probability_changed",))
PPM = 1_000_000
PERIOD, YEAR = {1: 28, 7: 13}, {1: 364, 7: 52}  # steps, by days of a step


class Calendar(NamedTuple):
    """How steps make periods."""

    period: int
    year: int
    into: int  # steps of the current period that have passed


class Series(NamedTuple):
    """Units that are forecast together."""

    name: str
    units: np.ndarray  # bool [units]


def series(course: Course) -> Iterator[Series]:
    """Give all units, then those of each segment and team, as known at the time of the course."""
    every = np.arange(len(course.names))
    yield Series(ALL, np.ones(len(every), bool))
    now = np.full(len(every), course.at)
    for dimension, what in zip(SLICED, course.funnel.told[:2], strict=True):
        told = groups.told(course, what)
        code = told.at(every, now)
        for place, word in enumerate(told.words):
            if what is not None and word:
                yield Series(f"{dimension}={word}", code == place)


def known(course: Course) -> Mapping[Key, Known]:
    """Return what the simple forecasts need, of every series and measure."""
    rows = person.table(course)
    every = _Units.of(course, rows)
    calendar = _calendar(course)
    return {
        Key(each.name, measure): every.known(each.units, measure, calendar)
        for each in series(course)
        for measure in measures(course)
    }


def measures(course: Course) -> tuple[str, ...]:
    """Return what can be forecast: value only where a funnel tells amounts."""
    worth = amounts.deals(course)
    has_value = bool((np.maximum(worth.cents, worth.won) > 0).any())
    return MEASURES if has_value else MEASURES[:1]


def won(course: Course) -> tuple[np.ndarray, np.ndarray]:
    """Return when each unit was won, log.NEVER-like far away where it was not, and for how much:
    int64 microseconds, float64 cents.
    """
    state, entered = standing.states(course.moves, course.at, course.funnel.won_state)
    is_won = state == course.funnel.won_state
    worth = amounts.deals(course)
    cents = np.where(worth.won > 0, worth.won, np.maximum(worth.cents, 0)).astype(float)
    return np.where(is_won, entered, np.iinfo(np.int64).max), np.where(is_won, cents, 0.0)


class _Units(NamedTuple):
    """The rows of open units at the beginnings of steps, and the wins of steps."""

    course: Course
    steps: int
    frame: pd.DataFrame  # columns of Known, and unit, cents, cents_won
    unit_won: np.ndarray  # int64, units won in a step
    step_won: np.ndarray  # int64, that step
    cents_won: np.ndarray  # float64

    @classmethod
    def of(cls, course: Course, rows: Person) -> _Units:
        steps, state = len(rows.bounds) - 1, course.funnel.won_state
        is_win = rows.then == state
        cents = won(course)[1]
        step_of = np.full(len(course.names), -1)
        step_of[rows.unit[is_win]] = rows.step[is_win]
        frame = pd.concat([_then(course, rows), _now(course, steps)], ignore_index=True)
        unit = frame["unit"].to_numpy()
        ahead = np.where(step_of[unit] >= 0, step_of[unit] + 1 - (steps - frame["back"]), np.nan)
        frame["won_in"] = np.where(ahead > 0, ahead, np.nan)
        frame["cents_won"] = np.where(ahead > 0, cents[unit], np.nan)
        return cls(
            course=course,
            steps=steps,
            frame=frame,
            unit_won=rows.unit[is_win],
            step_won=rows.step[is_win],
            cents_won=cents[rows.unit[is_win]],
        )

    def known(self, units: np.ndarray, measure: str, calendar: Calendar) -> Known:
        mine, is_count = units[self.unit_won], measure == WON
        worth = np.ones(len(self.unit_won)) if is_count else self.cents_won
        won = np.bincount(self.step_won[mine], worth[mine], minlength=self.steps)
        frame = self.frame[units[self.frame["unit"].to_numpy()]]
        ones = pd.Series(1.0, frame.index)
        amount, own = (ones, ones) if is_count else (frame["cents"], frame["cents_won"])
        return Known(
            won=won.astype(float),
            units=frame.assign(amount=amount, won_amount=own.where(frame["won_in"].notna())),
            period=calendar.period,
            year=calendar.year,
            into=calendar.into,
            is_count=is_count,
        )


def _then(course: Course, rows: Person) -> pd.DataFrame:
    """Return the units open at the beginnings of steps, as known then."""
    open_at = ~rows.is_first
    unit, moment = rows.unit[open_at], rows.bounds[rows.step[open_at]]
    back = len(rows.bounds) - 1 - rows.step[open_at]
    return _frame(course, unit, moment, rows.stage[open_at]).assign(back=back)


def _now(course: Course, steps: int) -> pd.DataFrame:
    """Return the units open at the origin."""
    unit = learning.opened(course)
    stage, _ = standing.states(course.moves, course.at, course.funnel.won_state)
    now = np.full(len(unit), course.at)
    return _frame(course, unit, now, stage[unit]).assign(back=np.zeros(len(unit), np.int64))


def _frame(course: Course, unit: np.ndarray, moment: np.ndarray, stage: np.ndarray) -> pd.DataFrame:
    cents = standing.latest(course.numbers(course.funnel.amount), unit, moment)
    chance = standing.latest(course.numbers((CHANCE,)), unit, moment)
    day = standing.latest(course.numbers(course.funnel.close_day), unit, moment)
    closes_in = np.floor((day * DAY - moment) / course.funnel.step) + 1.0
    return pd.DataFrame(
        {
            "unit": unit,
            "stage": stage,
            "cents": np.maximum(cents, 0).astype(float),
            "chance": np.where(chance >= 0, chance / PPM, np.nan),
            "closes_in": np.where(day >= 0, np.maximum(closes_in, 1.0), np.nan),
        }
    )


def _calendar(course: Course) -> Calendar:
    days = course.funnel.step_days
    period = PERIOD[days]
    return Calendar(period=period, year=YEAR[days], into=course.at // course.funnel.step % period)
