"""The trees of a booster as plain arrays, one row per split: what explanations are made from. Pure.

A tree that came from elsewhere is not trusted: every number that is used as a place is checked
here, once, so that kernels need not.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from cluster.errors import FunnelcastError

if TYPE_CHECKING:
    import xgboost as xgb

type Array = np.ndarray
type Tree = dict[str, Any]  # in XGBoost's JSON

NONE = -1
LEFT, RIGHT = 1, 2  # child of a split
MOST_CODES = 1024  # of a category: their table must stay small
_LEAST_SHARE = 1e-12  # of a child that no row took; as XGBoost has it, so that answers are alike


class TreesBroken(FunnelcastError):
    """The trees are not of the sort that can be explained, or are no trees."""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """All splits of a booster, tree by tree, each after the one above it."""

    starts: Array  # (trees + 1,) where each tree begins
    feature: Array  # (splits,) int64
    threshold: Array  # (splits,) float32: below goes left
    default: Array  # (splits,) bool: does a missing value go left?
    category: Array  # (splits,) int64: row of `goes_right`, NONE for a number
    goes_right: Array  # (splits on categories, codes) bool; a code beyond goes left
    above: Array  # (splits,) int64: the split above, NONE at the root
    side: Array  # (splits,) int64: which child of it
    same: Array  # (splits,) int64: the nearest split above on the same feature, or NONE
    same_side: Array  # (splits,) int64: which side of it
    share: Array  # (splits, 2) float64: of the rows here, those that go left and right
    leaf: Array  # (splits, 2) float64: values of the children that are leaves, else 0
    lone: Array  # (trees,) float64: value of a tree without a split, else 0
    base: float  # log-odds before any tree, with those of trees without a split

    @classmethod
    def of(cls, booster: xgb.Booster) -> Self:
        """Return the splits of a booster of binary log-odds; TreesBroken for another one."""
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        _must_be_known(learner)
        many = int(learner["learner_model_param"]["num_feature"])
        reader = _Reader(many)
        for tree in learner["gradient_booster"]["model"]["trees"]:
            reader.add(tree)
        return cls(**reader.columns(), base=_base(learner) + reader.constant)


class _Reader:
    """Walks over trees, and collects what the columns of Splits hold."""

    def __init__(self, features: int) -> None:
        self.constant = 0.0
        self._features = features
        self._starts = [0]
        self._lone: list[float] = []
        self._plain: list[tuple[int, float, bool, int, int, int, int, int]] = []
        self._pairs: list[tuple[float, float, float, float]] = []
        self._right: list[list[int]] = []

    def add(self, tree: Tree) -> None:
        """Add a tree, in the order in which a row may walk it."""
        left, count = tree["left_children"], len(tree["left_children"])
        self._lone.append(tree["split_conditions"][0] if left[0] == NONE else 0.0)
        self.constant += self._lone[-1]
        todo: list[tuple[int, int, int, dict[int, tuple[int, int]]]] = []
        todo += [(0, NONE, 0, {})] if left[0] != NONE else []
        while todo:
            node, above, side, path = todo.pop()
            place = len(self._plain)
            if place - self._starts[-1] >= count:
                raise _broken("a tree must not come back to a node", f"node {node} again")
            feature, children = self._split(tree, node, above, side, path)
            for child, way in zip(children, (LEFT, RIGHT), strict=True):
                if left[child] != NONE:
                    todo.append((child, place, way, {**path, feature: (place, way)}))
        _must_be_beside(tree)
        self._starts.append(len(self._plain))

    def columns(self) -> dict[str, Array]:
        """Return the columns of Splits."""
        plain = np.array(self._plain, np.float64).reshape(-1, 8).T
        pairs = np.array(self._pairs, np.float64).reshape(-1, 4)
        names = ("feature", "category", "above", "side", "same", "same_side")
        whole = dict(zip(names, plain[[0, 3, 4, 5, 6, 7]].astype(np.int64), strict=True))
        return {
            **whole,
            "starts": np.array(self._starts, np.int64),
            "lone": np.array(self._lone, np.float64),
            "threshold": plain[1].astype(np.float32),
            "default": plain[2].astype(bool),
            "goes_right": _table(self._right),
            "share": np.ascontiguousarray(pairs[:, :2]),
            "leaf": np.ascontiguousarray(pairs[:, 2:]),
        }

    def _split(
        self, tree: Tree, node: int, above: int, side: int, path: dict[int, tuple[int, int]]
    ) -> tuple[int, tuple[int, int]]:
        children = (tree["left_children"][node], tree["right_children"][node])
        for child in children:
            _must_be_below(child, len(tree["left_children"]), "a child", "nodes")
        feature = int(tree["split_indices"][node])
        _must_be_below(feature, self._features, "a split", "features")
        same, same_side = path.get(feature, (NONE, 0))
        category = self._category(tree, node) if tree["split_type"][node] else NONE
        here = (feature, tree["split_conditions"][node], bool(tree["default_left"][node]))
        self._plain.append((*here, category, above, side, same, same_side))
        self._pairs.append((*_shares(tree, node, children), *_leaves(tree, children)))
        return feature, children

    def _category(self, tree: Tree, node: int) -> int:
        place = tree["categories_nodes"].index(node)
        start, size = (tree[f"categories_{what}"][place] for what in ("segments", "sizes"))
        codes = tree["categories"][start : start + size]
        for code in codes:
            _must_be_below(code, MOST_CODES, "a category", "codes")
        self._right.append(codes)
        return len(self._right) - 1


def _shares(tree: Tree, node: int, children: tuple[int, int]) -> tuple[float, float]:
    covers = tree["sum_hessian"]
    if not covers[node] > 0:
        return 0.5, 0.5
    left, right = (max(covers[child] / covers[node], _LEAST_SHARE) for child in children)
    return left, right


def _leaves(tree: Tree, children: tuple[int, int]) -> tuple[float, float]:
    values = [tree["split_conditions"][c] * (tree["left_children"][c] == NONE) for c in children]
    return values[0], values[1]


def _table(codes: list[list[int]]) -> Array:
    wide = max((max(each, default=0) for each in codes), default=0) + 1
    table = np.zeros((len(codes), wide), bool)
    for row, each in enumerate(codes):
        table[row, each] = True
    return table


def _base(learner: dict[str, Any]) -> float:
    said = json.loads(learner["learner_model_param"]["base_score"])
    share = float(said[0] if isinstance(said, list) else said)
    if not 0 < share < 1:
        raise _broken("the base score must lie between 0 and 1", f"{share}")
    return math.log(share / (1 - share))


def _must_be_known(learner: dict[str, Any]) -> None:
    targets = learner["learner_model_param"].get("num_target", "1")
    found = (learner["gradient_booster"]["name"], learner["objective"]["name"], targets)
    if found != ("gbtree", "binary:logistic", "1"):
        rule = "a booster must be of gbtree and binary:logistic, for 1 target"
        raise _broken(rule, ", ".join(found))
    dropped = learner["gradient_booster"]["model"].get("weight_drop")
    if dropped:
        raise _broken("trees must count in full, without dropout", f"weights {dropped[:2]}")


def _must_be_beside(tree: Tree) -> None:
    # where XGBoost looks for it when it scores a row alone (GetNextNode in predict_fn.h)
    for left, right in zip(tree["left_children"], tree["right_children"], strict=True):
        if left != NONE and right != left + 1:
            raise _broken("a right child must come right after the left one", f"{left}, {right}")


def _must_be_below(place: int, count: int, what: str, of: str) -> None:
    if not 0 <= place < count:
        raise _broken(f"{what} must name one of {count} {of}", str(place))


def _broken(rule: str, value: str) -> TreesBroken:
    return TreesBroken(f"{rule}, got {value}: publish the model again")
