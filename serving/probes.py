"""Rows that tell two scorers of the same trees apart, if anything does. Pure.

Each feature takes the values where a tree may part: at a threshold and beside it, every code and
codes that nobody has, zeros of both signs, the least and the greatest numbers. Half of the rows
have nulls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.trees import NONE

if TYPE_CHECKING:
    from serving.trees import Splits

type Array = np.ndarray

ROWS = 512
NULLS = 0.2  # share of the values in the second half
_LIMITS = np.finfo(np.float32)
ODD = (
    0.0,
    -0.0,
    1.0,
    *(sign * float(n) for sign in (-1, 1) for n in (_LIMITS.tiny / 2, _LIMITS.max)),
)
NO_CODES = (-1.0, -0.5, 2.0**24, 2.0**31)
_SEED = 0  # the same rows every time


def rows(splits: Splits, wide: int) -> Array:
    """Return ROWS rows of so many features for these trees: (n, f) float32."""
    rng = np.random.default_rng(_SEED)
    matrix = np.empty((ROWS, wide), np.float32)
    for feature in range(wide):
        pool = rng.permutation(_values(splits, splits.feature == feature))
        matrix[:, feature] = rng.permutation(np.resize(pool, ROWS))
    is_null = rng.random(matrix.shape) < NULLS
    is_null[: ROWS // 2] = False
    matrix[is_null] = np.nan
    return matrix


def _values(splits: Splits, here: Array) -> Array:
    """Return the values of a feature on which the splits `here` (splits,) are: (n,) float32."""
    is_category = splits.category != NONE
    cuts = np.unique(splits.threshold[here & ~is_category])
    cuts = cuts[np.isfinite(cuts)]
    with np.errstate(over="ignore"):
        beside = [np.nextafter(cuts, np.float32(way)) for way in (-np.inf, np.inf)]
    codes = splits.goes_right.shape[1] if (here & is_category).any() else 0
    unknown = (codes, codes + 1, *NO_CODES) if codes else ()
    found = np.concatenate([cuts, *beside, np.arange(codes), unknown, ODD]).astype(np.float32)
    return found[np.isfinite(found)]
