"""Hostile boosters, well-formed as documents: trees that cannot be walked, and false shells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.serving.hostile import TREES, WIDE, Case, Change, Json, forest, of_tree, rewritten

PER_NODE = {
    **dict.fromkeys(("base_weights", "loss_changes", "split_conditions", "sum_hessian"), ">f4"),
    **dict.fromkeys(("left_children", "parents", "right_children", "split_indices"), ">i4"),
    **dict.fromkeys(("default_left", "split_type"), "u1"),
}
CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
NAN, INF = float("nan"), float("inf")
PARENTS = 2**31 - 1  # of a root


def inner(tree: Json, *, categorical: bool | None = None) -> int:
    """Return the first inner node of a tree, of one kind if asked."""
    fits = tree["left_children"] >= 0
    if categorical is not None:
        fits = fits & (tree["split_type"] == categorical)
    return int(np.flatnonzero(fits)[0])


def leaf(tree: Json) -> int:
    """Return the last leaf of a tree."""
    return int(np.flatnonzero(tree["left_children"] < 0)[-1])


def at(key: str, place: Callable[[Json], int], value: float) -> Change:
    """Return a change of one number."""

    def change(tree: Json) -> None:
        tree[key][place(tree)] = value

    return change


def number(tree: Json) -> int:
    """Return the first node that splits on a number."""
    return inner(tree, categorical=False)


def category(tree: Json) -> int:
    """Return the first node that splits on a category."""
    return inner(tree, categorical=True)


def shapes() -> Iterator[Case]:
    """Yield arrays of other lengths and types than their tree has nodes."""
    for key, kind in PER_NODE.items():
        short = _tree(f"{key} short", lambda t, k=key: t.update({k: t[k][:-1]}))
        other = ">i8" if kind != ">i8" else ">i4"
        yield short("must have .* values|must be said to be")
        yield _tree(f"{key} type", lambda t, k=key, o=other: t.update({k: t[k].astype(o)}))(
            "array of"
        )
    for key in (*PER_NODE, *CATEGORIES, "id", "tree_param"):
        yield _tree(f"no {key}", lambda t, k=key: t.pop(k))("must have the parts of a tree")
    for key in CATEGORIES:
        yield _tree(f"{key} text", lambda t, k=key: t.update({k: "1"}))("must be an array")
    for key in ("num_deleted", "num_feature", "num_nodes", "size_leaf_vector"):
        for value in ("7777", "-1", "x", 3, np.zeros(3, ">i4")):
            change: Change = lambda t, k=key, v=value: t["tree_param"].update({k: v})  # noqa: E731
            yield _tree(f"{key} {value}", change)("must be said to be")
    yield _tree("id", lambda t: t.update(id=3))("must be in its place")
    yield _tree("more", lambda t: t.update(zzz="1"))("must have the parts of a tree")


def numbers() -> Iterator[Case]:
    """Yield weights and leaves that are no numbers to count with."""
    for key in ("base_weights", "loss_changes", "sum_hessian", "split_conditions"):
        for value in (NAN, INF, -INF):
            yield _tree(f"{key} {value}", at(key, leaf, value))("finite")
    yield _tree("cut", at("split_conditions", number, NAN))("must be finite")
    yield _tree("huge leaf", at("split_conditions", leaf, 1e30))("must add up to")
    for value in (0.0, -1.0):
        yield _tree(f"weight {value}", at("sum_hessian", leaf, value))("a weight above zero")
    for value in (1e-3, 1e9):
        yield _tree(f"weight {value}", at("sum_hessian", leaf, value))("weigh what its children do")


def links() -> Iterator[Case]:
    """Yield children beyond the tree, cycles, and nodes that hang nowhere or twice."""
    for key in ("left_children", "right_children"):
        for value in (-2, 0, 10**6, 2**31 - 1, -(2**31)):
            yield _tree(f"{key} {value}", at(key, inner, value))("inside its tree|two children")
        yield _tree(f"{key} none", at(key, inner, -1))("two children or none")
        yield _tree(f"{key} of a leaf", at(key, leaf, 1))("two children or none")
        yield _tree(f"{key} itself", at(key, lambda t: 1, 1))("child of one node")
    yield _tree("twins", _twins)("child of one node")
    for value in (0, -1, 5, 10**9):
        says = "name its parent"
        yield _tree(f"parent {value}", at("parents", lambda t: 0, value))(says)
    yield _tree("last parent", at("parents", lambda t: len(t["parents"]) - 1, PARENTS))(says)
    yield Case(name="ring", **_named(rewritten(lambda d: _set(d, ring()))), says="be reached")
    yield Case(name="chain", **_named(rewritten(lambda d: _set(d, chain(800)))), says="512 steps")
    yield Case(name="empty", **_named(rewritten(lambda d: _set(d, chain(0, 0)))), says="said to be")


def splits() -> Iterator[Case]:
    """Yield splits on features and categories that are not there."""
    for value in (WIDE, -1, 2**30):
        yield _tree(f"feature {value}", at("split_indices", inner, value))("split on one of 3")
    yield _tree("left", at("default_left", inner, 2))("send nulls left or right")
    yield _tree("kind 2", at("split_type", number, 2))("as the kind of its feature")
    yield _tree("number as category", at("split_type", number, 1))("as the kind of its feature")
    yield _tree("category as number", at("split_type", category, 0))("as the kind of its feature")
    yield _tree("leaf", at("split_type", leaf, 1))("as the kind of its feature")
    first: Callable[[Json], int] = lambda t: 0  # noqa: E731
    for value in (-1, 4, 2**31 - 1):
        yield _tree(f"category {value}", at("categories", first, value))("codes of their features")
    for value in (0, -1, 5, 2**62):
        yield _tree(f"sizes {value}", at("categories_sizes", first, value))(
            "of a feature's|lie one"
        )
    for value in (1, -1, 2**62):
        yield _tree(f"place {value}", at("categories_segments", first, value))("one node after")
    yield _tree("other node", at("categories_nodes", first, 10**6))("of its .* categorical nodes")
    for key in CATEGORIES:
        yield _tree(f"no {key}", lambda t, k=key: t.update({k: t[k][:0]}))("the categories of tree")


def shells() -> Iterator[Case]:
    """Yield learners of another kind than ours, and counts that lie."""
    vector = np.zeros(2, ">i4")
    changes: list[tuple[str, Change, str]] = [
        ("objective", lambda d: d["objective"].update(name="reg:squarederror"), "binary:logistic"),
        ("objective type", lambda d: d["objective"].update(name=vector), "binary:logistic"),
        ("no loss", lambda d: d["objective"].pop("reg_loss_param"), "the objective must have"),
        ("classes", lambda d: d["learner_model_param"].update(num_class="3"), "parameters must"),
        ("targets", lambda d: d["learner_model_param"].update(num_target="2"), "parameters must"),
        ("wide", lambda d: d["learner_model_param"].update(num_feature="9999999"), "parameters"),
        ("array", lambda d: d["learner_model_param"].update(num_feature=vector), "parameters"),
        ("names", lambda d: d.update(feature_names=["../a", "b", "c"]), "names to the manifest"),
        ("typed names", lambda d: d.update(feature_names=vector), "names to the manifest"),
        ("types", lambda d: d.update(feature_types=["q", "q", "q"]), "must take the 3 features"),
        ("typed types", lambda d: d.update(feature_types=vector), "must take the 3 features"),
        ("attributes", lambda d: d.update(attributes=["a"]), "attributes must be an object"),
        ("number", lambda d: d["attributes"].update(a=1), "attributes must be 20 texts"),
        ("many", lambda d: d["attributes"].update({f"{i:02}": "" for i in range(21)}), "20 texts"),
        ("more", lambda d: d.update(zzz="1"), "the learner must have"),
        ("linear", lambda d: d["gradient_booster"].update(name="gblinear"), "of trees, gbtree"),
        ("none", lambda d: d.update(gradient_booster="gbtree"), "must be an object"),
    ]
    for name, change, says in changes:
        yield _rewritten(name, lambda d, c=change: c(d["learner"]), says)
    for base in ("[nan]", "[2]", "[0]", "[1e999]", "0.5", "", "[]", "[0.5", 1, vector):
        change = lambda d, b=base: d["learner"]["learner_model_param"].update(base_score=b)  # noqa: E731
        yield _rewritten(f"base {base}", change, "the base score must")
    for weight in ("-1", "0", "inf", 1):
        change = lambda d, w=weight: d["learner"]["objective"]["reg_loss_param"].update(  # noqa: E731
            scale_pos_weight=w
        )
        yield _rewritten(f"weight {weight}", change, "the weight of positives must")
    for version in ([2, 0, 0], [3], [3, -1, 0], "3.4.1", np.array([3, 4, 1], ">i4"), []):
        yield _rewritten(
            "version", lambda d, v=version: d.update(version=v), "must be of XGBoost 3"
        )
    yield _rewritten("config", lambda d: d.update(Config={}), "the booster must have")
    yield from _forests()


def _forests() -> Iterator[Case]:
    vector = np.arange(TREES, dtype=">i4")
    changes: list[tuple[str, Change, str]] = [
        ("fewer", lambda m: m["trees"].pop(), "must have the 6 trees"),
        ("no trees", lambda m: m.update(trees=[]), "must have the 6 trees"),
        ("text", lambda m: m.update(trees="none"), "must have the 6 trees"),
        ("numbers", lambda m: m.update(trees=[1] * TREES), "must have the parts of a tree"),
        ("count", lambda m: m["gbtree_model_param"].update(num_trees="7"), "have 6 trees, one"),
        (
            "parallel",
            lambda m: m["gbtree_model_param"].update(num_parallel_tree="2"),
            "one a round",
        ),
        ("info", lambda m: m.update(tree_info=[0] * 5 + [9]), "one tree of the one target"),
        ("typed info", lambda m: m.update(tree_info=vector), "one tree of the one target"),
        ("rounds", lambda m: m.update(iteration_indptr=[0, 10**6]), "one tree of the one target"),
        ("categories", lambda m: m["cats"].update(sorted_idx=vector), "categories to the manifest"),
        ("no categories", lambda m: m["cats"].update(enc=1), "categories to the manifest"),
    ]
    for name, change, says in changes:
        yield _rewritten(name, lambda d, c=change: c(forest(d)), says)


def ring() -> Json:
    """Return a tree of a root that is a leaf, and two nodes that are each other's child."""
    return made(left=[-1, 2, 1, -1, -1], right=[-1, 3, 4, -1, -1], parents=[PARENTS, 2, 1, 1, 2])


def round_and_round() -> Json:
    """Return a tree whose root is its own child: a walk in it has no end."""
    return made(left=[0, -1], right=[0, -1], parents=[PARENTS, 0])


def chain(steps: int, ends: int = 1) -> Json:
    """Return a tree that goes down to the left so many steps."""
    inner, many = np.arange(steps), 2 * steps + ends
    left, right, parents = (np.full(many, -1) for _ in range(3))
    left[np.maximum(2 * inner - 1, 0)], right[np.maximum(2 * inner - 1, 0)] = (
        2 * inner + 1,
        2 * inner + 2,
    )
    for child in (2 * inner + 1, 2 * inner + 2):
        parents[child] = np.maximum(2 * inner - 1, 0)
    parents[:1] = PARENTS
    return made(left=left.tolist(), right=right.tolist(), parents=parents.tolist())


def made(*, left: list[int], right: list[int], parents: list[int]) -> Json:
    """Return a tree of these links that splits on the first feature; keys in order."""
    many = len(left)
    zeros: dict[str, Any] = {key: np.zeros(many, np.dtype(kind)) for key, kind in PER_NODE.items()}
    links = {"left_children": left, "right_children": right, "parents": parents}
    tree = zeros | {key: np.array(value, ">i4") for key, value in links.items()}
    tree["sum_hessian"] += 1
    tree |= {key: np.zeros(0, ">i4" if i < 2 else ">i8") for i, key in enumerate(CATEGORIES)}
    said = {"num_deleted": "0", "num_feature": str(WIDE), "num_nodes": str(many)}
    tree |= {"id": 0, "tree_param": {**said, "size_leaf_vector": "1"}}
    return dict(sorted(tree.items()))


def _twins(tree: Json) -> None:
    tree["right_children"][inner(tree)] = tree["left_children"][inner(tree)]


def _set(document: Json, tree: Json) -> None:
    forest(document)["trees"][0] = tree


def _tree(name: str, change: Change) -> Callable[[str], Case]:
    return lambda says: Case(name=name, **_named(of_tree(change)), says=says)


def _rewritten(name: str, change: Change, says: str) -> Case:
    return Case(name=name, **_named(rewritten(change)), says=says)


def _named(files: tuple[bytes, bytes]) -> Any:
    return {"manifest": files[0], "booster": files[1]}
