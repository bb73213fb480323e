"""Inference by the Open Inference Protocol: given rows scored by a model. Pure.

Nothing is looked up and nothing is put on record: whoever gives the features answers for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster.errors import nearest
from serving.reading.tensors import TEXTS, Tensor, TensorBroken, shown

if TYPE_CHECKING:
    from serving.model import Feature, Model

ROWS = "features"  # the one tensor that may stand for all
OUTPUTS = ("probability", "margin", "low", "high")
FLOAT = "FP64"
PLATFORM = "xgboost"
MOST_ROWS = 10_000
OTHER = "\0"  # a category that no vocabulary has: it cannot be typed


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a tensor must look like; -1 is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def inputs(model: Model) -> list[Described]:
    """Return a tensor per feature: FP64 for numbers, BYTES for categories."""
    return [
        Described(name=each.name, datatype=_datatype(each), shape=(-1,))
        for each in model.signature.features
    ]


def outputs() -> list[Described]:
    """Return what `infer` gives."""
    return [Described(name=name, datatype=FLOAT, shape=(-1,)) for name in OUTPUTS]


def infer(
    model: Model, given: Sequence[Tensor], wanted: Iterable[str] = OUTPUTS
) -> dict[str, np.ndarray]:
    """Return the outputs wanted by name, each (n,) float64, for n rows in their order.

    `given` is one tensor of n values per feature, or ROWS (n, f): the features in the order of the
    model, categories by their place in the vocabulary (from 1; 0 is any other). None, NaN and, but
    for a category of that name, an empty text are missing values. TensorBroken says what is wrong.
    """
    names = list(dict.fromkeys(wanted))
    for name in names:
        if name not in OUTPUTS:
            raise TensorBroken(
                f"an output must be one that the model has, got '{shown(name)}':"
                f" {nearest(name, OUTPUTS)}"
            )
    rows = rows_of(model, given)
    scores = model.score(model.encode(rows), model.points(rows))
    low, high = model.calibrator.intervals(scores.probability)
    found = (scores.probability, scores.margin.astype(np.float64), low, high)
    every = dict(zip(OUTPUTS, found, strict=True))
    return {name: every[name] for name in names}


def rows_of(model: Model, given: Sequence[Tensor]) -> pa.Table:
    """Return the rows in tensors, as a table of the model's features."""
    features = model.signature.features
    is_matrix = [each.name for each in given] == [ROWS] and ROWS not in {f.name for f in features}
    columns = _of_matrix(features, given[0]) if is_matrix else _of_tensors(features, given)
    return pa.table({f.name: c for f, c in zip(features, columns, strict=True)})


def _of_tensors(features: Sequence[Feature], given: Sequence[Tensor]) -> list[pa.Array]:
    by_name = {each.name: each for each in given}
    _must_be_all(features, given)
    rows = _rows(given[0])
    for each in given:
        if _rows(each) != rows:
            raise TensorBroken(
                f"all tensors must have as many rows, got {rows} in '{given[0].name}' and"
                f" {_rows(each)} in '{each.name}'"
            )
    return [_column(feature, by_name[feature.name]) for feature in features]


def _must_be_all(features: Sequence[Feature], given: Sequence[Tensor]) -> None:
    counts = Counter(each.name for each in given)
    names = [feature.name for feature in features]
    if twice := next((name for name, count in counts.items() if count > 1), None):
        raise TensorBroken(f"a tensor must be given once, got '{shown(twice)}' again")
    if other := next((name for name in counts if name not in names), None):
        raise TensorBroken(
            f"a tensor must be a feature of the model, got '{shown(other)}':"
            f" {nearest(other, names)}"
        )
    if missing := next((name for name in names if name not in counts), None):
        raise TensorBroken(
            f"every feature must be given, got none for '{missing}': give null where it is unknown"
        )


def _of_matrix(features: Sequence[Feature], given: Tensor) -> list[pa.Array]:
    if len(given.shape) != 2 or given.shape[1] != len(features):
        raise TensorBroken(
            f"tensor '{ROWS}' must have shape [n, {len(features)}], got {list(given.shape)}"
        )
    _must_be_few(given.shape[0])
    matrix = given.numbers().reshape(given.shape)
    return [_decoded(f, column) for f, column in zip(features, matrix.T, strict=True)]


def _rows(given: Tensor) -> int:
    if len(given.shape) not in {1, 2} or given.shape[1:] not in {(), (1,)}:
        raise TensorBroken(
            f"tensor '{given.name}' must have shape [n] or [n, 1], got {list(given.shape)}"
        )
    _must_be_few(given.shape[0])
    return given.shape[0]


def _must_be_few(rows: int) -> None:
    if rows > MOST_ROWS:
        raise TensorBroken(f"rows must be at most {MOST_ROWS:,}, got {rows:,}: send them in parts")


def _column(feature: Feature, given: Tensor) -> pa.Array:
    if feature.kind == "category":
        nothing = "" if "" not in feature.vocabulary else None  # bytes know no null
        return pa.array([None if t == nothing else t for t in given.texts()], pa.string())
    return pa.array(given.numbers(), pa.float64(), from_pandas=True)  # NaN is null


def _decoded(feature: Feature, codes: np.ndarray) -> pa.Array:
    """Return what the numbers of a column of ROWS stand for."""
    if feature.kind != "category":
        return pa.array(codes, pa.float64(), from_pandas=True)
    known = codes[~np.isnan(codes)]
    if ((known != np.floor(known)) | (known < 0) | (known > len(feature.vocabulary))).any():
        raise TensorBroken(
            f"category '{feature.name}' in '{ROWS}' must be a place in its vocabulary, 0 to"
            f" {len(feature.vocabulary)}: or give it by name as BYTES"
        )
    words = (OTHER, *feature.vocabulary)
    return pa.array([None if c != c else words[int(c)] for c in codes.tolist()], pa.string())


def _datatype(feature: Feature) -> str:
    return TEXTS if feature.kind == "category" else FLOAT
