"""Splits by time, with purging: a model is judged on rows that came after all it learnt from. Pure.

The label of a row at T looks at [T, T + horizon). A training row whose window reaches past the
start of the rows it is judged on knows part of their future, and is purged (López de Prado 2018,
chapter 7).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_ORIGIN = 0.4  # share of the training rows before the first fold is judged
FOLDS = 3
MIN_ROWS = 200  # to learn from, before parameters are searched, and others kept to judge
MANY_ROWS = 500  # to learn from; with fewer a judgement may cost half of all rows at most
MIN_TREE_ROWS = 20  # to learn from, before there are trees
MIN_PURGED_FOLDS = 2


@dataclass(frozen=True, kw_only=True)
class Least:
    """How many rows of either outcome a split must have."""

    train: int
    held: int


TO_JUDGE = Least(train=20, held=10)  # to tell one model from another
TO_WEIGH = Least(train=1, held=0)  # to weigh trees, by a regression that starts from none


@dataclass(frozen=True, kw_only=True)
class Split:
    """Positions of the rows to learn from and of the rows, all later, to be judged on."""

    train: np.ndarray  # int64, ascending
    held: np.ndarray  # int64, ascending; none: too few to judge
    purged: int  # earlier rows that reach into `held`


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The splits within the training rows that parameters are searched on, or trees weighed."""

    folds: tuple[Split, ...]  # to search on; without a search those that trees are weighed on
    weighed: tuple[Split, ...]  # to weigh trees against rules on; none: too few rows for trees
    is_purged: bool
    is_searched: bool  # enough to tell one set of parameters from another
    rows: int  # to learn from

    @property
    def said(self) -> str:
        """The folds in words."""
        if not self.weighed:
            return (
                f"rules only: {self.rows:,} labelled rows to learn from, trees take "
                f"{MIN_TREE_ROWS} and both outcomes early on"
            )
        use = "tuned on" if self.is_searched else f"{self._few}; trees weighed on"
        shown = f"{use} {len(self.folds)} folds of rolling origin"
        if not self.is_purged:
            return f"{shown}, not purged: with purging too little is left to learn from"
        return f"{shown}, {' + '.join(str(fold.purged) for fold in self.folds)} rows purged"

    @property
    def _few(self) -> str:
        return (
            f"not searched: {self.rows:,} labelled rows to learn from, a search takes {MIN_ROWS}, "
            f"and {TO_JUDGE.train} earlier and {TO_JUDGE.held} later ones of either outcome"
        )


def ordered(training: pa.Table) -> pa.Table:
    """Return the mature rows sorted by (time, entity)."""
    mature = training.filter(training["mature"])
    return mature.sort_by([("time", "ascending"), ("entity", "ascending")])


def by_time(times: np.ndarray, horizon: int, test_share: float = 0.2) -> Split:
    """Hold out the last `test_share` of sorted `times` (n,); microseconds, 0 purges nothing."""
    start = len(times) - round(len(times) * test_share)
    return _at(times, horizon, start, len(times))


def judged(times: np.ndarray, label: np.ndarray, horizon: int, test_share: float) -> Split:
    """Return `by_time` where it leaves enough to learn from and to judge, else hold nothing out."""
    found = by_time(times, horizon, test_share)
    left = len(found.train)
    is_enough = left >= MANY_ROWS or (left >= MIN_ROWS and left >= len(times) / 2)
    if is_enough and _usable((found,), label, TO_JUDGE):
        return found
    rows = np.arange(len(times))
    return Split(train=rows, held=rows[:0], purged=0)


def tuning(times: np.ndarray, label: np.ndarray, horizon: int) -> Tuning:
    """Return folds of rolling origin over sorted training rows (n,), those with enough outcomes.

    Each learns from all rows before its origin and is judged on the rows up to the next one. Where
    purging would leave fewer than MIN_PURGED_FOLDS, the folds are not purged: the search sees
    a little of their future, the held-out test does not.
    """
    if len(label) >= MIN_ROWS:
        found = _folds(times, label, horizon, TO_JUDGE)
        if found.folds:
            again = rolling(times, horizon if found.is_purged else 0)
            weighed = _usable(again, label, TO_WEIGH)
            return replace(found, weighed=weighed, is_searched=True)
    return _folds(times, label, horizon, TO_WEIGH)


def rolling(times: np.ndarray, horizon: int) -> tuple[Split, ...]:
    """Return FOLDS splits of sorted `times` (n,), their origins from FIRST_ORIGIN on."""
    origins = (np.linspace(FIRST_ORIGIN, 1.0, FOLDS + 1) * len(times)).round().astype(int)
    return tuple(_at(times, horizon, low, high) for low, high in itertools.pairwise(origins))


def _folds(times: np.ndarray, label: np.ndarray, horizon: int, least: Least) -> Tuning:
    found = Tuning(folds=(), weighed=(), is_purged=True, is_searched=False, rows=len(label))
    if len(label) < MIN_TREE_ROWS:
        return found
    folds = _usable(rolling(times, horizon), label, least)
    if horizon == 0 or len(folds) >= MIN_PURGED_FOLDS:
        return replace(found, folds=folds, weighed=folds)
    folds = _usable(rolling(times, 0), label, least)
    return replace(found, folds=folds, weighed=folds, is_purged=False)


def _at(times: np.ndarray, horizon: int, start: int, end: int) -> Split:
    train = np.arange(start)
    if horizon and start < len(times):
        train = np.flatnonzero(times[:start] + horizon <= times[start])
    return Split(train=train, held=np.arange(start, end), purged=start - len(train))


def _usable(folds: tuple[Split, ...], label: np.ndarray, least: Least) -> tuple[Split, ...]:
    return tuple(
        fold
        for fold in folds
        if _rarer(label[fold.train]) >= least.train and _rarer(label[fold.held]) >= least.held
    )


def _rarer(label: np.ndarray) -> int:
    positives = int(label.sum())
    return min(positives, len(label) - positives)
