"""Swings: how far the chances of a person-period table go together, known beforehand or by chance.

Tilts are of days of the week, shocks of any step; see tilts and shocks for how they are estimated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import moves, seasons
from serving.forecast import tilts as tilting
from serving.forecast.funnels import banded
from serving.forecast.shocks import shock_sd

if TYPE_CHECKING:
    from serving.forecast.groups import Property
    from serving.forecast.person import Person
    from serving.forecast.units import Course


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


def _days(begins: np.ndarray, step: int) -> np.ndarray:
    """Return the day of the week in the middle of steps, 0 for a Monday."""
    return np.asarray(seasons.weekday(begins + step // 2))
