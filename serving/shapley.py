"""Exact Shapley values of boosted trees, with most of the work done once per model. Pure.

What the margin of a row would be without some features is a mean over each tree, where a split on
one of them sends on the shares of rows that it parted in training: the path-dependent TreeSHAP of
Lundberg 2018. A leaf of value w whose path asks d features gives feature i

    w (o_i - r_i) * integral over y in (0, 1) of the product over j != i of o_j y + r_j (1 - y)

where o is 1 if the row does as the path asks of the feature, else 0, and r is the share of rows
that do. The integrand is a polynomial of degree d - 1, which d / 2 points of Gauss and Legendre
integrate without error. A split needs to know of a row only its state: not on the path, or on it
and then left, or right. What depends on model and state alone is a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numba import njit

from serving.trees import LEFT, NONE, RIGHT, Splits

if TYPE_CHECKING:
    import xgboost as xgb

type Array = np.ndarray

POINTS = 4  # of one pass; paths of more than 2 * POINTS features take more passes
ROWS = 64  # explained together, tree by tree, so that a tree's tables stay in the cache
# columns of Walk.splits. Places of splits count within a tree; behind the last one stands one that
# every path begins with. SAME is the nearest split above on the same feature
FEATURE, ABOVE, SAME, SAME_SIDE, CATEGORY, DEFAULT = range(6)
_U = np.uint64
_IS_ON = np.array([0.0, 1.0, 1.0])  # states: off the path, left, right
_IS_LEFT, _IS_RIGHT = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])


class Walk(NamedTuple):
    """How a row goes through the splits, without a branch where the row decides, and in few bytes:
    memory is what one row waits for.
    """

    starts: Array  # (trees + 1,) where each tree begins
    splits: Array  # (splits, 6) int32: see FEATURE ... DEFAULT
    threshold: Array  # (splits,) float32
    goes_right: Array  # (splits on categories, codes) int8: 1 for what goes right, else 0

    @classmethod
    def of(cls, splits: Splits) -> Self:
        """Return the walk through these splits."""
        counts = np.diff(splits.starts)
        begin, last = np.repeat(splits.starts[:-1], counts), counts.max(initial=0)
        columns = (
            splits.feature,
            np.where(splits.above == NONE, last, splits.above - begin),
            np.where(splits.same == NONE, last, splits.same - begin),
            np.where(splits.same == NONE, LEFT, splits.same_side),
            splits.category,
            splits.default,
        )
        return cls(
            starts=splits.starts,
            splits=np.stack(columns, axis=1).astype(np.int32),
            threshold=splits.threshold,
            goes_right=splits.goes_right.astype(np.int8),
        )


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """The tables of a model. Safe to share between threads."""

    splits: Splits  # what the tables are made from
    walk: Walk
    passes: tuple[tuple[Array, Array], ...]  # each: (splits, 3, 2 * POINTS) float32: leaves, edges
    base: float  # mean margin of the training rows, as the trees remember them

    @classmethod
    def of(cls, booster: xgb.Booster) -> Self:
        """Work out the tables of a booster; TreesBroken for one that cannot be explained."""
        splits = Splits.of(booster)
        ratios = _ratios(splits)
        points, weights = _quadrature(splits)
        passes = tuple(
            _tables(splits, ratios, points[n : n + POINTS], weights[n : n + POINTS])
            for n in range(0, len(points), POINTS)
        )
        base = splits.base + _mean(splits)
        return cls(splits=splits, walk=Walk.of(splits), passes=passes, base=base)

    def contributions(self, matrix: Array) -> Array:
        """Return what each feature adds to the margin of encoded rows (n, f) float32: (n, f + 1)
        float64, the base last. The same bits alone and in any batch.
        """
        rows, wide = matrix.shape
        shares = np.zeros((rows, wide + 1))
        shares[:, -1] = self.base
        for tables in self.passes:
            for first in range(0, rows, ROWS):
                part = slice(first, first + ROWS)
                _add(matrix[part], self.walk, tables, shares[part])
        return shares


def _ratios(splits: Splits) -> Array:
    """Return the shares r of the path's rows (splits, 3): at the split above on the same feature
    (1 if there is none), and behind the split to the left and to the right.
    """
    ratios = np.ones((len(splits.feature), 3))
    for n, (same, side) in enumerate(zip(splits.same, splits.same_side, strict=True)):
        if same != NONE:
            ratios[n, 0] = ratios[same, side]
        ratios[n, 1:] = ratios[n, 0] * splits.share[n]
    return ratios


def _quadrature(splits: Splits) -> tuple[Array, Array]:
    """Return points in (0, 1) and weights that are exact for the longest path, in whole passes."""
    asked = np.zeros(len(splits.feature), np.int64)  # features on the path, this split included
    for n, (above, same) in enumerate(zip(splits.above, splits.same, strict=True)):
        asked[n] = (asked[above] if above != NONE else 0) + (same == NONE)
    passes = -(-int(asked.max(initial=1)) // (2 * POINTS))
    points, weights = np.polynomial.legendre.leggauss(passes * POINTS)
    return (points + 1) / 2, weights / 2


def _tables(splits: Splits, ratios: Array, points: Array, weights: Array) -> tuple[Array, Array]:
    """Return by split and state: what its leaves are worth and give its feature, per product of
    the path so far; and by state of the split above: by what the product grows on the way here,
    and what all that comes behind gives the feature of the split above.
    """
    before = _factor(ratios[:, 0], _IS_ON, points)
    ways = []
    for side, is_there in ((LEFT, _IS_LEFT), (RIGHT, _IS_RIGHT)):
        after = _factor(ratios[:, side], is_there, points)
        gain = _gain(ratios[:, side], is_there, after) - _gain(ratios[:, 0], _IS_ON, before)
        ways.append((_divided(after, before), weights * gain))
    leaves = [splits.leaf[:, n, None, None] * grows for n, (grows, _) in enumerate(ways)]
    gives = [leaf * gain for leaf, (_, gain) in zip(leaves, ways, strict=True)]
    own = np.concatenate([leaves[0] + leaves[1], gives[0] + gives[1]], axis=-1)
    left, right = (np.concatenate(way, axis=-1) for way in ways)
    is_right = (splits.side == RIGHT)[:, None, None]
    edges = np.where(is_right, right[splits.above], left[splits.above])
    edges[splits.above == NONE] = np.repeat([1.0, 0.0], len(points))
    return own.astype(np.float32), edges.astype(np.float32)


def _factor(ratio: Array, is_there: Array, points: Array) -> Array:
    """Return o y + r (1 - y): (splits, 3 states, points)."""
    factor: Array = is_there[:, None] * points + ratio[:, None, None] * (1 - points)
    return factor


def _gain(ratio: Array, is_there: Array, factor: Array) -> Array:
    """Return (o - r) / (o y + r (1 - y)): (splits, 3 states, points)."""
    return _divided((is_there - ratio[:, None])[:, :, None], factor)


def _divided(above: Array, below: Array) -> Array:
    # many tiny shares may multiply to zero: nothing behind them counts
    found: Array = np.divide(above, below, out=np.zeros(below.shape), where=below > 0)
    return found


def _mean(splits: Splits) -> float:
    """Return the mean of all trees, each branch weighted by its share of the training rows."""
    reach = np.ones(len(splits.feature))
    for n, (above, side) in enumerate(zip(splits.above, splits.side, strict=True)):
        if above != NONE:
            reach[n] = reach[above] * splits.share[above, side - 1]
    return float((reach[:, None] * splits.share * splits.leaf).sum())


@njit(cache=True, nogil=True)
def _add(matrix: Array, walk: Walk, tables: tuple[Array, Array], shares: Array) -> None:
    """Add to `shares` what one pass gives the features of some rows.

    Places are unsigned: of a signed one it is asked whether it counts from the end, and with that
    in them the loops over points are not turned into single instructions (a fifth of the speed).
    """
    (leaves, edges), (starts, splits, threshold, goes_right) = tables, walk
    size = np.diff(starts).max() + 1 if starts.size > 1 else 1
    state = np.ones(size, np.uint64)
    products, sums = np.ones((size, POINTS)), np.zeros((size, POINTS))
    given = np.zeros((matrix.shape[0], matrix.shape[1], POINTS))
    for tree in range(starts.size - 1):
        begin, end = _U(starts[tree]), _U(starts[tree + 1])
        for row in range(_U(matrix.shape[0])):
            for n in range(begin, end):
                feature, above, i = _U(splits[n, FEATURE]), _U(splits[n, ABOVE]), n - begin
                way = state[above]
                is_on = _U(state[_U(splits[n, SAME])] == _U(splits[n, SAME_SIDE]))
                value, default = matrix[row, feature], _U(splits[n, DEFAULT])
                category = splits[n, CATEGORY]
                if category < 0:
                    is_left = _U(value < threshold[n]) | (_U(value != value) & default)
                else:
                    is_left = _is_listed_left(value, default, goes_right, _U(category))
                own = is_on * (_U(RIGHT) - is_left)
                state[i] = own
                for point in range(_U(POINTS)):
                    product = products[above, point] * edges[n, way, point]
                    products[i, point] = product
                    sums[i, point] = product * leaves[n, own, point]
                    given[row, feature, point] += product * leaves[n, own, _U(POINTS) + point]
            for back in range(_U(1), end - begin):
                here = end - back
                above = _U(splits[here, ABOVE])
                way, feature = state[above], _U(splits[begin + above, FEATURE])
                for point in range(_U(POINTS)):
                    behind = sums[here - begin, point]
                    given[row, feature, point] += behind * edges[here, way, _U(POINTS) + point]
                    sums[above, point] += behind
    for one in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            for point in range(POINTS):
                shares[one, column] += given[one, column, point]


@njit(cache=True, nogil=True)
def _is_listed_left(
    value: float, default: np.uint64, goes_right: Array, category: np.uint64
) -> np.uint64:
    """Return 1 if a category goes left, else 0."""
    if 0 <= value < goes_right.shape[1]:
        return _U(1) - _U(goes_right[category, _U(value)])
    return (_U(1) - _U(value != value)) | default
