"""The trees of a booster, checked as arrays: what passes can be walked from any row to a leaf.

XGBoost trusts these arrays and indexes by them without looking (src/tree/tree_model.cc); all trees
are checked at once, node by node in arrays over the whole forest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.admission.broken import refuse, same

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH = 512
MAX_NODES = 1_000_000  # of all trees
MAX_MARGIN = 1e6  # sum of the largest leaves; log-odds of 30 are certainty
COVERED = 1e-2  # by how much, of its own, a node's weight may differ from that of its children
NONE = -1  # child of a leaf
NO_PARENT = 2**31 - 1
PER_NODE = {
    **dict.fromkeys(("base_weights", "loss_changes", "split_conditions", "sum_hessian"), ">f4"),
    **dict.fromkeys(("left_children", "parents", "right_children", "split_indices"), ">i4"),
    **dict.fromkeys(("default_left", "split_type"), "u1"),
}
CATEGORIES = {
    **dict.fromkeys(("categories", "categories_nodes"), ">i4"),
    **dict.fromkeys(("categories_segments", "categories_sizes"), ">i8"),
}
KEYS = {*PER_NODE, *CATEGORIES, "id", "tree_param"}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the manifest says of the features: per feature, how many codes (0: a number)."""

    codes: np.ndarray  # (f,) int64

    @classmethod
    def of(cls, codes: Sequence[int]) -> Inputs:
        """Return the inputs of features with so many codes each."""
        return cls(codes=np.array(codes, np.int64))


@dataclass(frozen=True, kw_only=True)
class Forest:
    """All trees, one after the other."""

    sizes: np.ndarray  # (t,) nodes of each tree
    nodes: dict[str, np.ndarray]  # by PER_NODE: (n,)
    inner: np.ndarray  # (n,) bool: not a leaf
    starts: np.ndarray  # (n,) first node of the tree of each

    def must(self, holds: np.ndarray, rule: str, key: str) -> None:
        """Refuse at the first node where `holds` (n,) does not; names its tree and value."""
        if not holds.all():
            at = int(np.flatnonzero(~holds)[0])
            tree = int(np.searchsorted(np.cumsum(self.sizes), at, side="right"))
            where = f"node {at - int(self.starts[at])} of tree {tree}"
            refuse(f"{where} must {rule}", f"{key} {self.nodes[key][at].item()}")


def check(trees: list[Any], inputs: Inputs) -> None:
    """Refuse trees that cannot be walked, or that ask for features and categories not there."""
    forest = _joined(trees, len(inputs.codes))
    _must_be_trees(forest)
    _must_be_finite(forest)
    _must_split_on(forest, inputs)
    _must_have_categories(forest, trees, inputs)


def _joined(trees: list[Any], wide: int) -> Forest:
    sizes = np.array([_nodes(number, tree, wide) for number, tree in enumerate(trees)], np.int64)
    if sizes.sum() > MAX_NODES:
        refuse(f"the trees must have {MAX_NODES:,} nodes at most", f"{sizes.sum():,}")
    nodes = {
        key: np.concatenate([tree[key] for tree in trees]).astype(np.dtype(kind).newbyteorder("="))
        for key, kind in PER_NODE.items()
    }
    return Forest(
        sizes=sizes,
        nodes=nodes,
        inner=nodes["left_children"] != NONE,
        starts=np.repeat(np.cumsum(sizes) - sizes, sizes),
    )


def _nodes(number: int, tree: Any, wide: int) -> int:
    """Return how many nodes a tree has, once its arrays are of the kinds and lengths they must."""
    if not isinstance(tree, dict) or tree.keys() != KEYS:
        refuse(f"tree {number} must have the parts of a tree", _keys(tree))
    if not same(tree["id"], number):
        refuse(f"tree {number} must be in its place", f"id {tree['id']!r}")
    for key, kind in {**PER_NODE, **CATEGORIES}.items():
        if not isinstance(tree[key], np.ndarray) or tree[key].dtype != kind:
            refuse(f"'{key}' of tree {number} must be an array of {kind}", type(tree[key]).__name__)
    count = len(tree["left_children"])
    said = {"num_deleted": "0", "num_feature": str(wide), "num_nodes": str(count)}
    if not same(tree["tree_param"], {**said, "size_leaf_vector": "1"}) or not count:
        refuse(f"tree {number} must be said to be of {count} nodes, {wide} features", "otherwise")
    for key in PER_NODE:
        if len(tree[key]) != count:
            refuse(f"'{key}' of tree {number} must have {count} values", len(tree[key]))
    return count


def _must_be_trees(forest: Forest) -> None:
    """Refuse cycles, nodes that hang nowhere or twice, and children beyond the tree."""
    left, right = forest.nodes["left_children"], forest.nodes["right_children"]
    sizes = np.repeat(forest.sizes, forest.sizes)
    forest.must((left == NONE) == (right == NONE), "have two children or none", "left_children")
    for key in ("left_children", "right_children"):
        child = forest.nodes[key]
        within = ~forest.inner | ((child >= 1) & (child < sizes))
        forest.must(within, "have its children inside its tree", key)
    _must_hang_once(forest)
    _must_be_reached(forest)


def _must_hang_once(forest: Forest) -> None:
    at = np.flatnonzero(forest.inner)
    children = _children(forest, at)
    times = np.bincount(children, minlength=len(forest.inner))
    root = forest.starts == np.arange(len(forest.inner))
    forest.must(times == ~root, "be the child of one node, the root of none", "parents")
    parents = np.full(len(forest.inner), NO_PARENT, np.int64)
    parents[children] = np.concatenate([at, at]) - forest.starts[children]
    forest.must(forest.nodes["parents"] == parents, "name its parent", "parents")


def _must_be_reached(forest: Forest) -> None:
    # each node hangs once, so a walk from the roots meets none twice; a cycle is never met
    reached = np.zeros(len(forest.inner), bool)
    level = np.unique(forest.starts)
    for _ in range(MAX_DEPTH + 1):
        reached[level] = True
        level = _children(forest, level[forest.inner[level]])
        if not len(level):
            break
    forest.must(reached, f"be reached from its root in {MAX_DEPTH} steps", "parents")


def _children(forest: Forest, at: np.ndarray) -> np.ndarray:
    left, right = forest.nodes["left_children"][at], forest.nodes["right_children"][at]
    return np.asarray(np.concatenate([left, right]) + np.tile(forest.starts[at], 2))


def _must_be_finite(forest: Forest) -> None:
    for key in ("base_weights", "loss_changes", "sum_hessian"):
        forest.must(np.isfinite(forest.nodes[key]), "have finite numbers", key)
    cut = forest.nodes["split_conditions"]  # of an inner node infinite where only nulls go apart
    forest.must(np.isfinite(cut) | (forest.inner & ~np.isnan(cut)), "be finite", "split_conditions")
    weight = forest.nodes["sum_hessian"].astype(np.float64)
    forest.must(weight > 0, "have a weight above zero", "sum_hessian")
    at = np.flatnonzero(forest.inner)
    below = weight.copy()
    below[at] = weight[_children(forest, at)].reshape(2, -1).sum(axis=0)
    forest.must(
        abs(below - weight) <= COVERED * weight, "weigh what its children do", "sum_hessian"
    )
    leaves = np.where(forest.inner, 0, abs(forest.nodes["split_conditions"])).astype(np.float64)
    largest = np.maximum.reduceat(leaves, np.unique(forest.starts)).sum()
    if largest > MAX_MARGIN:
        refuse(f"the leaves of a row must add up to {MAX_MARGIN:,.0f} at most", f"{largest:.3g}")


def _must_split_on(forest: Forest, inputs: Inputs) -> None:
    feature, kind = forest.nodes["split_indices"], forest.nodes["split_type"]
    known = (feature >= 0) & (feature < len(inputs.codes))
    forest.must(known, f"split on one of {len(inputs.codes)} features", "split_indices")
    forest.must(forest.nodes["default_left"] <= 1, "send nulls left or right", "default_left")
    categorical = forest.inner & (inputs.codes[feature] > 0)
    forest.must(kind == categorical, "split as the kind of its feature allows", "split_type")


def _must_have_categories(forest: Forest, trees: list[Any], inputs: Inputs) -> None:
    first = 0
    for number, (tree, size) in enumerate(zip(trees, forest.sizes.tolist(), strict=True)):
        here = slice(first, first + size)
        at = np.flatnonzero(forest.nodes["split_type"][here])
        codes = inputs.codes[forest.nodes["split_indices"][here][at]]
        _must_be_segments(number, tree, at, codes)
        first += size


def _must_be_segments(number: int, tree: Any, at: np.ndarray, codes: np.ndarray) -> None:
    """Refuse categories that do not lie one node after the other, or that no feature has."""
    sizes, values = tree["categories_sizes"], tree["categories"]
    rule = f"the categories of tree {number} must"
    if not np.array_equal(tree["categories_nodes"], at):
        refuse(f"{rule} be those of its {len(at)} categorical nodes", "others")
    if len(sizes) != len(at) or ((sizes < 1) | (sizes > codes)).any():
        refuse(f"{rule} be 1 to all of a feature's", "other sizes")
    if not np.array_equal(tree["categories_segments"], np.cumsum(sizes) - sizes):
        refuse(f"{rule} lie one node after the other", "other places")
    if len(values) != sizes.sum():
        refuse(f"{rule} be {sizes.sum()}", len(values))
    if ((values < 0) | (values >= np.repeat(codes, sizes.astype(np.int64)))).any():
        refuse(f"{rule} be codes of their features", "others")


def _keys(tree: Any) -> str:
    if not isinstance(tree, dict):
        return type(tree).__name__
    return ", ".join(sorted(tree.keys() ^ KEYS)) + " besides or missing"
