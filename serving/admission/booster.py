"""The booster as a document: gradient boosted trees for a yes or no, and nothing else.

Parts and names of XGBoost 3 (doc/model.schema of its sources); numbers outside arrays are texts.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from serving.admission import forest, ubjson
from serving.admission.broken import refuse, same

MAJOR = 3  # of the XGBoost whose files these are
MAX_ATTRIBUTES = 20
_NUMBER = re.compile(r"[-+]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?")
_NO_CATEGORIES = {"enc", "feature_segments", "sorted_idx"}  # kept by XGBoost when frames train it


def check(data: bytes, *, rounds: int, codes: list[int]) -> None:
    """Refuse a booster that XGBoost could not load safely, or that is not of its manifest.

    `codes` gives per feature how many codes it has: 0 for a number.
    """
    document = ubjson.read(data)
    _keys(document, "the booster", {"learner", "version"})
    _version(document["version"])
    learner = document["learner"]
    parts = ("attributes", "feature_names", "feature_types", "gradient_booster")
    _keys(learner, "the learner", {*parts, "learner_model_param", "objective"})
    _features(learner, codes)
    _learner(learner, len(codes))
    trees = _trees(learner["gradient_booster"], rounds)
    forest.check(trees, forest.Inputs.of(codes))


def _version(found: Any) -> None:
    whole = isinstance(found, list) and all(isinstance(part, int) for part in found)
    if not whole or len(found) != 3 or found[0] != MAJOR or min(found) < 0:
        refuse(f"the booster must be of XGBoost {MAJOR}", found)


def _features(learner: dict[str, Any], codes: list[int]) -> None:
    kinds = ["c" if count else "q" for count in codes]
    if not same(learner["feature_types"], kinds):
        found = learner["feature_types"]
        count = len(found) if isinstance(found, list) else type(found).__name__
        refuse(
            f"the booster must take the {len(kinds)} features of its manifest", f"{count} others"
        )
    if not same(learner["feature_names"], []):
        refuse("the booster must leave names to the manifest", "names of its own")
    attributes = _keys(learner["attributes"], "the attributes")
    if len(attributes) > MAX_ATTRIBUTES or not all(isinstance(v, str) for v in attributes.values()):
        refuse(f"the attributes must be {MAX_ATTRIBUTES} texts at most", len(attributes))


def _learner(learner: dict[str, Any], wide: int) -> None:
    said = dict(_keys(learner["learner_model_param"], "the parameters"))
    base = said.pop("base_score", None)
    fixed = {"num_class": "0", "num_feature": str(wide), "num_target": "1"}
    average = said.pop("boost_from_average", None)
    if not (same(average, "0") or same(average, "1")) or not same(said, fixed):
        refuse(f"the parameters must be those of one yes or no about {wide} features", "others")
    inside = isinstance(base, str) and base[:1] == "[" and base[-1:] == "]"
    if not inside or not 0 < _number(base[1:-1], "the base score") < 1:
        refuse("the base score must lie between 0 and 1", base)
    objective = _keys(learner["objective"], "the objective", {"name", "reg_loss_param"})
    if not same(objective["name"], "binary:logistic"):
        refuse("the objective must be binary:logistic", objective["name"])
    loss = _keys(objective["reg_loss_param"], "the loss", {"scale_pos_weight"})
    if _number(loss["scale_pos_weight"], "the weight of positives") <= 0:
        refuse("the weight of positives must be above 0", loss["scale_pos_weight"])


def _trees(booster: Any, rounds: int) -> list[Any]:
    _keys(booster, "the gradient booster", {"model", "name"})
    if not same(booster["name"], "gbtree"):
        refuse("the booster must be of trees, gbtree", booster["name"])
    parts = {"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"}
    model = _keys(booster["model"], "the model", parts)
    own = _keys(model["cats"], "the categories", _NO_CATEGORIES).values()
    if not all(isinstance(part, list | np.ndarray) and not len(part) for part in own):
        refuse("the booster must leave categories to the manifest", "categories of its own")
    trees = model["trees"]
    if not isinstance(trees, list) or len(trees) != rounds or not trees:
        count = len(trees) if isinstance(trees, list) else type(trees).__name__
        refuse(f"the booster must have the {rounds} trees of its manifest", count)
    said = {"num_parallel_tree": "1", "num_trees": str(rounds)}
    if not same(model["gbtree_model_param"], said):
        refuse(f"the booster must be said to have {rounds} trees, one a round", "otherwise")
    rows = {"iteration_indptr": list(range(rounds + 1)), "tree_info": [0] * rounds}
    if not all(same(model[key], row) for key, row in rows.items()):
        refuse("each round must have one tree of the one target", "others")
    return trees


def _keys(found: Any, what: str, wanted: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(found, dict):
        refuse(f"{what} must be an object", type(found).__name__)
    if wanted is not None and found.keys() != wanted:
        odd = ", ".join(sorted(found.keys() ^ wanted))
        refuse(f"{what} must have {', '.join(sorted(wanted))}", f"{odd} besides or missing")
    return found


def _number(text: object, what: str) -> float:
    """Return the number in a text; it is finite."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        refuse(f"{what} must be a number", text)
    return float(text)
