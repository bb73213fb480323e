"""Draws moved so that their quantiles become the recalibrated ones, and their parts with them.

Of a horizon, with the median m, a total T becomes m + g(T - m), g rising through the recalibrated
bounds on either side and of constant slope beyond the widest. The parts of a draw are multiplied by
what its total was multiplied by, so they add up to it and none falls below 0: what the intervals
lacked is taken to be luck that all parts share. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast.recalibration import QUANTILES

if TYPE_CHECKING:
    from serving.forecast.recalibration import Recalibration

_MIDDLE = QUANTILES.index(0.5)


def quantiles(draws: np.ndarray) -> np.ndarray:
    """Return the QUANTILES, float64 [horizons, len(QUANTILES)], of draws [draws, horizons]: values
    that occurred.
    """
    return np.asarray(np.quantile(draws, QUANTILES, axis=0, method="inverted_cdf").T, float)


def total(found: Recalibration, draws: np.ndarray) -> np.ndarray:
    """Return draws [draws, horizons] of whole numbers from 0, recalibrated, in their order.

    What never falls with the horizon in a draw, as what is won in all does not, does not after.
    """
    moved = np.stack([_moved(draws[:, h], factor) for h, factor in enumerate(found.factor)], axis=1)
    if (np.diff(draws, axis=1) >= 0).all():
        return np.asarray(np.maximum.accumulate(moved, axis=1))
    return moved


def parts(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the parts [draws, horizons, parts] of totals `after` [draws, horizons], as whole
    numbers that add up exactly, given the parts before. Where all parts of a draw were 0 they are
    shared out as on average.
    """
    found = np.empty(before.shape)
    for h in range(before.shape[1]):  # all at once would take the memory several times
        found[:, h] = _shared(before[:, h].astype(float), after[:, h])
    return found


def _shared(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the parts [draws, parts] of totals [draws] of one horizon: ends of parts laid end to
    end are rounded, so the last one stays.
    """
    weight = np.where(before.any(axis=1, keepdims=True), before, before.mean(axis=0))
    weight[~weight.any(axis=1)] = 1.0
    ends = np.cumsum(weight, axis=1)
    return np.diff(np.rint(ends / ends[:, -1:] * after[:, None]), axis=1, prepend=0.0)


def _moved(draws: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return draws [draws] of one horizon, their half-widths multiplied by `factor` [levels]."""
    if (factor == 1.0).all():
        return np.asarray(draws, float)
    bounds = np.quantile(draws, QUANTILES, method="inverted_cdf")
    middle = bounds[_MIDDLE]
    below = _stretched(middle - draws, middle - bounds[_MIDDLE - 1 :: -1], factor)
    above = _stretched(draws - middle, bounds[_MIDDLE + 1 :] - middle, factor)
    moved = np.where(draws < middle, middle - below, middle + above)
    return np.asarray(np.rint(np.maximum(0.0, moved)))


def _stretched(distance: np.ndarray, half_width: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return where distances from the median go, given those [levels] that go to factor times."""
    goes_to = np.maximum.accumulate(half_width * factor)
    inside = np.interp(distance, np.append(0.0, half_width), np.append(0.0, goes_to))
    beyond = goes_to[-1] + factor[-1] * (distance - half_width[-1])
    return np.asarray(np.where(distance <= half_width[-1], inside, beyond))
