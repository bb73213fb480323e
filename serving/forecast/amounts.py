"""Amounts: what deals of unknown amount are worth, how amounts change till they are won, and by how
many days closings come after the day that was expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from features import log
from serving.forecast import standing
from serving.forecast.funnels import DAY

if TYPE_CHECKING:
    from serving.forecast.units import Course

UNKNOWN = -1
LEAST = 2
LEAST_WON = 20  # from so many on, new deals are worth what won deals were, else what all deals were
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class LogNormal(NamedTuple):
    """Mean and sd of logs, and from how many; 0 for a number that is not in doubt."""

    mean: float
    sd: float
    seen: int


class Deals(NamedTuple):
    """What was known of the worth of units at T, one element each; cents, -1 where unknown."""

    cents: np.ndarray  # int64, expected; that of a won one: expected when it was won
    won: np.ndarray  # int64, told with the win
    is_won: np.ndarray  # bool


def deals(course: Course) -> Deals:
    """Return the worth of every unit."""
    every = np.arange(len(course.names))
    state, entered = standing.states(course.moves, course.at, course.funnel.won_state)
    is_won = state == course.funnel.won_state
    at = np.where(is_won, np.maximum(entered, 0), course.at)
    expected = standing.latest(course.numbers(course.funnel.amount), every, at)
    told = standing.latest(course.numbers(course.funnel.won), every, np.full(len(every), course.at))
    return Deals(cents=expected, won=np.where(is_won, told, UNKNOWN), is_won=is_won)


def unknown(worth: Deals) -> LogNormal | int:
    """Return what a deal of unknown amount is worth when it is won; how many deals have an amount
    where those are too few to say.
    """
    final = np.where(worth.won > 0, worth.won, worth.cents)
    won = final[worth.is_won & (final > 0)]
    chosen = won if len(won) >= LEAST_WON else final[final > 0]
    return _log_normal(chosen.astype(float)) if len(chosen) >= LEAST else len(chosen)


def revised(worth: Deals) -> LogNormal:
    """Return cents won to cents known before; nothing changes where that is not told."""
    both = (worth.won > 0) & (worth.cents > 0)
    ratio = worth.won[both] / worth.cents[both]
    return _log_normal(ratio) if len(ratio) >= LEAST_WON else LogNormal(0.0, 0.0, 0)


def sample(found: LogNormal, rng: np.random.Generator) -> np.ndarray:
    """Draw mean and sd from the normal-inverse-gamma posterior of a flat prior: float64 [2]."""
    if not found.seen:
        return np.array([found.mean, found.sd])
    free = found.seen - 1
    sd = found.sd * np.sqrt(free / rng.chisquare(free))
    return np.array([found.mean + sd / np.sqrt(found.seen) * rng.standard_normal(), sd])


def slippage(course: Course) -> pd.DataFrame | None:
    """Return by how many days deals end after the day that was expected first, and last: one row
    each, with the number of deals, the share ended, and quantiles; None without any such day.

    Deals still open are known only to end later (Kaplan, Meier, JASA 53, 1958); a quantile that
    nothing tells is NaN.
    """
    expected = course.numbers(course.funnel.close_day)
    if not len(expected.said):
        return None
    state, entered = standing.states(course.moves, course.at, course.funnel.won_state)
    ended = state >= course.funnel.won_state
    day = np.where(ended, entered, course.at) / DAY
    units = np.flatnonzero((np.diff(expected.begins) > 0) & (state >= 0))
    rows = []
    for which, moment in (("first", _first(expected)[units]), ("last", day[units] * DAY)):
        said = standing.latest(expected, units, moment.astype(np.int64))
        there = said >= 0
        late, is_end = (day[units] - said)[there], ended[units][there]
        row = {"expected": which, "deals": len(late), "ended": float(is_end.mean())}
        rows.append(row | {f"q{int(100 * q):02d}": v for q, v in _quantiles(late, is_end).items()})
    return pd.DataFrame(rows)


def contacts_felt(course: Course) -> np.ndarray:
    """Return how many contacts each unit still feels at T, as they fade: float64 [units]."""
    felt = np.zeros(len(course.names))
    said = course.funnel.contacts
    if said is None:
        return felt
    places = course.told(said.events)
    places = places[course.replaced[places] == log.NEVER]
    rows = course.events.take(pa.array(places))
    time = log.microseconds(rows["event_time"])
    unit = course.units(places)
    # who is in the control arm of an experiment was not contacted
    is_treated = rows["text"].to_numpy(zero_copy_only=False) != "control"
    counts = (unit >= 0) & (time < course.at) & is_treated
    faded = 0.5 ** ((course.at - time[counts]) / (said.half_life_days * DAY))
    np.add.at(felt, unit[counts], faded)
    return felt


def _first(of: standing.Versions) -> np.ndarray:
    """Return when anything first stood of each key; log.NEVER for nothing."""
    first = np.full(len(of.begins) - 1, log.NEVER)
    key = np.repeat(np.arange(len(first)), np.diff(of.begins))
    np.minimum.at(first, key, of.holds)
    return first


def _quantiles(time: np.ndarray, is_end: np.ndarray) -> dict[float, float]:
    order = np.lexsort((~is_end, time))
    time, is_end = time[order], is_end[order]
    at_risk = len(time) - np.arange(len(time))
    survive = np.cumprod(np.where(is_end, 1.0 - 1.0 / at_risk, 1.0))
    place = {q: np.flatnonzero(survive <= 1.0 - q + 1e-12) for q in QUANTILES}
    return {q: float(time[at[0]]) if len(at) else float("nan") for q, at in place.items()}


def _log_normal(values: np.ndarray) -> LogNormal:
    logs = np.log(values)
    return LogNormal(float(logs.mean()), float(logs.std(ddof=1)), len(logs))
