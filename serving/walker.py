"""The margins of few rows, to the bit those of XGBoost, in a fraction of its time. Pure.

A call of XGBoost takes 0.1 ms before it looks at a tree, and leaves garbage behind. It adds the
leaves of a row to its base in float32, tree by tree (src/predictor/cpu_predictor.cc of 3.4); so
does the kernel here. All trees take their first step, then all their second: none waits for
another. A missing value has a key of its own, so that a step is one comparison.

Nothing of XGBoost is believed: whoever makes a walker holds it against XGBoost itself, on rows made
to tell them apart (probes.py). One that differs in a bit is none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import xgboost as xgb
from numba import njit

from cluster.errors import FunnelcastError
from serving import probes
from serving.trees import NONE, TreesBroken

if TYPE_CHECKING:
    from serving.trees import Splits

type Array = np.ndarray

MOST_ROWS = 512  # for which it is the faster one, be trees as few and small as they may
VALUE, BELOW, SLOT, IS_CATEGORY = range(4)  # columns of Forest.nodes
LOW, HIGH, CODE, SLOTS = 1, 2, 3, 3  # of a feature: its key, null below or above all; its code
LEAST, MOST = -(2**31), 2**31 - 1  # keys of null, and in slot 0 LEAST: no number has these
_REST = np.int32(MOST)  # all bits of a number but its sign
_REMEDY = "scores stay exact, by XGBoost; for fast ones adapt serving/walker.py"


class NotExact(FunnelcastError):
    """The kernel does not say what XGBoost says."""


class Forest(NamedTuple):
    """The nodes of all trees, level by level; the trees that are deepest come first."""

    # (nodes, 4) int32. From a split a row goes to BELOW if the key in SLOT is not above VALUE, else
    # to the node after it; on a category, if `right` says 0 so many places after VALUE. A leaf is
    # its own BELOW, and VALUE its bits
    nodes: Array
    walking: Array  # (levels,) int64: how many trees have a split on this level
    order: Array  # (trees,) int64: which tree each root is of
    right: Array  # int8, rows of: each code, any beyond, null. 1 goes right
    codes: int


@dataclass(frozen=True, kw_only=True)
class Walker:
    """Scores rows with one booster. Safe to share between threads."""

    forest: Forest
    base: np.float32  # what leaves are added to
    wide: int  # features

    @classmethod
    def of(cls, booster: xgb.Booster, splits: Splits) -> Self:
        """Return the walker of a booster with these splits. TreesBroken for one without trees,
        NotExact if it differs from XGBoost, or cannot be held against it.
        """
        made = cls(base=_base(booster), forest=_forest(splits), wide=booster.num_features())
        matrix = probes.rows(splits, made.wide)
        _must_be_alike(made.margins(matrix), margins(booster, matrix))
        return made

    def takes(self, matrix: Array) -> bool:
        """Has this float32 matrix all features, and is it of the one kind that is compiled?"""
        return bool(matrix.shape[1] == self.wide and matrix.flags.carray)

    def margins(self, matrix: Array) -> Array:
        """Return the log-odds (n,) float32 of encoded rows that it takes."""
        found: Array = _margins(matrix, self.base, self.forest)
        return found


def margins(booster: xgb.Booster, matrix: Array, rounds: int = 0) -> Array:
    """Return the log-odds of encoded rows (n,) float32 by XGBoost, from the first `rounds` trees
    (0: all).
    """
    if not len(matrix):
        return np.empty(0, np.float32)  # XGBoost gives shape (0, 0)
    found: Array = booster.inplace_predict(
        matrix, predict_type="margin", iteration_range=(0, rounds), validate_features=False
    )
    return found


def _base(booster: xgb.Booster) -> np.float32:
    """Return what XGBoost says where it has no trees: its own rounding of the base's log-odds."""
    if not booster.num_boosted_rounds():
        raise TreesBroken("a booster must have a tree, got none: publish the model again")
    said = json.loads(bytes(booster[:1].save_raw("json")))
    said["learner"]["learner_model_param"]["boost_from_average"] = "0"  # or it is to be estimated
    model = said["learner"]["gradient_booster"]["model"]
    model |= {"trees": [], "tree_info": [], "iteration_indptr": [0]}
    model["gbtree_model_param"]["num_trees"] = "0"
    bare, row = xgb.Booster(), np.zeros((1, booster.num_features()), np.float32)
    try:
        bare.load_model(bytearray(json.dumps(said).encode()))
        return np.float32(margins(bare, row)[0])
    except xgb.core.XGBoostError as error:
        first = str(error).splitlines()[0]
        raise NotExact(f"XGBoost must score without trees, got {first}: {_REMEDY}") from error


def _must_be_alike(ours: Array, theirs: Array) -> None:
    apart = np.flatnonzero(ours.view(np.int32) != theirs.view(np.int32))
    if len(apart):
        one = apart[0]
        raise NotExact(
            f"margins must be those of XGBoost {xgb.__version__} to the bit, got "
            f"{float(ours[one]).hex()} for {float(theirs[one]).hex()} in {len(apart)} of "
            f"{len(ours)} rows: {_REMEDY}"
        )


def _forest(splits: Splits) -> Forest:
    """Return trees as they are walked."""
    tall = _heights(splits)
    order = np.argsort(-tall, kind="stable")
    inner, below = _inner(splits), _below(splits)
    nodes, first = [], 0
    at, leaf = np.where(tall > 0, splits.starts[:-1], NONE)[order], splits.lone[order]
    while len(at):  # a level: splits, or NONE and the value of a leaf
        level = np.zeros((len(at), 4), np.int32)
        level[:, VALUE] = leaf.astype(np.float32).view(np.int32)
        level[:, BELOW] = first + np.arange(len(at))
        first, is_inner = first + len(at), at != NONE
        at = at[is_inner]
        level[is_inner] = inner[at]
        level[is_inner, BELOW] = first + 2 * np.arange(len(at))
        nodes.append(level)
        at, leaf = below[at].ravel(), splits.leaf[at].ravel()
    return Forest(
        nodes=np.concatenate(nodes),
        walking=(tall > np.arange(tall.max(initial=0))[:, None]).sum(axis=1),
        order=order,
        right=_right(splits),
        codes=splits.goes_right.shape[1],
    )


def _heights(splits: Splits) -> Array:
    """Return how many splits the longest path of each tree has: (trees,)."""
    height = np.ones(len(splits.above), np.int64)
    for n, above in enumerate(splits.above.tolist()):
        if above != NONE:
            height[n] = height[above] + 1
    counts = np.diff(splits.starts)
    tall = np.zeros(len(counts), np.int64)
    np.maximum.at(tall, np.repeat(np.arange(len(counts)), counts), height)
    return tall


def _below(splits: Splits) -> Array:
    """Return the splits to the left and right of each, NONE for a leaf: (splits, 2)."""
    below = np.full((len(splits.above), 2), NONE)
    nested = np.flatnonzero(splits.above != NONE)
    below[splits.above[nested], splits.side[nested] - 1] = nested
    return below


def _inner(splits: Splits) -> Array:
    """Return splits as nodes that do not know yet what is below: (splits, 4) int32."""
    is_category, codes = splits.category != NONE, splits.goes_right.shape[1]
    key = _ordered.py_func((splits.threshold + np.float32(0)).view(np.int32))  # of -0.0 that of 0.0
    not_above = np.where(np.isnan(splits.threshold), LEAST, key.astype(np.int64) - 1)
    slot = np.where(is_category, CODE, np.where(splits.default, LOW, HIGH))
    columns = {
        VALUE: np.where(is_category, splits.category * (codes + 2), not_above),
        BELOW: np.zeros_like(slot),
        SLOT: SLOTS * splits.feature + slot,
        IS_CATEGORY: is_category,
    }
    return np.stack([columns[n] for n in range(len(columns))], axis=1).astype(np.int32)


def _right(splits: Splits) -> Array:
    goes_right, is_category = splits.goes_right, splits.category != NONE
    table = np.zeros((len(goes_right), goes_right.shape[1] + 2), np.int8)
    table[:, :-2] = goes_right
    table[splits.category[is_category], -1] = ~splits.default[is_category]
    return np.append(table.ravel(), np.int8(0))  # what a number reads, and does not use


@njit(cache=True, nogil=True)
def _margins(matrix: Array, base: np.float32, forest: Forest) -> Array:
    """Return the base with the leaves of all trees of each row (n, f): (n,) float32."""
    nodes, leaves, order = forest.nodes, forest.nodes.view(np.float32), forest.order
    keys = np.full(1 + SLOTS * matrix.shape[1], LEAST, np.int32)
    at, found = np.empty(order.size, np.uint32), np.empty(matrix.shape[0], np.float32)
    added = np.empty(order.size, np.float32)
    for row in range(matrix.shape[0]):
        _fill(keys, matrix[row], forest.codes)
        for tree in range(order.size):
            at[tree] = tree
        for count in forest.walking:
            for tree in range(count):
                n = at[tree]
                key, value = keys[np.uint32(nodes[n, SLOT])], nodes[n, VALUE]
                is_category = nodes[n, IS_CATEGORY]
                by_code = np.uint32(forest.right[np.uint32((value + key) * is_category)])
                by_key = np.uint32(key > value)
                at[tree] = np.uint32(nodes[n, BELOW]) + (by_code if is_category else by_key)
        for place in range(order.size):
            added[order[place]] = leaves[at[place], VALUE]
        total = base
        for tree in range(order.size):
            total += added[tree]
        found[row] = total
    return found


@njit(cache=True, nogil=True)
def _fill(keys: Array, row: Array, codes: int) -> None:
    """Write the keys of a row, and the places of its codes in a row of Forest.right."""
    bits = row.view(np.int32)
    for feature in range(row.size):
        value, first = row[feature], SLOTS * feature
        if value != value:
            keys[first + LOW], keys[first + HIGH], keys[first + CODE] = LEAST, MOST, codes + 1
        else:
            key = _ordered(bits[feature]) if value != 0 else 0
            keys[first + LOW], keys[first + HIGH] = key, key
            keys[first + CODE] = np.int32(value) if 0 <= value < codes else codes


@njit(cache=True, nogil=True)
def _ordered(bits: Any) -> Any:
    """Return whole numbers, one or an array, in the order of the numbers that have these bits."""
    return bits ^ ((bits >> 31) & _REST)
