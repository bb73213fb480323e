"""The model: rows in, margin and calibrated probability out, with the reasons. Pure.

A score is a function of its row alone, to the last bit: alone or in a batch, in any order, on any
number of threads. The leaves of a row are added in tree order as float32, by XGBoost or, of few
rows, as XGBoost does it; and the probability is made of correctly rounded operations only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from cluster.errors import FunnelcastError, nearest
from serving import ruled, rules
from serving.explain import Groups
from serving.explain import Reason as Reason  # a name of this module too
from serving.shapley import Explainer
from serving.trees import TreesBroken
from serving.walker import MOST_ROWS, NotExact, Walker
from serving.walker import margins as margins  # a name of this module too
from serving.wording import PLAIN, Wording

if TYPE_CHECKING:
    import xgboost as xgb

    from serving.calibrator import Calibrator
    from serving.rules import Rule

type Row = Mapping[str, object]
type Rows = pa.Table | pd.DataFrame | Sequence[Row]

_LOG = logging.getLogger(__name__)
_PLAIN = {int, float, bool, type(None)}  # types of values that numpy takes as they are
OTHER = 0  # code of a category that training saw too rarely, or never


class SignatureMismatch(FunnelcastError):
    """The rows do not have the columns or types that the model was trained on."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One input of a model."""

    name: str
    kind: Literal["number", "category"]
    label: str  # what a seller reads
    vocabulary: tuple[str, ...] = ()  # category of code 1, 2, ...; all else is OTHER
    wording: Wording = PLAIN  # how it is explained

    @cached_property
    def codes(self) -> dict[str, int]:
        """Code of each category."""
        return {value: code for code, value in enumerate(self.vocabulary, start=1)}

    def code(self, value: object) -> float:
        """Return the number XGBoost sees for one value; null is NaN."""
        if value is None or value != value:
            return np.nan
        if self.kind == "category":
            if isinstance(value, str):
                return float(self.codes.get(value, OTHER))
        elif isinstance(value, int | float | np.number | np.bool):
            return float(value)
        raise self.mismatch(f"{type(value).__name__} {value!r}")

    def column(self, values: pa.ChunkedArray) -> np.ndarray:
        """Return the numbers XGBoost sees for a column: (n,) float64."""
        if pt.is_null(values.type):
            return np.full(len(values), np.nan)
        if pt.is_dictionary(values.type):
            values = pc.cast(values, values.type.value_type)
        if self.kind == "category" and is_text(values.type):
            encoded = values.combine_chunks().dictionary_encode()
            codes = [self.code(value) for value in encoded.dictionary.to_pylist()]
            places = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
            return np.asarray(np.array([*codes, np.nan])[places])  # -1: the last one
        if self.kind == "number" and is_number(values.type):
            return np.asarray(pc.cast(values, pa.float64(), safe=False))
        raise self.mismatch(f"a column of type {values.type}")

    def mismatch(self, found: str) -> SignatureMismatch:
        """Return the error for a value of the wrong type."""
        return SignatureMismatch(
            f"'{self.name}' must be a {self.kind} or null, got {found}: compute it with the view "
            "the model was trained on"
        )


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The inputs of a model, in its order."""

    features: tuple[Feature, ...]

    def worded(self, wordings: Mapping[str, Wording]) -> Self:
        """Return these inputs as they are to be explained, by name; others stay as they are."""
        said = [replace(f, wording=wordings.get(f.name, f.wording)) for f in self.features]
        return replace(self, features=tuple(said))

    def encode(self, rows: Rows) -> np.ndarray:
        """Return rows as XGBoost sees them: (n, f) float32, contiguous, null as NaN."""
        if isinstance(rows, pd.DataFrame):
            rows = self.arrow(rows)
        matrix = np.empty((len(rows), len(self.features)), np.float32)
        with np.errstate(over="ignore"):
            if isinstance(rows, pa.Table):
                for j, feature in enumerate(self.features):
                    matrix[:, j] = self._column(rows, feature)
            else:
                self._fill(matrix, rows)
        self._must_be_finite(matrix)
        return matrix

    def arrow(self, frame: pd.DataFrame) -> pa.Table:
        """Return the columns of this signature as Arrow, where NaN and NA are null."""
        names = [f.name for f in self.features]
        for name in names:
            if name not in frame:
                raise _missing(name, [str(column) for column in frame])
        try:
            return pa.Table.from_pandas(frame[names], preserve_index=False)
        except pa.ArrowException as error:
            raise SignatureMismatch(
                f"each column must hold one type, got {' '.join(str(error).split())}: "
                "compute the rows with the view the model was trained on"
            ) from error

    @staticmethod
    def _column(table: pa.Table, feature: Feature) -> np.ndarray:
        if feature.name not in table.column_names:
            raise _missing(feature.name, table.column_names)
        return feature.column(table[feature.name])

    def _fill(self, matrix: np.ndarray, rows: Sequence[Row]) -> None:
        """Write rows as XGBoost sees them: numbers all at once, categories one by one."""
        try:
            values = [[row[name] for name in self._names] for row in rows]
        except KeyError as error:
            name = error.args[0]
            raise _missing(name, min(rows, key=lambda row: name in row)) from error
        for j in self._categories:
            code = self.features[j].code
            for row in values:
                row[j] = code(row[j])
        if not {type(value) for row in values for value in row} <= _PLAIN:
            values = [[f.code(v) for f, v in zip(self._coded, row, strict=True)] for row in values]
        matrix[:] = np.array(values, np.float64).reshape(matrix.shape)  # None is NaN

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @cached_property
    def _categories(self) -> tuple[int, ...]:
        return tuple(j for j, feature in enumerate(self.features) if feature.kind == "category")

    @cached_property
    def _coded(self) -> tuple[Feature, ...]:
        """The features where a category stands for its code already."""
        return tuple(replace(feature, kind="number") for feature in self.features)

    def _must_be_finite(self, matrix: np.ndarray) -> None:
        # XGBoost takes an infinity silently at prediction and refuses it in training
        if np.isinf(matrix).any():
            j = int(np.flatnonzero(np.isinf(matrix).any(axis=0))[0])
            raise self.features[j].mismatch("an infinity or a number beyond float32")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a model says of n rows."""

    margin: np.ndarray  # (n,) float32, log-odds before calibration
    probability: np.ndarray  # (n,) float64


@dataclass(frozen=True, kw_only=True)
class Model:
    """A booster with its signature, rules and calibrator. Safe to share between threads."""

    booster: xgb.Booster  # loaded, nthread=1
    signature: Signature
    calibrator: Calibrator
    rules: tuple[Rule, ...] = ()  # about features of the signature

    def encode(self, rows: Rows) -> np.ndarray:
        """Return rows as XGBoost sees them: (n, f) float32."""
        return self.signature.encode(rows)

    def points(self, rows: Rows) -> np.ndarray | None:
        """Return the points of the rules per row, (n,) int64; None where they count for nothing."""
        if not self.calibrator.per_point:
            return None
        is_table = isinstance(rows, pd.DataFrame | pa.Table)
        return rules.score(self.rules, rows) if is_table else rules.points(self.rules, rows)

    def score(self, matrix: np.ndarray, points: np.ndarray | None = None) -> Scores:
        """Score encoded rows (n, f), which have so many `points` (n,) of the rules.

        PointsMissing where the points count and are not given.
        """
        margin = self._margins(self._checked(matrix))
        return Scores(margin=margin, probability=self.calibrator.probability(margin, points))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return exact TreeSHAP values (n, f + 1) float64; the last column is the base.

        A row sums to its margin, up to the float32 rounding of the margin (Lundberg 2018).
        """
        return self.explainer.contributions(self._checked(matrix))

    def reasons(self, rows: Rows, *, top: int = 5) -> list[tuple[Reason, ...]]:
        """Return per row the `top` groups of features that moved its margin most, strongest first.

        Features of one group say the same thing: see wording.py. Where the calibrator weighs rules,
        what they say together is one of the reasons: see ruled.py.
        """
        table = self.signature.arrow(rows) if isinstance(rows, pd.DataFrame) else rows
        records = table.to_pylist() if isinstance(table, pa.Table) else table
        shares = self.contributions(self.encode(table))
        points = self.points(records)
        calibrated = partial(self.calibrator.probability, points=points)
        found = self.groups.reasons(records, shares, calibrated, top=top)
        if points is None:
            return found
        by_rules = ruled.reasons(self.rules, records, shares, self.calibrator)
        weigh = partial(ruled.joined, slope=self.calibrator.slope, top=top)
        return [weigh(*each) for each in zip(found, by_rules, strict=True)]

    @cached_property
    def explainer(self) -> Explainer:
        """The tables that contributions are made from; TreesBroken if there can be none."""
        return Explainer.of(self.booster)

    @cached_property
    def walker(self) -> Walker | None:
        """What scores few rows, where it is known to score as XGBoost does; else None."""
        try:
            return Walker.of(self.booster, self.explainer.splits)
        except TreesBroken:
            return None
        except NotExact as error:
            _LOG.warning("%s", error)
            return None

    @cached_property
    def groups(self) -> Groups:
        """The features by what they say."""
        return Groups.among(self.signature.features)

    def _margins(self, matrix: np.ndarray) -> np.ndarray:
        walker = self.walker if len(matrix) <= MOST_ROWS else None
        if walker is None or not walker.takes(matrix):
            return margins(self.booster, matrix)
        return walker.margins(matrix)

    def _checked(self, matrix: np.ndarray) -> np.ndarray:
        wide = len(self.signature.features)
        if matrix.ndim != 2 or matrix.shape[1] != wide:
            raise SignatureMismatch(
                f"rows must have shape (n, {wide}), got {matrix.shape}: encode them with this model"
            )
        return np.ascontiguousarray(matrix, np.float32)


def feature_types(signature: Signature) -> list[str]:
    """Return the kinds of the features in XGBoost's spelling."""
    return ["c" if feature.kind == "category" else "q" for feature in signature.features]


def is_text(kind: pa.DataType) -> bool:
    """Is a column of this type a category?"""
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Is a column of this type a number?"""
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind))


def _missing(name: str, names: Iterable[str]) -> SignatureMismatch:
    return SignatureMismatch(f"a row must have '{name}', got none: {nearest(name, names)}")
