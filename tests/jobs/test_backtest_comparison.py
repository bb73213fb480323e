"""Two forecasters are told apart when they differ, and as seldom as said when they do not."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.backtest import comparison
from jobs.backtest.comparison import Verdict


def _moving(rng: np.random.Generator, origins: int, overlap: int) -> np.ndarray:
    """Return sums of steps that neighbours share, mean 0."""
    steps = rng.normal(size=origins + overlap)
    return np.convolve(steps, np.ones(overlap + 1), "valid")


def _found(ours: np.ndarray, theirs: np.ndarray, overlap: int = 0) -> comparison.Compared:
    return comparison.compared(np.random.default_rng(1), ours, theirs, overlap)


def test_a_forecaster_is_not_told_apart_from_itself() -> None:
    """The difference and its interval are exactly 0."""
    scores = np.random.default_rng(2).random(30)
    found = _found(scores, scores)
    assert (found.difference, found.low, found.high, found.skill) == (0.0, 0.0, 0.0, 0.0)
    assert found.verdict == Verdict.NOT_TOLD_APART


@pytest.mark.parametrize(("shift", "said"), [(-1.0, Verdict.BETTER), (1.0, Verdict.WORSE)])
def test_a_plain_difference_is_told(shift: float, said: Verdict) -> None:
    scores = 5.0 + np.random.default_rng(2).normal(size=40)
    noise = np.random.default_rng(3).normal(size=40)
    found = _found(scores + shift + noise, scores)
    assert found.verdict == said
    assert found.low < found.difference < found.high
    assert np.sign(found.skill) == -np.sign(shift)


@pytest.mark.parametrize(("origins", "overlap"), [(20, 0), (40, 3), (60, 3)])
def test_equal_forecasters_are_told_apart_seldom(origins: int, overlap: int) -> None:
    """The interval of 90 % holds 0 in at least 82 % of 300 worlds, few origins or overlapping."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        gap = _moving(rng, origins, overlap)
        found = comparison.compared(rng, gap, np.zeros(origins), overlap)
        held += found.verdict == Verdict.NOT_TOLD_APART
    assert held >= 0.82 * 300, f"{held / 300:.1%}"


def test_origins_as_if_independent_are_told_apart_too_often() -> None:
    """The mutant: blocks of the cube root although seven neighbours share steps."""
    rng = np.random.default_rng(7)
    lap, wrong, right = 7, 0, 0
    for _ in range(200):
        gap = _moving(rng, 64, lap)
        wrong += comparison.compared(rng, gap, np.zeros(64), 0).verdict != Verdict.NOT_TOLD_APART
        right += comparison.compared(rng, gap, np.zeros(64), lap).verdict != Verdict.NOT_TOLD_APART
    assert wrong > 2 * right, f"{wrong / 200:.1%} by short blocks, {right / 200:.1%} by ours"


def test_too_few_origins_tell_nothing() -> None:
    found = _found(np.zeros(5), np.ones(5))
    assert np.isnan(found.low)
    assert found.verdict == Verdict.NOT_TOLD_APART
    assert (found.difference, found.origins) == (-1.0, 5)
    assert _found(np.zeros(0), np.zeros(0)).origins == 0


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 2.3534), (6, 1.9432), (20, 1.7247)])
def test_few_blocks_widen_as_students_t(freedom: int, quantile: float) -> None:
    """Its tabulated quantiles at 95 %."""
    assert comparison._student(freedom) * 1.644854 == pytest.approx(quantile, rel=0.004)


def test_the_same_lots_give_the_same_interval() -> None:
    scores = np.random.default_rng(2).random(30)
    assert _found(scores, np.zeros(30)) == _found(scores, np.zeros(30))


def test_blocks_go_around_the_end() -> None:
    """So that the first and the last origin are drawn as often as any other."""
    seen = comparison._means(np.random.default_rng(1), np.eye(1, 12).ravel(), 4) * 12
    last = comparison._means(np.random.default_rng(1), np.eye(1, 12, 11).ravel(), 4) * 12
    assert seen.mean() == pytest.approx(1.0, abs=0.1)
    assert last.mean() == pytest.approx(1.0, abs=0.1)
