"""Formulas: from the whole numbers of a row to the value of a feature.

One function for one row, so that a batch and a single request run the same code. Each step is one
IEEE operation, which every machine rounds alike. Operands are int64, NONE where there is none.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from features.compute.measures import NONE

VALUE, REAL = 0, 1  # as it is: whole; the bits of a float
DIVIDED, RATE = 2, 3
HOURS, HOURS_SINCE, HOURS_IN, HOURS_IF, MEAN_HOURS, MEAN_GAP = 4, 5, 6, 7, 8, 9
DEVIATION, STREAK, SILENCE = 10, 11, 12
WHOLE = (VALUE, STREAK)  # formulas whose result is a whole number

HOUR, DAY, WEEK = 3_600_000_000, 86_400_000_000, 604_800_000_000  # microseconds
MONDAY = 3 * DAY  # 1970-01-01 was a Thursday: a week begins three days before it
WORKING = 5  # days of a week, from its beginning
FEWEST_PAUSES = 3
LEAST_PAUSE = 60.0  # minutes

type Ints = np.ndarray  # int64
type Reals = np.ndarray  # float64


@njit(cache=True, nogil=True)
def applied(formula: int, operands: Ints, constants: Reals, times: Ints) -> tuple[Reals, Ints]:
    """Return the value of a formula for each row, (rows,) float64 and int64: whichever it is of.

    `operands` is (operands, rows), `times` is T. NaN and NONE where there is no value.
    """
    reals = np.empty(times.size, np.float64)
    whole = np.full(times.size, NONE, np.int64)
    for row in range(times.size):
        reals[row], whole[row] = one(formula, operands[:, row], constants, times[row])
    return reals, whole


@njit(cache=True, nogil=True)
def one(formula: int, x: Ints, constants: Reals, at: int) -> tuple[float, int]:
    """Return the value of a formula for one row at T; see `applied`."""
    if formula == STREAK:
        return np.nan, _streak(x, int(constants[0]))
    if formula == DIVIDED:
        return (x[0] / x[1] if x[1] else np.nan), NONE
    if formula == RATE:
        return ((x[0] * constants[1]) / (x[1] * constants[0]) if x[1] else np.nan), NONE
    if formula == HOURS:
        return (x[0] / HOUR if x[0] != NONE else np.nan), NONE
    if formula == HOURS_SINCE:
        return ((at - x[0]) / HOUR if x[0] != NONE else np.nan), NONE
    if formula == HOURS_IF:
        return ((at - x[0]) / HOUR if x[1] == 1 else np.nan), NONE
    if formula == HOURS_IN:
        return _hours_in(x, at), NONE
    if formula == MEAN_HOURS:
        return (x[0] / x[1] / HOUR if x[1] else np.nan), NONE
    if formula == MEAN_GAP:
        return ((x[0] - x[1]) / (x[2] - 1) / HOUR if x[2] > 1 else np.nan), NONE
    if formula == DEVIATION:
        return (_deviation(x) / 60.0 if x[0] else np.nan), NONE
    return _silence(x, at), NONE


@njit(cache=True, nogil=True)
def _hours_in(x: Ints, at: int) -> float:
    if x[1] == NONE:
        return np.nan
    since = at - x[1] if x[2] == 1 else 0
    return float((x[0] + since) / HOUR)


@njit(cache=True, nogil=True)
def _deviation(x: Ints) -> float:
    """Return the standard deviation of a population by its size, sum and sum of squares."""
    spread = x[2] / x[0] - (x[1] / x[0]) * (x[1] / x[0])
    return math.sqrt(max(spread, 0.0))


@njit(cache=True, nogil=True)
def period(time: int, days: int) -> int:
    """Return the number of the day or week in which a moment lies."""
    shifted = time + (MONDAY if days == 7 else 0)
    return shifted // (days * DAY)


@njit(cache=True, nogil=True)
def _streak(x: Ints, days: int) -> int:
    if x[0] == NONE:
        return 0
    return period(x[0], days) - period(max(x[1], x[2]), days) + 1


@njit(cache=True, nogil=True)
def working(time: int) -> int:
    """Return the whole minutes of Monday to Friday (UTC) between 1969-12-29 and a moment."""
    since = time + MONDAY
    inside = min(since % WEEK, WORKING * DAY)
    return ((since // WEEK) * (WORKING * DAY) + inside) // 60_000_000


@njit(cache=True, nogil=True)
def working_minutes(times: Ints) -> Ints:
    """Return `working` of each moment."""
    minutes = np.empty(times.size, np.int64)
    for i in range(times.size):
        minutes[i] = working(times[i])
    return minutes


@njit(cache=True, nogil=True)
def _silence(x: Ints, at: int) -> float:
    if x[0] < FEWEST_PAUSES:
        return np.nan
    usual = x[1] / x[0] + 2.0 * _deviation(x)
    return float((working(at) - working(x[3])) / max(usual, LEAST_PAUSE))
