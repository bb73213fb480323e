"""Who is eligible: rows whose entity meets the conditions of the target at T, as known at T. Pure.

The conditions are asked as features, so that a batch, the service and a replay agree on them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from features import compute
from features.views.aggregates import Count, LastText
from features.views.language import Events

if TYPE_CHECKING:
    from features.targets import Condition, Target
    from features.views import Feature


def only(target: Target, events: pa.Table, rows: pa.Table) -> pa.Table:
    """Return the rows (columns entity, account, time and any other) that are eligible."""
    if not target.eligible or not rows.num_rows:
        return rows
    asked = {f"condition_{n}": each for n, each in enumerate(target.eligible)}
    features = tuple(_feature(name, each) for name, each in asked.items())
    view = replace(target.features, name="eligible", features=features)
    found = compute.compute(view, events.select(compute.COLUMNS), rows)
    met = reduce(pc.and_, (_met(each, found[name]) for name, each in asked.items()))
    return found.select(rows.column_names).filter(met)


def _feature(name: str, condition: Condition) -> Feature:
    named = condition.named
    events = Events(kind=named.kind, names=named.names, of=condition.of)
    aggregate = LastText if condition.attribute else Count
    return aggregate(name=name, label=name, events=events)


def _met(condition: Condition, found: pa.ChunkedArray) -> pa.ChunkedArray:
    if condition.attribute:
        return pc.is_in(found, value_set=pa.array(condition.one_of))
    return pc.equal(pc.greater(found, 0), condition.has is not None)
