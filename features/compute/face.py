"""The way in: a view over events and rows, as columns of Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.compute import formulas
from features.compute.evaluation import Evaluation, windows_of
from features.compute.inputs import Inputs
from features.compute.lowering import lowered
from features.compute.measures import NONE

if TYPE_CHECKING:
    from features.compute.inputs import Ints
    from features.compute.lowering import Lowered
    from features.views.aggregates import Feature
    from features.views.language import View


def compute(view: View, events: pa.Table, spine: pa.Table) -> pa.Table:
    """Return `spine` (columns entity, account, time and any other), sorted by entity and time,
    with one column per feature of `view`. `events` have at least COLUMNS.
    """
    order = pc.sort_indices(spine, [("entity", "ascending"), ("time", "ascending")])
    rows = spine.take(order)
    evaluation = Evaluation(
        inputs=Inputs(events),
        rows=rows,
        entity=view.entity,
        windows=windows_of(m for f in view.features for m in lowered(f).operands),
    )
    times = log.microseconds(rows["time"])
    columns = [_column(feature, evaluation, times) for feature in view.features]
    fields = [pa.field(feature.name, feature.type) for feature in view.features]
    return pa.Table.from_arrays(
        [*rows.columns, *columns], schema=pa.schema([*rows.schema, *fields])
    )


def _column(feature: Feature, evaluation: Evaluation, times: Ints) -> pa.Array:
    how = lowered(feature)
    operands = [evaluation.column(measure) for measure in how.operands]
    if how.column:
        return _of_events(how.column, operands[0], evaluation.inputs).cast(feature.type)
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
