"""The model: rows in, margin and calibrated probability out, with the reasons. Pure.

A score is a function of its row alone, to the last bit: alone or in a batch, in any order, on any
number of threads. XGBoost adds the leaves of a row in tree order as float32, and the probability is
made of correctly rounded operations only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import xgboost as xgb

from cluster.errors import FunnelcastError, nearest

type Row = Mapping[str, object]
type Rows = pa.Table | pd.DataFrame | Sequence[Row]

OTHER = 0  # code of a category that training saw too rarely, or never
LOGIT_LIMIT = 30.0  # keeps probabilities inside (0, 1): 1e-13 from either end
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
_TAYLOR = [1.0 / f for f in np.cumprod([1.0, *range(1, 14)]).tolist()]  # 1/0! ... 1/13!


class SignatureMismatch(FunnelcastError):
    """The rows do not have the columns or types that the model was trained on."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One input of a model."""

    name: str
    kind: Literal["number", "category"]
    label: str  # what a seller reads
    vocabulary: tuple[str, ...] = ()  # category of code 1, 2, ...; all else is OTHER

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

    def encode(self, rows: Rows) -> np.ndarray:
        """Return rows as XGBoost sees them: (n, f) float32, contiguous, null as NaN."""
        if isinstance(rows, pd.DataFrame):
            rows = self.arrow(rows)
        column = self._column if isinstance(rows, pa.Table) else self._values
        matrix = np.empty((len(rows), len(self.features)), np.float32)
        with np.errstate(over="ignore"):
            for j, feature in enumerate(self.features):
                matrix[:, j] = column(rows, feature)
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

    @staticmethod
    def _values(rows: Sequence[Row], feature: Feature) -> list[float]:
        try:
            return [feature.code(row[feature.name]) for row in rows]
        except KeyError as error:
            short = min(rows, key=lambda row: feature.name in row)
            raise _missing(feature.name, short) from error

    def _must_be_finite(self, matrix: np.ndarray) -> None:
        # XGBoost takes an infinity silently at prediction and refuses it in training
        if np.isinf(matrix).any():
            j = int(np.flatnonzero(np.isinf(matrix).any(axis=0))[0])
            raise self.features[j].mismatch("an infinity or a number beyond float32")


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Scores of one neighbourhood, and how often they came true out of fold."""

    upper: float  # highest probability that belongs here
    rows: int
    positives: int
    low: float  # Wilson interval of positives / rows
    high: float


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """Platt scaling (Platt 1999): probability = 1 / (1 + exp(-(slope * margin + intercept)))."""

    slope: float = 1.0  # never negative: a higher margin never means a lower probability
    intercept: float = 0.0
    bins: tuple[Bin, ...] = ()  # by `upper`; none: nothing is known, the interval is (0, 1)

    def probability(self, margin: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of each margin: (n,) float64."""
        return sigmoid(margin.astype(np.float64) * self.slope + self.intercept)

    def intervals(self, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high) per probability: the 95 % interval of the rate among scores like it.

        Widened where needed to contain the probability itself.
        """
        if not self.bins:
            return np.zeros(len(probability)), np.ones(len(probability))
        place = np.searchsorted([b.upper for b in self.bins[:-1]], probability, side="left")
        low = np.array([b.low for b in self.bins])[place]
        high = np.array([b.high for b in self.bins])[place]
        return np.minimum(low, probability), np.maximum(high, probability)

    def interval(self, probability: float) -> tuple[float, float]:
        """Return (low, high) of one probability."""
        low, high = self.intervals(np.array([probability]))
        return float(low[0]), float(high[0])


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a model says of n rows."""

    margin: np.ndarray  # (n,) float32, log-odds before calibration
    probability: np.ndarray  # (n,) float64


@dataclass(frozen=True, kw_only=True)
class Reason:
    """How much one feature moved one score."""

    feature: str
    label: str
    value: object  # as given in the row, None for null
    contribution: float  # log-odds before calibration; over all features and the base the margin


@dataclass(frozen=True, kw_only=True)
class Model:
    """A booster with its signature and calibrator. Safe to share between threads."""

    booster: xgb.Booster  # loaded, nthread=1
    signature: Signature
    calibrator: Calibrator

    def encode(self, rows: Rows) -> np.ndarray:
        """Return rows as XGBoost sees them: (n, f) float32."""
        return self.signature.encode(rows)

    def score(self, matrix: np.ndarray) -> Scores:
        """Score encoded rows (n, f)."""
        margin = margins(self.booster, self._checked(matrix))
        return Scores(margin=margin, probability=self.calibrator.probability(margin))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Return exact TreeSHAP values (n, f + 1) float32; the last column is the base.

        A row sums to its margin, up to float32 rounding (Lundberg 2018).
        """
        matrix = self._checked(matrix)
        if not len(matrix):
            return np.empty((0, matrix.shape[1] + 1), np.float32)
        kinds = feature_types(self.signature)
        data = xgb.DMatrix(matrix, feature_types=kinds, enable_categorical=True, nthread=1)
        return np.asarray(self.booster.predict(data, pred_contribs=True, validate_features=False))

    def reasons(self, rows: Rows, *, top: int = 5) -> list[tuple[Reason, ...]]:
        """Return per row the `top` features that moved its margin most, strongest first."""
        table = self.signature.arrow(rows) if isinstance(rows, pd.DataFrame) else rows
        records = table.to_pylist() if isinstance(table, pa.Table) else table
        shares = self.contributions(self.encode(table))[:, :-1]
        strongest = np.argsort(-np.abs(shares), axis=1, kind="stable")[:, :top]
        return [
            tuple(self._reason(j, row, share[j]) for j in order.tolist() if share[j] != 0)
            for row, share, order in zip(records, shares, strongest, strict=True)
        ]

    def _reason(self, j: int, row: Row, share: np.float32) -> Reason:
        feature = self.signature.features[j]
        value = row[feature.name]
        return Reason(
            feature=feature.name,
            label=feature.label,
            value=None if value is None or value != value else value,
            contribution=float(share),
        )

    def _checked(self, matrix: np.ndarray) -> np.ndarray:
        wide = len(self.signature.features)
        if matrix.ndim != 2 or matrix.shape[1] != wide:
            raise SignatureMismatch(
                f"rows must have shape (n, {wide}), got {matrix.shape}: encode them with this model"
            )
        return np.ascontiguousarray(matrix, np.float32)


def margins(booster: xgb.Booster, matrix: np.ndarray, rounds: int = 0) -> np.ndarray:
    """Return the log-odds of encoded rows (n,) float32, from the first `rounds` trees (0: all)."""
    if not len(matrix):
        return np.empty(0, np.float32)  # XGBoost gives shape (0, 0)
    return booster.inplace_predict(
        matrix, predict_type="margin", iteration_range=(0, rounds), validate_features=False
    )


def feature_types(signature: Signature) -> list[str]:
    """Return the kinds of the features in XGBoost's spelling."""
    return ["c" if feature.kind == "category" else "q" for feature in signature.features]


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logit)), float64, the same bits on every machine.

    exp by reduction to |r| <= ln 2 / 2 and its Taylor series: only + - * / and powers of two, which
    IEEE 754 rounds correctly, where exp of a maths library differs between processors.
    """
    x = np.clip(-logit, -LOGIT_LIMIT, LOGIT_LIMIT)
    k = np.rint(x * _LOG2_E)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    series = np.full_like(r, _TAYLOR[-1])
    for coefficient in _TAYLOR[-2::-1]:
        series = series * r + coefficient
    return np.asarray(1.0 / (1.0 + np.ldexp(series, k.astype(np.int32))))


def is_text(kind: pa.DataType) -> bool:
    """Is a column of this type a category?"""
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Is a column of this type a number?"""
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind))


def _missing(name: str, names: Iterable[str]) -> SignatureMismatch:
    return SignatureMismatch(f"a row must have '{name}', got none: {nearest(name, names)}")
