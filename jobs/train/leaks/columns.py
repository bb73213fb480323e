"""Columns as levels, and how well they rank outcomes on rows that they have not seen. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import xgboost as xgb
from sklearn.metrics import roc_auc_score

from serving import model

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_ROWS = 20  # of a value, before it is a level of its own
MAX_LEVELS = 63
BINS = 32  # of numbers
FOLDS = 5
PRIOR_ROWS = 20  # of the mean outcome, in the rate of a level
ROUNDS = 60
PARAMS: dict[str, object] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "learning_rate": 0.15,
    "max_depth": 4,
    "min_child_weight": 8,
    "nthread": 1,
    "seed": 0,
}
EMPTY, OTHER = 0, 1  # levels that every column has


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column, as levels."""

    name: str
    level: np.ndarray  # (n,) int64
    words: tuple[str, ...]  # of the levels; none for a number's bins
    value: np.ndarray  # (n,) float64 for a model: the number, or the level; NaN where empty

    @property
    def is_filled(self) -> np.ndarray:
        """Where there is a value: (n,) bool."""
        return np.asarray(self.level != EMPTY)

    @property
    def is_text(self) -> bool:
        """Are its levels values?"""
        return bool(self.words)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The outcomes, and the folds on which columns are judged."""

    label: np.ndarray  # (n,) float64, 0 or 1
    fold: np.ndarray  # (n,) int64

    def alone(self, column: Column) -> float:
        """Return the AUC of the rates of a column's levels, out of fold."""
        score = np.empty(len(self.label))
        for number in range(FOLDS):
            held = self.fold == number
            score[held] = self._rates(column.level, ~held)[column.level[held]]
        return float(roc_auc_score(self.label, score))

    def together(self, columns: Sequence[Column]) -> float:
        """Return the AUC of a model of several columns, out of fold; 0.5 for none."""
        if not columns:
            return 0.5
        matrix = np.stack([each.value for each in columns], axis=1).astype(np.float32)
        types = ["c" if each.is_text else "q" for each in columns]
        margin = np.empty(len(self.label))
        for number in range(FOLDS):
            held = self.fold == number
            booster = xgb.train(PARAMS, _matrix(matrix[~held], types, self.label[~held]), ROUNDS)
            held_rows = _matrix(matrix[held], types)
            margin[held] = booster.predict(held_rows, output_margin=True)
        return float(roc_auc_score(self.label, margin))

    def _rates(self, level: np.ndarray, learnt: np.ndarray) -> np.ndarray:
        levels, label = int(level.max()) + 1, self.label[learnt]
        rows = np.bincount(level[learnt], minlength=levels)
        hits = np.bincount(level[learnt], weights=label, minlength=levels)
        rates: np.ndarray = (hits + PRIOR_ROWS * label.mean()) / (rows + PRIOR_ROWS)
        return rates


def judge(label: np.ndarray, rng: np.random.Generator) -> Judge:
    """Return the judge of outcomes (n,), with as many of each in every fold."""
    fold = np.empty(len(label), np.int64)
    for outcome in (0, 1):
        rows = rng.permutation(np.flatnonzero(label == outcome))
        fold[rows] = np.arange(len(rows)) % FOLDS
    return Judge(label=label.astype(np.float64), fold=fold)


def read(name: str, column: pa.ChunkedArray) -> Column | None:
    """Return a column as levels; None for one that is neither number, text, truth nor time."""
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if pt.is_boolean(kind) or model.is_text(kind):
        return _text(name, pc.cast(column, pa.string()))
    if pt.is_temporal(kind) and not pt.is_duration(kind) and not pt.is_time(kind):
        return _number(name, pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64()))
    return _number(name, column) if model.is_number(kind) else None


def standard_error(auc: float, label: np.ndarray) -> float:
    """Return the standard error of an AUC (Hanley & McNeil 1982)."""
    positives = float(label.sum())
    negatives = len(label) - positives
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (positives * negatives)))


def _text(name: str, column: pa.ChunkedArray) -> Column:
    counts = pc.value_counts(pc.drop_null(column)).to_pylist()
    frequent = sorted((-c["counts"], c["values"]) for c in counts if c["counts"] >= MIN_ROWS)
    known = pa.array([value for _, value in frequent[:MAX_LEVELS]], pa.string())
    place = pc.fill_null(pc.index_in(column, known), -1).to_numpy()
    level = np.where(column.is_null().to_numpy(), EMPTY, place.astype(np.int64) + OTHER + 1)
    words = ("(empty)", "(other)", *known.to_pylist())
    return Column(name=name, level=level, words=words, value=level.astype(np.float64))


def _number(name: str, column: pa.ChunkedArray) -> Column:
    value = np.asarray(pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan))
    there = np.isfinite(value)
    level = np.zeros(len(value), np.int64)
    if there.any():
        edges = np.unique(np.quantile(value[there], np.linspace(0, 1, BINS + 1)[:-1]))
        level[there] = np.searchsorted(edges, value[there], side="left") + OTHER
    return Column(name=name, level=level, words=(), value=np.where(there, value, np.nan))


def _matrix(values: np.ndarray, types: list[str], label: np.ndarray | None = None) -> xgb.DMatrix:
    return xgb.DMatrix(values, label, feature_types=types, enable_categorical=True, nthread=1)
