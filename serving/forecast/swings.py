"""Swings: how far the chances of a person-period table go together, known beforehand or by chance.

Tilts are of days of the week, shocks of any step, levels what lasts of those of all; see tilts,
shocks, readings and levels for how they are estimated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast import levels, moves, readings, seasons
from serving.forecast import tilts as tilting
from serving.forecast.funnels import banded
from serving.forecast.levels import Level, Readings
from serving.forecast.shocks import shock_sd

if TYPE_CHECKING:
    from serving.forecast.groups import Property
    from serving.forecast.person import Person
    from serving.forecast.units import Course

_LEAST = 1e-12  # that a step counts, so that they have an average where all else is empty


class Swings(NamedTuple):
    """What is learnt of them, and what the calendar says of the steps to come."""

    tilts: np.ndarray  # float64 [stages, DAYS], see tilts
    tilt: np.ndarray  # float64 [steps to come, stages], what days and the quarter add to log odds
    shock_sd: np.ndarray  # float64 [1 + segments], of single steps
    shock_variance: float  # of all that units share in history, on the average unit-step
    level: Level
    calendar: np.ndarray  # float64 [steps to come, effects], what the level depends on


def fit(
    course: Course,
    rows: Person,
    learnt: tuple[np.ndarray, np.ndarray, np.ndarray],
    segment: Property,
    steps: int,
) -> Swings:
    """Estimate all, so many steps ahead; `learnt` has the stratum of each row, the weights of the
    chances (see moves), and what each row counts.
    """
    stratum, weights, faded = learnt
    usual = average(rows, stratum, weights)
    week = tilts(rows, usual)
    sd, variance = shocks(rows, usual, week, segment, faded)
    past = len(rows.bounds) - 1
    columns = against_usual(_columns(rows, steps), _counts(rows, faded))
    level = levels.fit(_readings(rows, learnt, week, float(sd[0])), columns[1:past])
    sd[0] = levels.shock_sd(level)
    tilt = ahead(course, week, steps)
    tilt[:, -1] += (columns[past:, 1] - columns[past:, 0]) @ levels.effects(level)
    return Swings(week, tilt, sd, variance, level, columns[past:, 0])


def average(rows: Person, stratum: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the chance of each row to go forward in a whole step, on average."""
    band = banded(rows.funnel.band_of, rows.stayed)
    return np.asarray(moves.forward(moves.shares(weights))[stratum, rows.stage, band])


def tilts(rows: Person, average: np.ndarray) -> np.ndarray:
    """Return the tilts of the stages of a daily funnel, float64 [stages, DAYS]; 0 of any other."""
    found = np.zeros((len(rows.funnel.stages), tilting.DAYS))
    if rows.funnel.step_days != 1:
        return found
    day = _days(rows.bounds[rows.step], rows.funnel.step)
    for stage in range(len(found)):
        here = rows.stage == stage
        columns = (average, rows.exposure, rows.is_forward, day)
        found[stage] = tilting.fit(tilting.Rows(*(column[here] for column in columns)))
    return found


def shocks(
    rows: Person, average: np.ndarray, week: np.ndarray, segment: Property, faded: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the sds of the shocks of all and of each segment, float64 [1 + segments], beside the
    tilts, and the variance of both on the average unit-step; rows count as much as `faded` says.
    """
    if week.any():
        day = _days(rows.bounds[rows.step], rows.funnel.step)
        average = tilting.tilted(average, week[rows.stage], day)
    code = segment.at(rows.unit, rows.begins)
    expected = rows.exposure * average
    found = shock_sd(expected, rows.is_forward, rows.step, code, len(segment.words), fading=faded)
    weight = np.bincount(code, expected * (1.0 - expected), minlength=len(segment.words))
    own = float(weight @ found[1:] ** 2 / max(weight.sum(), 1e-12))
    return found, float(found[0] ** 2) + own


def ahead(course: Course, week: np.ndarray, steps: int) -> np.ndarray:
    """Return the tilts of the steps after T: float64 [steps, stages]."""
    step = course.funnel.step
    return np.asarray(week.T[_days(course.at + step * np.arange(steps), step)])


def _readings(
    rows: Person, learnt: tuple[np.ndarray, np.ndarray, np.ndarray], week: np.ndarray, sd: float
) -> Readings:
    """Return the readings of the whole steps; the sd is that of all that all share."""
    stratum, weights, faded = learnt
    chances = moves.without_shocks(moves.shares(weights), sd**2, week)
    tilt = week.T[_days(rows.bounds[:-1], rows.funnel.step)]
    counts = _counts(rows, faded)
    told = readings.centred(readings.read(rows, stratum, chances, tilt), sd**2, counts)
    return Readings(told.shift[1:], told.weight[1:])  # what there is begins within the first


def against_usual(columns: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return columns [steps, kinds, effects] less their average in the past steps, of which each
    counts so much, float64 [steps so far]. The chances of each kind are averages over all weeks, as
    readings are told against: what the end of a quarter adds is not in them a second time.
    """
    past = columns[1 : len(counts)]  # what there is begins within the first
    return np.asarray(columns - np.average(past, axis=0, weights=np.maximum(counts[1:], _LEAST)))


def _counts(rows: Person, faded: np.ndarray) -> np.ndarray:
    """Return what each step so far counts, float64 [steps], by what its rows do."""
    counts = np.zeros(len(rows.bounds) - 1)
    counts[rows.step] = faded
    return counts


def _columns(rows: Person, steps: int) -> np.ndarray:
    """Return what moves may depend on in all steps and those to come, [steps, kinds, effects]: the
    last stage has an effect of its own of the first column, the end of the quarter.
    """
    funnel, past = rows.funnel, len(rows.bounds) - 1
    middles = rows.bounds[0] + funnel.step // 2 + funnel.step * np.arange(past + steps)
    columns = seasons.swinging(middles, funnel.step_days, past * funnel.step_days)
    own = columns[:, : int(funnel.step_days != 1)]
    kinds = [np.concatenate([columns, each], axis=1) for each in (0.0 * own, own)]
    return np.stack(kinds, axis=1)


def _days(begins: np.ndarray, step: int) -> np.ndarray:
    """Return the day of the week in the middle of steps, 0 for a Monday."""
    return np.asarray(seasons.weekday(begins + step // 2))
