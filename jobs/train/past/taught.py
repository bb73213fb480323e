"""A model of a past moment: taught the rows whose outcome was known by then, as it was known then.

Parameters are those for rows too few to search: a search would be paid at every cut, and one made
with all rows would know the future. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import spine
from jobs.train import fit, learn, split
from serving import rules
from serving.moved import replay

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from features.targets import Target
    from serving.model import Model

LEAST_ROWS = split.MIN_ROWS  # whose outcome is known; with fewer there is no model yet
LEAST_OUTCOMES = split.TO_JUDGE.train  # of either kind


def labelled(target: Target, events: pa.Table, rows: pa.Table, cut: datetime) -> pa.Table:
    """Return the feature rows of before a moment with label and maturity as known at it: a label
    that came, was entered or was corrected later is not seen.
    """
    before = rows.filter(pc.less(rows["time"], pa.scalar(cut, rows["time"].type)))
    came = spine.outcomes(target, events, before.select(spine.ASKED.names), cut)
    keys = spine.ASKED.names
    joined = before.join(came.drop_columns(["account"]), keys, join_type="inner")
    # a join on threads gives its rows in any order, and trees are grown by it
    return joined.sort_by([(name, "ascending") for name in keys])


def model(target: Target, table: pa.Table, seed: int) -> Model | None:
    """Return the model of labelled rows; None where too few of them are mature."""
    known = table["label"].filter(table["mature"])
    positive = pc.sum(known).as_py() or 0
    if len(known) < LEAST_ROWS or min(positive, len(known) - positive) < LEAST_OUTCOMES:
        return None
    prepared = fit.prepare(table, target, test_share=0.0, purge=True)
    recipe = learn.Recipe.of_few(len(prepared.data.label))
    rng = np.random.default_rng(seed)
    return learn.learnt(prepared, rules.parse(target.rules), recipe, rng)[0]


def probabilities(made: Model, rows: pa.Table) -> np.ndarray:
    """Return the probability of each feature row, float64 [rows]."""
    return np.asarray(replay.scored(made, rows).probability)


def among(rows: pa.Table, moments: Collection[datetime]) -> pa.Table:
    """Return the rows of some moments."""
    wanted = pa.array(sorted(moments), rows["time"].type)
    return rows.filter(pc.is_in(rows["time"], value_set=wanted))
