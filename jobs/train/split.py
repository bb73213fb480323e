"""Splits by time, with purging: a model is judged on rows that came after all it learnt from. Pure.

The label of a row at T looks at [T, T + horizon). A training row whose window reaches past the
start of the rows it is judged on knows part of their future, and is purged (López de Prado 2018,
chapter 7).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import Refusal

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_ORIGIN = 0.4  # share of the training rows before the first fold is judged
MIN_ROWS = 200
MIN_CLASS = 20  # positives, and negatives
MIN_FOLD_ROWS = 50
MIN_FOLD_CLASS = 5


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Positions of the rows to learn from and of the rows, all later, to be judged on."""

    train: np.ndarray  # int64, ascending
    held: np.ndarray  # int64, ascending


@dataclass(frozen=True, kw_only=True)
class Split:
    """The rows of a training table by what they are for."""

    train: np.ndarray  # positions, ascending in time
    test: np.ndarray  # positions of the last rows
    purged: int  # rows before the test that reach into it
    folds: tuple[Fold, ...]  # positions within `train`


def ordered(training: pa.Table) -> pa.Table:
    """Return the mature rows sorted by (time, entity)."""
    mature = training.filter(training["mature"])
    return mature.sort_by([("time", "ascending"), ("entity", "ascending")])


def by_time(
    times: np.ndarray, horizon: int, *, test_share: float = 0.2, folds: int = 3, purge: bool = True
) -> Split:
    """Split sorted `times` (n,) and `horizon`, both in microseconds.

    The last `test_share` is the test. Within what remains, rolling origins: each fold learns from
    all rows before its origin and is judged on the rows up to the next one.
    """
    start = len(times) - round(len(times) * test_share)
    train = _before(times, start, horizon if purge else 0)
    edges = np.linspace(FIRST_ORIGIN, 1.0, folds + 1) * len(train)
    origins = edges.round().astype(int)
    return Split(
        train=train,
        test=np.arange(start, len(times)),
        purged=start - len(train),
        folds=tuple(
            Fold(
                train=_before(times[train], low, horizon if purge else 0),
                held=np.arange(low, high),
            )
            for low, high in itertools.pairwise(origins)
        ),
    )


def usable(folds: tuple[Fold, ...], label: np.ndarray) -> tuple[Fold, ...]:
    """Return the folds with enough of both outcomes on both sides; `label` (n,) is 0 or 1."""
    return tuple(
        fold
        for fold in folds
        if len(fold.train) >= MIN_FOLD_ROWS
        and all(_rarer(label[part]) >= MIN_FOLD_CLASS for part in (fold.train, fold.held))
    )


def enough(label: np.ndarray) -> Refusal | None:
    """Refuse labels (n,) of mature rows that are too few to learn from."""
    remedy = "ingest more history, or declare a shorter horizon in the target"
    if len(label) < MIN_ROWS:
        return Refusal(
            rule=f"training takes {MIN_ROWS} mature rows", value=str(len(label)), remedy=remedy
        )
    if _rarer(label) < MIN_CLASS:
        return Refusal(
            rule=f"training takes {MIN_CLASS} rows of either outcome",
            value=f"{int(label.sum())} positive of {len(label)}",
            remedy=remedy,
        )
    return None


def judgeable(split: Split, folds: tuple[Fold, ...], label: np.ndarray) -> Refusal | None:
    """Refuse a split that leaves nothing to tune on, or a test with one outcome only."""
    if not folds:
        return Refusal(
            rule=f"a fold takes {MIN_FOLD_ROWS} rows and {MIN_FOLD_CLASS} of either outcome",
            value=f"none like it in {len(split.train)} rows, {split.purged} purged",
            remedy="ingest more history, shorten the horizon, or train with --no-purge",
        )
    if _rarer(label[split.test]) < MIN_FOLD_CLASS:
        return Refusal(
            rule=f"the test takes {MIN_FOLD_CLASS} rows of either outcome",
            value=f"{int(label[split.test].sum())} positive of {len(split.test)}",
            remedy="ingest more history, or raise --test-share",
        )
    return None


def _before(times: np.ndarray, start: int, horizon: int) -> np.ndarray:
    """Return the positions below `start` whose window ends by the time of `start`."""
    if start >= len(times):
        return np.arange(len(times))
    return np.flatnonzero(times[:start] + horizon <= times[start])


def _rarer(label: np.ndarray) -> int:
    positives = int(label.sum())
    return min(positives, len(label) - positives)
