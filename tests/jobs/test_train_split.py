"""Splits never let a model learn from what it is judged on."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.train import split

TIMES = st.lists(st.integers(0, 1000), min_size=20, max_size=200).map(sorted).map(np.array)


@given(TIMES, st.integers(1, 200), st.floats(0.05, 0.5))
def test_a_training_window_ends_before_the_judged_rows(
    times: np.ndarray, horizon: int, share: float
) -> None:
    """In the test and in every fold; and no row that could stay is purged."""
    parts = split.by_time(times, horizon, share)
    for part in (parts, *split.rolling(times, horizon)):
        start = times[part.held[0]] if len(part.held) else 0
        assert (times[part.train] + horizon <= start).all() or not len(part.held)
        assert part.purged == (times[: part.held[0]] + horizon > start).sum()
        assert len(part.train) + part.purged == part.held[0]


@given(TIMES)
def test_without_purging_every_earlier_row_is_learnt_from(times: np.ndarray) -> None:
    """A horizon of 0 purges nothing, not even ties."""
    parts = split.by_time(times, 0, 0.2)
    assert parts.train.tolist() == list(range(parts.held[0]))
    assert parts.held.tolist() == list(range(len(times) - round(len(times) * 0.2), len(times)))


def test_folds_roll_forward_over_the_training_rows() -> None:
    """Three folds from 40 % on, each judged on what the next one learns from."""
    folds = split.rolling(np.arange(100), 0)
    assert [(f.held[0], f.held[-1] + 1) for f in folds] == [(40, 60), (60, 80), (80, 100)]
    assert all(a.held[-1] + 1 == b.held[0] for a, b in itertools.pairwise(folds))
    assert [len(f.train) for f in folds] == [40, 60, 80]


def test_without_purging_the_future_would_be_learnt_from() -> None:
    """The defence above, switched off: rows then reach into the test."""
    times = np.arange(100)
    unpurged = split.by_time(times, 0)
    assert (times[unpurged.train] + 10 > times[unpurged.held[0]]).any()


def test_rows_are_ordered_by_time_then_entity_and_only_if_mature() -> None:
    """Whatever the order in which the table gives them."""
    day = datetime(2026, 1, 1, tzinfo=UTC)
    table = pa.table(
        {
            "entity": ["b", "a", "c", "d"],
            "time": [day, day, day - timedelta(days=1), day],
            "mature": [True, True, True, False],
        }
    )
    assert split.ordered(table)["entity"].to_pylist() == ["c", "a", "b"]
    assert split.ordered(table.take([3, 2, 1, 0])).equals(split.ordered(table))


def test_folds_without_both_outcomes_are_left_out() -> None:
    """A fold that learns from no positives would tune on noise."""
    label = np.zeros(1000)
    label[500:] = np.arange(500) % 2
    tuning = split.tuning(np.arange(1000), label, 1)
    assert tuning.is_purged
    assert [fold.held[0] for fold in tuning.folds] == [600, 800]
    assert tuning.said == "tuned on 2 folds of rolling origin, 0 + 0 rows purged"


def test_where_purging_leaves_too_little_the_folds_are_not_purged_and_it_is_said() -> None:
    """The horizon is longer than the history: the search sees a little of its folds' future."""
    label = np.arange(1000) % 2
    tuning = split.tuning(np.arange(1000), label, 700)
    assert not tuning.is_purged
    assert len(tuning.folds) == 3
    assert "not purged" in tuning.said


@pytest.mark.parametrize(
    ("rows", "positives", "words"),
    [
        (0, 0, "rules only: 0 labelled rows"),
        (19, 9, "rules only: 19 labelled rows to learn from, trees take 20"),
        (50, 0, "rules only: 50 labelled rows to learn from, trees take 20 and both outcomes"),
        (20, 10, "not searched: 20 labelled rows to learn from, a search takes 200"),
        (199, 100, "not searched: 199 labelled rows to learn from, a search takes 200"),
        (500, 19, "not searched: 500 labelled rows to learn from"),
        (500, 481, "not searched: 500 labelled rows to learn from"),
        (200, 100, "tuned on 3 folds"),
    ],
)
def test_few_rows_are_neither_refused_nor_taken_for_many(
    rows: int, positives: int, words: str
) -> None:
    """Without a search trees are weighed on what folds there are; without those there are none."""
    label = np.random.default_rng(0).permutation(np.arange(rows) < positives)
    tuning = split.tuning(np.arange(rows), label, 0)
    assert tuning.said.startswith(words)
    assert tuning.is_searched == words.startswith("tuned")
    assert bool(tuning.folds) != words.startswith("rules only")
    assert all(0 < label[fold.train].mean() < 1 for fold in tuning.folds)


def test_nothing_is_held_out_where_there_is_nothing_to_judge() -> None:
    """All positives late, or all early, or too few of them: all rows are learnt from."""
    times = np.arange(1000)
    for label in (times >= 790, times < 300, times % 120 == 0):
        parts = split.judged(times, label, 30, 0.2)
        assert (len(parts.train), len(parts.held), parts.purged) == (1000, 0, 0)
    parts = split.judged(times, times % 2, 30, 0.2)
    assert (len(parts.train), len(parts.held), parts.purged) == (771, 200, 29)
