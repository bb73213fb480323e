"""Fitting: labelled rows as arrays, one fold of one trial, the final refit. Pure and repeatable.

One thread per booster and fixed seeds: the same rows and parameters give the same trees anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import xgboost as xgb

from cluster.errors import FunnelcastError
from jobs.train import split
from serving import bundle, model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from features.targets import Metric, Target
    from jobs.train.pool import Params
    from jobs.train.split import Split, Tuning

MIN_CATEGORY_ROWS = 10  # a rarer category has no code of its own
MAX_CATEGORIES = 63  # with "other" 64, as many as XGBoost splits at once by default
MICROSECONDS_PER_DAY = 86_400_000_000
FIXED: dict[str, object] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "nthread": 1,
    "seed": 0,
}


EVAL: dict[Metric, tuple[str, bool]] = {  # its name in XGBoost, and whether more is better
    "log_loss": ("logloss", False),
    "auc": ("auc", True),
    "average_precision": ("aucpr", True),
}


class ColumnMissing(FunnelcastError):
    """The training table lacks a feature of the target's view, or has it in a type of no use."""


@dataclass(frozen=True, kw_only=True)
class Aims:
    """What the fitting is held to."""

    metric: Metric = "log_loss"
    monotone: tuple[int, ...] = ()  # per feature 1 rising, -1 falling, 0 free; none: all are free

    @classmethod
    def of(cls, target: Target) -> Aims:
        """Return what a target declares."""
        signs = {"rising": 1, "falling": -1}
        ways = [target.monotone.get(feature.name) for feature in target.features.features]
        signed = tuple(signs[way] if way else 0 for way in ways)
        return cls(metric=target.metric, monotone=signed if any(signed) else ())

    @property
    def params(self) -> dict[str, object]:
        """Return them as XGBoost takes them."""
        made: dict[str, object] = {"eval_metric": EVAL[self.metric][0]}
        return made | ({"monotone_constraints": self.monotone} if self.monotone else {})

    def loss(self, score: float) -> float:
        """Return what is to be minimised."""
        return 1 - score if EVAL[self.metric][1] else score

    def said(self, loss: float) -> str:
        """Return the metric in words."""
        return f"{self.metric.replace('_', ' ')} {self.loss(loss):.4f}"  # 1 - (1 - score)


@dataclass(frozen=True, kw_only=True)
class Data:
    """The training rows, sorted by time: plain arrays, so that they can travel to a worker."""

    matrix: np.ndarray  # (n, f) float32
    label: np.ndarray  # (n,) float32, 0 or 1
    types: tuple[str, ...]  # of the features, in XGBoost's spelling
    folds: tuple[Split, ...]
    aims: Aims = Aims()

    @property
    def held(self) -> np.ndarray:
        """Positions of the rows that the folds hold, fold by fold."""
        return np.concatenate([np.empty(0, np.int64), *(fold.held for fold in self.folds)])


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training table, its mature rows sorted and split."""

    table: pa.Table  # all rows, with a label or not
    rows: pa.Table  # the mature ones, by time
    label: np.ndarray  # (n,) float32, 0 or 1
    parts: Split  # `held` is the test
    tuning: Tuning
    signature: model.Signature
    data: Data  # the training part

    @property
    def train(self) -> pa.Table:
        """The training rows."""
        return self.rows.take(pa.array(self.parts.train))

    @property
    def test(self) -> pa.Table:
        """The held-out rows, later than all others."""
        return self.rows.take(pa.array(self.parts.held))

    @property
    def learnt_until(self) -> datetime | None:
        """T of the last row to learn from, None when there is none."""
        last: datetime | None = pc.max(self.train["time"]).as_py()
        return last

    @property
    def counts(self) -> dict[str, int]:
        """How many rows there are, and what became of the rest."""
        return {
            "rows": len(self.label),
            "positives": int(self.label.sum()),
            "immature": len(self.table) - len(self.rows),
            "purged": self.parts.purged,
        }

    @property
    def is_judged(self) -> bool:
        """Are there later rows to judge on?"""
        return len(self.parts.held) > 0

    @property
    def said(self) -> str:
        """The split in words."""
        if not self.is_judged:
            return (
                f"not judged: {len(self.label):,} labelled rows, {int(self.label.sum())} positive;"
                f" a judgement takes {split.TO_JUDGE.held} of either outcome among the last ones,"
                f" and before them {split.MIN_ROWS} and half of all, or {split.MANY_ROWS}"
            )
        return (
            f"split by time: {len(self.parts.train):,} rows to learn from, "
            f"{len(self.parts.held):,} later ones to judge, {self.parts.purged:,} purged"
        )


def prepare(table: pa.Table, target: Target, *, test_share: float, purge: bool) -> Prepared:
    """Sort, split and encode the training table of a target, which must have a row."""
    labels = {feature.name: feature.label for feature in target.features.features}
    horizon = round(target.horizon_days * MICROSECONDS_PER_DAY)
    rows = split.ordered(table)
    label = np.asarray(pc.cast(rows["label"], pa.float32()))
    times, purged_over = np.asarray(pc.cast(rows["time"], pa.int64())), horizon if purge else 0
    parts = split.judged(times, label, purged_over, test_share)
    tuning = split.tuning(times[parts.train], label[parts.train], purged_over)
    train = rows.take(pa.array(parts.train))
    learnt = signature(train if len(train) else table, labels)
    return Prepared(
        table=table,
        rows=rows,
        label=label,
        parts=parts,
        tuning=tuning,
        signature=learnt,
        data=Data(
            matrix=learnt.encode(train),
            label=label[parts.train],
            types=tuple(model.feature_types(learnt)),
            folds=tuning.folds,
            aims=Aims.of(target),
        ),
    )


def refit(data: Data, params: Params, rounds: int, rows: np.ndarray | None = None) -> xgb.Booster:
    """Train `rounds` trees on the rows at positions `rows` (default: all)."""
    positions = np.arange(len(data.label)) if rows is None else rows
    fixed = {**FIXED, **data.aims.params}
    return xgb.train({**fixed, **whole(params)}, binned(data, positions), rounds)


def silent(types: tuple[str, ...]) -> xgb.Booster:
    """Return a booster for features of these types whose every margin is 0."""
    empty = Data(
        matrix=np.full((1, len(types)), np.nan, np.float32),
        label=np.full(1, 0.5, np.float32),
        types=types,
        folds=(),
    )
    return xgb.train({**FIXED, "base_score": 0.5}, binned(empty, np.arange(1)), 1)


def out_of_fold(data: Data, params: Params, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (margin, label) of every row that a fold holds, in the order of `Data.held`, from
    a model that never saw it nor later rows.
    """
    margins = [
        model.margins(refit(data, params, rounds, fold.train), data.matrix[fold.held])
        for fold in data.folds
    ]
    return np.concatenate([np.empty(0, np.float32), *margins]), data.label[data.held]


def clusters(rows: pa.Table) -> np.ndarray:
    """Return the number of each row's account, else of its entity: (n,) int64 from 0."""
    keys = pc.coalesce(rows["account"], rows["entity"]).combine_chunks().dictionary_encode()
    return np.asarray(keys.indices.to_numpy(), np.int64)


def signature(rows: pa.Table, labels: Mapping[str, str]) -> model.Signature:
    """Return the signature of the features in `labels` (name -> label), learnt from training rows.

    A category gets a code if at least MIN_CATEGORY_ROWS rows have it and it is among the
    MAX_CATEGORIES most frequent.
    """
    for name in labels:
        if name not in rows.column_names:
            raise ColumnMissing(
                f"the training table must have '{name}', got none: run the materialize job again"
            )
    return model.Signature(
        features=tuple(_feature(name, label, rows[name]) for name, label in labels.items())
    )


def whole(params: Params) -> dict[str, object]:
    """Return parameters as XGBoost takes them: whole numbers as int."""
    return {name: int(v) if float(v).is_integer() else v for name, v in params.items()}


def _feature(name: str, label: str, column: pa.ChunkedArray) -> model.Feature:
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if model.is_number(kind) or pt.is_null(kind):
        return model.Feature(name=name, kind="number", label=label)
    if not model.is_text(kind):
        raise ColumnMissing(f"'{name}' must be a number or a text, got {kind}: correct its view")
    counts = pc.value_counts(pc.drop_null(pc.cast(column, pa.string()))).to_pylist()
    frequent = sorted(
        (-c["counts"], c["values"])
        for c in counts
        if c["counts"] >= MIN_CATEGORY_ROWS and c["values"] != bundle.RARE
    )
    vocabulary = tuple(sorted(value for _, value in frequent[:MAX_CATEGORIES]))
    return model.Feature(name=name, kind="category", label=label, vocabulary=vocabulary)


def binned(data: Data, rows: np.ndarray) -> xgb.DMatrix:
    """Return the rows at these positions, in bins to learn from."""
    return matrix(xgb.QuantileDMatrix, data, rows)


def matrix(kind: type[xgb.DMatrix], data: Data, rows: np.ndarray) -> xgb.DMatrix:
    """Return the rows at these positions as XGBoost takes them. One thread."""
    return kind(
        data.matrix[rows],
        data.label[rows],
        feature_types=list(data.types),
        enable_categorical=True,
        nthread=1,
    )
