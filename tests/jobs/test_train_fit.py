"""Fitting is repeatable, and vocabularies hold what is frequent enough."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from jobs.train import fit, pool, split
from jobs.train.evaluator import MAX_ROUNDS, Evaluator
from jobs.train.space import FIRST
from serving import bundle, model

if TYPE_CHECKING:
    import xgboost as xgb

    from features.targets import Metric


def _data(rows: int = 400) -> fit.Data:
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(rows, 4)).astype(np.float32)
    matrix[:, 3] = rng.integers(0, 5, rows)
    label = (rng.random(rows) < 1 / (1 + np.exp(-2 * matrix[:, 0]))).astype(np.float32)
    folds = split.rolling(np.arange(rows), 0)
    return fit.Data(matrix=matrix, label=label, types=("q", "q", "q", "c"), folds=folds)


def test_a_vocabulary_holds_frequent_categories_only() -> None:
    """Rare ones have no code, nor has the word that stands for them; codes follow the alphabet."""
    values = ["us"] * 30 + ["eu"] * 10 + ["rare"] * 9 + [bundle.RARE] * 50 + [None] * 5
    learnt = fit.signature(pa.table({"region": values}), {"region": "Region"}).features[0]
    assert learnt == model.Feature(
        name="region", kind="category", label="Region", vocabulary=("eu", "us")
    )


def test_a_vocabulary_is_capped_at_the_most_frequent() -> None:
    """With ties by name, so that the order of the rows does not matter."""
    values = [f"c{i:03d}" for i in range(100) for _ in range(10 + i % 2)]
    table = pa.table({"c": values})
    learnt = fit.signature(table, {"c": "C"}).features[0].vocabulary
    assert len(learnt) == 63
    assert Counter(int(name[1:]) % 2 for name in learnt) == {1: 50, 0: 13}
    assert (
        fit.signature(table.take(np.arange(1049, -1, -1)), {"c": "C"}).features[0].vocabulary
        == learnt
    )


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1, None], pa.int64()), "number"),
        (pa.array([1.5, 2.0]), "number"),
        (pa.array([True, False]), "number"),
        (pa.array([None, None], pa.null()), "number"),
        (pa.array([None, None], pa.large_string()), "category"),
        (pa.array(["a", "b"]).dictionary_encode(), "category"),
    ],
)
def test_the_kind_of_a_feature_follows_its_column(column: pa.Array, kind: str) -> None:
    """Counts, sums and flags are numbers, texts are categories."""
    table = pa.table({"x": column})
    signature = fit.signature(table, {"x": "X"})
    assert signature.features[0].kind == kind
    assert signature.encode(table).shape == (2, 1)


def test_a_column_that_is_missing_or_of_no_use_is_named() -> None:
    """The view and the table have gone apart."""
    with pytest.raises(fit.ColumnMissing, match="must have 'y'"):
        fit.signature(pa.table({"x": [1]}), {"y": "Y"})
    with pytest.raises(fit.ColumnMissing, match="must be a number or a text, got date32"):
        fit.signature(pa.table({"x": [date(2026, 1, 1)]}), {"x": "X"})


def test_the_same_rows_and_parameters_give_the_same_trees() -> None:
    """Byte for byte, subsampling included."""
    first, second = (fit.refit(_data(), FIRST, 30).save_raw("ubj") for _ in range(2))
    assert first == second


def test_a_fold_is_evaluated_alike_by_any_evaluator_in_any_order() -> None:
    """What an evaluator keeps from earlier folds does not show."""
    works = [pool.Work(trial=0, fold=fold, params=FIRST) for fold in range(3)]
    one, other = Evaluator((_data(),)), Evaluator((_data(),))
    forwards = [one.evaluate(work) for work in works]
    assert [other.evaluate(work) for work in reversed(works)] == forwards[::-1]
    assert all(0 < done.loss < 0.7 and 1 <= done.rounds <= MAX_ROUNDS for done in forwards)


def test_out_of_fold_margins_come_from_models_that_never_saw_the_row() -> None:
    """Turning the labels of the judged rows around does not change their margins."""
    data = _data()
    margins, label = fit.out_of_fold(data, FIRST, 10)
    last = data.folds[-1].held
    turned = data.label.copy()
    turned[last] = 1 - turned[last]
    other = fit.Data(matrix=data.matrix, label=turned, types=data.types, folds=data.folds)
    assert (fit.out_of_fold(other, FIRST, 10)[0] == margins).all()
    assert len(margins) == len(label) == sum(len(fold.held) for fold in data.folds)


@pytest.mark.parametrize("metric", ["log_loss", "auc", "average_precision"])
def test_what_is_minimised_is_better_the_smaller_it_is(metric: Metric) -> None:
    """Of rows that say something the loss is less than of the same rows with labels shuffled."""
    data = replace(_data(), aims=fit.Aims(metric=metric))
    shuffled = replace(data, label=np.random.default_rng(0).permutation(data.label))
    work = pool.Work(trial=0, fold=0, params=FIRST)
    good, weak = (Evaluator((each,)).evaluate(work).loss for each in (data, shuffled))
    assert 0 < good < weak < 1
    assert data.aims.said(good).startswith(metric.replace("_", " "))


@pytest.mark.parametrize("monotone", [(0, 0, 0, 0), (-1, 0, 0, 0), (0, 1, 0, 0)])
def test_a_monotone_feature_moves_scores_one_way_only(monotone: tuple[int, ...]) -> None:
    """Against what the rows say, too: feature 0 raises the label. Mutant: no feature is held."""
    data = replace(_data(), aims=fit.Aims(monotone=monotone))
    booster = fit.refit(data, FIRST, 40)
    turned = [_is_turned(booster, data.matrix, place, sign) for place, sign in enumerate(monotone)]
    assert not any(turned)
    free = fit.refit(replace(data, aims=fit.Aims()), FIRST, 40)
    assert any(_is_turned(free, data.matrix, *held) for held in enumerate(monotone)) == any(
        monotone
    )


def _is_turned(booster: xgb.Booster, matrix: np.ndarray, place: int, sign: int) -> bool:
    """Does a score move against the sign as one feature rises?"""
    grid = np.linspace(-2, 2, 9, dtype=np.float32)
    rows = np.repeat(matrix[:50], len(grid), axis=0)
    rows[:, place] = np.tile(grid, 50)
    margins = model.margins(booster, rows).reshape(50, len(grid))
    return bool((sign * np.diff(margins, axis=1) < 0).any())
