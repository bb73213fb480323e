"""The way in: a view over events and rows, as columns of Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.compute import formulas, order
from features.compute.evaluation import Evaluation
from features.compute.groups import encoded
from features.compute.inputs import Inputs
from features.compute.lowering import lowered
from features.compute.measures import NONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from features.compute.inputs import Ints
    from features.compute.lowering import Lowered
    from features.compute.measures import Measure
    from features.views.language import View


def compute(view: View, events: pa.Table, spine: pa.Table) -> pa.Table:
    """Return `spine` (columns entity, account, time and any other), sorted by entity and time,
    with one column per feature of `view`. `events` have at least the columns of `columns_of`.
    """
    rows = in_order(spine)
    inputs = Inputs(events)
    return finished(view, rows, evaluated(view, inputs, rows).column, inputs)


def in_order(spine: pa.Table) -> pa.Table:
    """Return the rows of a spine by entity and time."""
    codes, entities = encoded(spine["entity"])
    ranks = np.append(pc.rank(entities).to_numpy().astype(np.int64) - 1, len(entities))
    places, _ = order.in_order(ranks[codes], log.microseconds(spine["time"]), len(ranks))
    return spine if order.is_ascending(places) else spine.take(pa.array(places))


def evaluated(view: View, inputs: Inputs, rows: pa.Table) -> Evaluation:
    """Return what computes the measures of a view over events, for rows."""
    measures = dict.fromkeys(m for feature in view.features for m in lowered(feature).operands)
    return Evaluation(inputs=inputs, rows=rows, entity=view.entity, measures=tuple(measures))


def finished(
    view: View, rows: pa.Table, column: Callable[[Measure], Ints], inputs: Inputs | None = None
) -> pa.Table:
    """Return rows with the features of a view, made of the measures that `column` gives.

    Texts and numbers of single events are looked up in `inputs`.
    """
    times = log.microseconds(rows["time"])
    columns = []
    for feature in view.features:
        how = lowered(feature)
        operands = [column(measure) for measure in how.operands]
        columns.append(_column(how, operands, times, inputs).cast(feature.type))
    fields = [pa.field(feature.name, feature.type) for feature in view.features]
    schema = pa.schema([*rows.schema, *fields])
    return pa.Table.from_arrays([*rows.columns, *columns], schema=schema)


def _column(how: Lowered, operands: list[Ints], times: Ints, inputs: Inputs | None) -> pa.Array:
    if how.column:
        if inputs is None:
            raise AssertionError("a feature that names an event needs the events")
        return _of_events(how.column, operands[0], inputs)
    if how.formula == formulas.VALUE:
        return _nullable(operands[0], operands[0] == NONE)
    if how.formula == formulas.REAL:
        return pa.array(operands[0].view(np.float64))
    return _applied(how, operands, times)


def _applied(how: Lowered, operands: list[Ints], times: Ints) -> pa.Array:
    constants = np.array(how.constants, np.float64)
    reals, whole = formulas.applied(how.formula, np.stack(operands), constants, times)
    if how.formula in formulas.WHOLE:
        return _nullable(whole, whole == NONE)
    return _nullable(reals, np.isnan(reals))


def _nullable(values: np.ndarray, is_null: np.ndarray) -> pa.Array:
    return pa.array(values, mask=is_null) if is_null.any() else pa.array(values)


def _of_events(column: str, places: Ints, inputs: Inputs) -> pa.Array:
    """Return a column of the events named by their places."""
    is_null = places == NONE
    safe = np.where(is_null, 0, places)
    if not len(inputs):
        return pa.nulls(len(places), pa.string())
    if column == "number":
        return _nullable(inputs.numbers[safe], is_null | ~inputs.has_number[safe])
    codes, words = inputs.codes(column)
    found = codes[safe]
    return words.take(pa.array(found, mask=is_null | (found < 0)))
