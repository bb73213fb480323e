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
FOLDS = 3
MIN_ROWS = 200
MIN_CLASS = 20  # positives, and negatives, in all and in the rows a fold learns from
MIN_HELD_CLASS = 10  # positives, and negatives, among the rows that are judged
MIN_PURGED_FOLDS = 2


@dataclass(frozen=True, kw_only=True)
class Split:
    """Positions of the rows to learn from and of the rows, all later, to be judged on."""

    train: np.ndarray  # int64, ascending
    held: np.ndarray  # int64, ascending
    purged: int  # earlier rows that reach into `held`


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The splits within the training rows that parameters are searched on."""

    folds: tuple[Split, ...]
    is_purged: bool

    @property
    def said(self) -> str:
        """The folds in words."""
        shown = f"tuned on {len(self.folds)} folds of rolling origin"
        if not self.is_purged:
            return f"{shown}, not purged: with purging too little is left to learn from"
        return f"{shown}, {' + '.join(str(fold.purged) for fold in self.folds)} rows purged"


def ordered(training: pa.Table) -> pa.Table:
    """Return the mature rows sorted by (time, entity)."""
    mature = training.filter(training["mature"])
    return mature.sort_by([("time", "ascending"), ("entity", "ascending")])


def by_time(times: np.ndarray, horizon: int, test_share: float = 0.2) -> Split:
    """Hold out the last `test_share` of sorted `times` (n,); microseconds, 0 purges nothing."""
    start = len(times) - round(len(times) * test_share)
    return _at(times, horizon, start, len(times))


def tuning(times: np.ndarray, label: np.ndarray, horizon: int) -> Tuning:
    """Return folds of rolling origin over sorted training rows (n,), those with enough outcomes.

    Each learns from all rows before its origin and is judged on the rows up to the next one. Where
    purging would leave fewer than MIN_PURGED_FOLDS, the folds are not purged: the search sees
    a little of their future, the held-out test does not.
    """
    folds = _usable(rolling(times, horizon), label)
    if horizon == 0 or len(folds) >= MIN_PURGED_FOLDS:
        return Tuning(folds=folds, is_purged=True)
    return Tuning(folds=_usable(rolling(times, 0), label), is_purged=False)


def rolling(times: np.ndarray, horizon: int) -> tuple[Split, ...]:
    """Return FOLDS splits of sorted `times` (n,), their origins from FIRST_ORIGIN on."""
    origins = (np.linspace(FIRST_ORIGIN, 1.0, FOLDS + 1) * len(times)).round().astype(int)
    return tuple(_at(times, horizon, low, high) for low, high in itertools.pairwise(origins))


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


def judgeable(split: Split, folds: tuple[Split, ...], label: np.ndarray) -> Refusal | None:
    """Refuse a split that leaves nothing to tune on, or too little to judge."""
    if not folds:
        return Refusal(
            rule=f"a fold takes {MIN_CLASS} earlier, {MIN_HELD_CLASS} later rows of either outcome",
            value=f"no such fold in {len(split.train)} rows, {split.purged} purged",
            remedy="ingest more history, or shorten the horizon",
        )
    if _rarer(label[split.held]) < MIN_HELD_CLASS:
        return Refusal(
            rule=f"the last rows, held out, must have {MIN_HELD_CLASS} of either outcome",
            value=f"{int(label[split.held].sum())} positive of {len(split.held)}",
            remedy="ingest more history, or raise --test-share",
        )
    return None


def _at(times: np.ndarray, horizon: int, start: int, end: int) -> Split:
    train = np.arange(start)
    if horizon and start < len(times):
        train = np.flatnonzero(times[:start] + horizon <= times[start])
    return Split(train=train, held=np.arange(start, end), purged=start - len(train))


def _usable(folds: tuple[Split, ...], label: np.ndarray) -> tuple[Split, ...]:
    return tuple(
        fold
        for fold in folds
        if _rarer(label[fold.train]) >= MIN_CLASS and _rarer(label[fold.held]) >= MIN_HELD_CLASS
    )


def _rarer(label: np.ndarray) -> int:
    positives = int(label.sum())
    return min(positives, len(label) - positives)
