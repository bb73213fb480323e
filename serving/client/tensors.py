"""Rows of features as tensors of the Open Inference Protocol, and scores as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas.api import types

from serving.client import calls, errors, frames

if TYPE_CHECKING:
    from serving.client.flow import Flow
    from serving.wire.inference import InferOut

PAGE = 10_000  # rows of one request


def flow(model: str, version: str | None, frame: pd.DataFrame) -> Flow[pd.DataFrame]:
    """Score the rows of a frame, whose columns are features; returns the outputs by name, with the
    frame's index.
    """
    frames.require_columns(frame, [str(name) for name in frame.columns])
    parts = []
    for start in range(0, max(len(frame), 1), PAGE):
        part = frame.iloc[start : start + PAGE]
        found = yield calls.infer(model, version, [_tensor(part[name]) for name in part.columns])
        parts.append(_outputs(found, len(part)))
    return pd.concat(parts, ignore_index=True).set_index(frame.index)


def _tensor(column: pd.Series) -> dict[str, Any]:
    return {
        "name": str(column.name),
        "shape": [len(column)],
        "datatype": _datatype(column),
        "data": frames.plain(column),
    }


def _datatype(column: pd.Series) -> str:
    kind = column.dtype
    if types.is_bool_dtype(kind):
        return "BOOL"
    if types.is_integer_dtype(kind):
        return "INT64"
    if types.is_float_dtype(kind):
        return "FP64"
    if types.is_string_dtype(kind) or types.is_object_dtype(kind) or kind == "category":
        return "BYTES"
    raise errors.Invalid(
        f"a feature must be a number, a truth value or a text, got '{column.name}' of {kind}"
    )


def _outputs(found: InferOut, rows: int) -> pd.DataFrame:
    for tensor in found.outputs:
        if len(tensor.data) != rows:
            raise errors.BadAnswer(
                f"output '{tensor.name}' must have {rows} values, got {len(tensor.data)}"
            )
    return pd.DataFrame({tensor.name: tensor.data for tensor in found.outputs})
