"""How far the scores of two arms are apart at least: a bound that holds at every time.

Howard and Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
identification", 2022: the share of scores below any value is within 0.85 sqrt((log log(e n) +
0.8 log(1612/alpha)) / n) of the true one, for all values and all n at once. Pure.
"""

from __future__ import annotations

from math import e, inf, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 50  # of the chance, equally wide


def width(count: int, alpha: float) -> float:
    """Return how far the shares of `count` scores may be from the true ones.

    >>> round(width(1_000, 0.001), 3), round(width(100_000, 0.001), 3)
    (0.099, 0.01)
    """
    if not count:
        return inf
    return 0.85 * sqrt((log(log(e * count)) + 0.8 * log(1612 / alpha)) / count)


def apart(one: Sequence[int], other: Sequence[int], alpha: float) -> float:
    """Return the distance of two distributions (Kolmogorov-Smirnov) that is sure at `alpha`: 0 to
    1, from how many scores fell into each bin.
    """
    if not sum(one) or not sum(other):
        return 0.0
    seen = float(np.max(np.abs(_shares(one) - _shares(other))))
    return max(0.0, seen - width(sum(one), alpha / 2) - width(sum(other), alpha / 2))


def bin_of(chance: float) -> int:
    """Return the bin of a chance from 0 to 1."""
    return min(int(chance * BINS), BINS - 1)


def _shares(counts: Sequence[int]) -> np.ndarray:
    return np.cumsum(counts) / sum(counts)
