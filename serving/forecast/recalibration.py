"""Intervals widened or narrowed by what past forecasts missed, so that they hold as often as said.

The score of a past forecast is how many times its half-width, about the median, it would have taken
to hold the truth: max((m - y) / (m - low), (y - m) / (high - m)). With K past scores the half-width
of the next interval is multiplied by the score of rank ceil((K + 1) level), which holds with at
least the level when origins are exchangeable (Vovk, Gammerman and Shafer, "Algorithmic learning in
a random world", 2005; scaled by half-widths as in Romano, Patterson and Candès, "Conformalized
quantile regression", 2019). There is none below K = level / (1 - level).

As origins are not exchangeable for ever, the level asked for moves: alpha + STEP x sum (alpha -
missed) over the forecasts whose truth was known (Gibbs and Candès, "Adaptive conformal inference
under distribution shift", 2021). Where it asks for more than all past scores give, the largest is
taken. Each past forecast is judged as it would have been recalibrated then, from what was known
then. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import Refusal
from serving.forecast import covered
from serving.forecast.covered import LEVELS

if TYPE_CHECKING:
    from serving.forecast.covered import Coverage

QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)  # the bounds of LEVELS about the median
QUANTILE_NAMES = tuple(f"p{round(100 * level):02d}" for level in QUANTILES)
STEP = 0.05  # by which the level moves: larger forgets sooner and swings more
LEAST_ORIGINS = 6  # below it the largest of a few scores says little, whatever the level
_MARGIN = 4 / 3  # of the origins asked for over those without which there is no rank
_MIDDLE = QUANTILES.index(0.5)
_WHOLE = 0.5  # what is forecast are whole numbers: no half-width is below half of one
_NARROW = 0.1  # nor below this part of the whole width


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """Past forecasts of one series, oldest first, and what became of them."""

    origin: np.ndarray  # int64 [origins], step at which each was made, rising
    horizon: np.ndarray  # int64 [horizons], steps ahead
    quantiles: np.ndarray  # float64 [origins, horizons, len(QUANTILES)]
    truth: np.ndarray  # float64 [origins, horizons], NaN not known yet


@dataclass(frozen=True, kw_only=True, eq=False)
class Recalibration:
    """What past forecasts say about the next one."""

    horizon: np.ndarray  # int64 [horizons]
    factor: np.ndarray  # float64 [horizons, len(LEVELS)], of half-widths; 1 where not known
    held: np.ndarray  # float64 [origins, horizons, len(LEVELS)], as said then: 1, 0, NaN not known
    origins: np.ndarray  # int64 [horizons], past origins whose truth is known
    coverage: tuple[tuple[Coverage | Refusal, ...], ...]  # [horizons][len(LEVELS)], as said then
    pooled: tuple[Coverage | Refusal, ...]  # [len(LEVELS)], of all horizons

    def is_known(self, level: float) -> np.ndarray:
        """Return, bool [horizons], where an interval of a level is recalibrated."""
        return np.asarray(self.origins >= asked(level))


def needed(level: float) -> int:
    """Return the fewest past origins that give a level a rank at all.

    >>> needed(0.5), needed(0.8), needed(0.9)
    (1, 4, 9)
    """
    return ceil(round(level / (1.0 - level), 9))


def asked(level: float) -> int:
    """Return how many past origins we ask for before an interval is recalibrated.

    >>> asked(0.5), asked(0.8), asked(0.9)
    (6, 6, 12)
    """
    return max(LEAST_ORIGINS, ceil(round(_MARGIN * needed(level), 9)))


def learnt(past: Past, now: int, every: int) -> Recalibration:
    """Return what past forecasts say at step `now`, with an origin every so many steps; a truth
    that the steps before `now` cannot have shown is not looked at.
    """
    scored = scores(past)
    scored[past.origin[:, None] + past.horizon > now] = np.nan
    horizons, levels = range(len(past.horizon)), range(len(LEVELS))
    runs = [[_run(past, scored[:, h, i], (h, i), now) for i in levels] for h in horizons]
    held = np.stack([[run[0] for run in row] for row in runs], axis=0).transpose(2, 0, 1)
    laps = [covered.overlap(int(h), every) for h in past.horizon]
    return Recalibration(
        horizon=past.horizon,
        factor=np.array([[run[1] for run in row] for row in runs]),
        held=held,
        origins=np.isfinite(scored).any(axis=2).sum(axis=0),
        coverage=tuple(
            tuple(_published(held[:, [h], i], LEVELS[i], laps[h]) for i in levels) for h in horizons
        ),
        pooled=tuple(_published(held[:, :, i], LEVELS[i], max(laps)) for i in levels),
    )


def scores(past: Past) -> np.ndarray:
    """Return, float64 [origins, horizons, len(LEVELS)], how many times its half-width each interval
    needed; NaN where the truth is not known.
    """
    middle = past.quantiles[:, :, [_MIDDLE]]
    below = middle - past.quantiles[:, :, _MIDDLE - 1 :: -1]
    above = past.quantiles[:, :, _MIDDLE + 1 :] - middle
    least = np.maximum(_WHOLE, _NARROW * (below + above))
    off = past.truth[:, :, None] - middle
    return np.asarray(
        np.maximum(-off / np.maximum(below, least), off / np.maximum(above, least)), float
    )


def said(found: Recalibration, level: float) -> str:
    """Return in words what is known of the intervals of a level."""
    known, coverage = found.is_known(level), found.pooled[LEVELS.index(level)]
    if not isinstance(coverage, Refusal) and known.all():
        return f"{coverage}; recalibrated"
    if not isinstance(coverage, Refusal) and known.any():
        far = found.horizon[~known].min()
        return f"{coverage}; recalibrated, from {far} steps ahead on not yet"
    return (
        f"how often {level:.0%} intervals hold is not yet known: {found.origins.max(initial=0)}"
        f" past origins, {asked(level)} are asked for; the intervals are as the model gives them"
    )


def rank(count: int, level: float) -> int:
    """Return the place, from 1, of the score that a level takes among so many.

    >>> rank(12, 0.9), rank(20, 0.9), rank(8, 0.9)
    (12, 19, 9)
    """
    return ceil(round((count + 1) * level, 9))


def _run(
    past: Past, score: np.ndarray, place: tuple[int, int], now: int
) -> tuple[np.ndarray, float]:
    """Return, of one horizon and level, whether each past interval held as it was said then, and
    the factor of the next.
    """
    horizon, level = int(past.horizon[place[0]]), LEVELS[place[1]]
    rows = np.flatnonzero(np.isfinite(score))
    moments = np.append(past.origin[rows], now)
    factor, missed = np.ones(len(moments)), np.zeros(len(moments))
    begun = len(moments)  # the first origin whose interval was recalibrated
    for t, moment in enumerate(moments):
        known = int(np.searchsorted(moments[:t] + horizon, moment, side="right"))
        if known >= asked(level):
            begun = min(begun, t)
            factor[t] = _factor(score[rows[:known]], level, missed[begun:known])
        if t < len(rows):
            missed[t] = score[rows[t]] > factor[t]
    held = np.full(len(score), np.nan)
    held[rows] = 1.0 - missed[:-1]
    return held, float(factor[-1])


def _factor(score: np.ndarray, level: float, missed: np.ndarray) -> float:
    """Return the score to take, given which recalibrated intervals missed."""
    wanted = level - STEP * float(np.sum((1.0 - level) - missed))
    place = min(max(rank(len(score), wanted), 1), len(score))
    return float(np.sort(score)[place - 1])


def _published(held: np.ndarray, level: float, overlap: int) -> Coverage | Refusal:
    """Return the coverage of `held` [origins, intervals] if there are enough origins."""
    known = int(np.isfinite(held).any(axis=1).sum())
    if known < asked(level):
        return Refusal(
            rule=f"coverage at {level:.0%} is told from {asked(level)} past origins on",
            value=f"{known}",
            remedy="wait for more origins, or take the intervals as the model gives them",
        )
    return covered.measured(held, level, overlap)
