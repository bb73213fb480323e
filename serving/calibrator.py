"""The calibrator: from margin and points of the rules to a probability and its interval. Pure.

    logit = curve(slope * margin + per_point * points + intercept)

The curve is monotone and piecewise linear, so every step is made of correctly rounded operations:
the same bits on every machine, alone or in a batch. Everything is plain numbers in the manifest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from cluster.errors import FunnelcastError

LOGIT_LIMIT = 30.0  # keeps probabilities inside (0, 1): 1e-13 from either end
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
_TAYLOR = 1.0 / np.cumprod([1.0, *range(1, 14)])  # 1/0! ... 1/13!


class PointsMissing(FunnelcastError):
    """The calibrator weighs the points of the rules, and none were given."""


@dataclass(frozen=True, kw_only=True)
class Knot:
    """A probability with its 95 % interval."""

    probability: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Bend:
    """Where one straight piece of a curve ends and the next begins."""

    score: float
    logit: float


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """A blend of model and rules, bent by a monotone curve, with an interval per probability."""

    slope: float = 1.0  # of the margin; never negative: a higher one never means a lower chance
    intercept: float = 0.0
    per_point: float = 0.0  # log-odds per point of the rules; 0: the rules are not asked
    curve: tuple[
        Bend, ...
    ] = ()  # rising in score, never falling in logit, level outside; none: y = x
    band: tuple[Knot, ...] = ()  # rising, from 0 to 1; none: nothing is known, (0, 1)

    def probability(self, margin: np.ndarray, points: np.ndarray | None = None) -> np.ndarray:
        """Return the probability of each margin and points, (n,) float64 inside (0, 1).

        PointsMissing without points where the rules count.
        """
        return sigmoid(self.logit(margin, points))

    def logit(self, margin: np.ndarray, points: np.ndarray | None = None) -> np.ndarray:
        """Return the calibrated log-odds (n,) float64."""
        score = margin.astype(np.float64) * self.slope + self.intercept
        if self.per_point:
            if points is None:
                raise PointsMissing(
                    "a calibrator that weighs rules must have the points of each row, got none: "
                    "score the rows with the rules of the bundle"
                )
            score = score + points * self.per_point
        return _along(self._bends, score) if self.curve else score

    def intervals(self, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high) per probability, which they hold: the 95 % interval of the chance."""
        if not self.band:
            return np.zeros(len(probability)), np.ones(len(probability))
        lows, highs = self._bands
        low, high = _along(lows, probability), _along(highs, probability)
        return np.minimum(low, probability), np.maximum(high, probability)

    def interval(self, probability: float) -> tuple[float, float]:
        """Return (low, high) of one probability."""
        low, high = self.intervals(np.array([probability]))
        return float(low[0]), float(high[0])

    @cached_property
    def _bends(self) -> _Line:
        return _Line.through([b.score for b in self.curve], [b.logit for b in self.curve])

    @cached_property
    def _bands(self) -> tuple[_Line, _Line]:
        at = [k.probability for k in self.band]
        lows, highs = [k.low for k in self.band], [k.high for k in self.band]
        return _Line.through(at, lows), _Line.through(at, highs)


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line of straight pieces; each array is (pieces,)."""

    start: np.ndarray
    value: np.ndarray
    rise: np.ndarray
    end: np.ndarray  # value where the piece ends

    @classmethod
    def through(cls, at: list[float], values: list[float]) -> _Line:
        x, y = np.array([*at, np.inf]), np.array([*values, values[-1]])
        wide = np.diff(x)
        return cls(start=x[:-1], value=y[:-1], rise=np.diff(y) / wide, end=y[1:])


def _along(line: _Line, x: np.ndarray) -> np.ndarray:
    flat = np.ravel(x)
    return _on_line(line.start, line.value, line.rise, line.end, flat).reshape(x.shape)


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logit)), float64, the same bits on every machine.

    exp by reduction to |r| <= ln 2 / 2 and its Taylor series: only + - * / and powers of two, which
    IEEE 754 rounds correctly, where exp of a maths library differs between processors.
    """
    whole = np.asarray(logit, np.float64)
    return _sigmoids(whole.ravel()).reshape(whole.shape)


@njit(cache=True)
def _on_line(
    start: np.ndarray, value: np.ndarray, rise: np.ndarray, end: np.ndarray, x: np.ndarray
) -> np.ndarray:
    found = np.empty(x.size)
    for i in range(x.size):
        place = max(np.searchsorted(start, x[i], side="right") - 1, 0)
        along = np.maximum(x[i] - start[place], 0.0) * rise[place]
        # the minimum keeps a piece from rising past the next one by a rounding
        found[i] = np.minimum(value[place] + along, end[place])
    return found


@njit(cache=True)  # without fastmath it multiplies and adds as it is written: two roundings
def _sigmoids(logit: np.ndarray) -> np.ndarray:
    found = np.empty(logit.size)
    for i in range(logit.size):
        x = np.minimum(np.maximum(-logit[i], -LOGIT_LIMIT), LOGIT_LIMIT)
        k = np.rint(x * _LOG2_E)
        r = (x - k * _LN2_HIGH) - k * _LN2_LOW
        series = _TAYLOR[-1]
        for place in range(len(_TAYLOR) - 2, -1, -1):
            series = series * r + _TAYLOR[place]
        found[i] = 1.0 / (1.0 + math.ldexp(series, int(k))) if x == x else np.nan
    return found
