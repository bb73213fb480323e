"""Measures agree with hand examples, with brute force and with what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.backtest import measures

TRUTH, FORECAST = np.array([10.0, 0.0, 30.0]), np.array([14.0, 2.0, 24.0])


def _brute(draws: np.ndarray, truth: float, pairs: int) -> float:
    """Return the score by its definition, over all pairs."""
    between = np.abs(draws[:, None] - draws[None, :]).sum() / pairs
    return float(np.abs(draws - truth).mean() - between / 2)


def test_wape_and_bias_are_sums_by_sums() -> None:
    assert measures.wape(TRUTH, FORECAST) == pytest.approx(12 / 40)
    assert measures.bias(TRUTH, FORECAST) == pytest.approx(0.0)
    assert measures.bias(TRUTH, FORECAST + 1.0) == pytest.approx(3 / 40)


def test_nothing_won_has_no_relative_error() -> None:
    zeros = np.zeros(3)
    assert measures.wape(zeros, FORECAST) is None
    assert measures.bias(zeros, FORECAST) is None


def test_pinball_weighs_what_lies_above_by_the_level() -> None:
    """Truth 10 against the quantiles 4 and 12 at 5 % and 95 %: 0.05 x 6 and 0.05 x 2."""
    found = measures.pinball(np.array([10.0]), np.array([[4.0, 12.0]]), np.array([0.05, 0.95]))
    assert found.tolist() == [[pytest.approx(0.3), pytest.approx(0.1)]]


def test_the_score_of_a_hand_example() -> None:
    """Draws 1, 2, 4 and truth 3: E|X - y| is 4/3, E|X - X'| of two different ones is 12/6."""
    draws, truth = np.array([[4.0], [1.0], [2.0]]), np.array([3.0])
    assert measures.crps(draws, truth)[0] == pytest.approx(4 / 3 - 12 / 12)


def test_the_score_of_one_draw_is_the_absolute_error() -> None:
    assert measures.crps(np.array([[7.0]]), np.array([3.0])).tolist() == [4.0]


@pytest.mark.parametrize("scale", [1.0, 1e10])
def test_scores_are_those_of_all_pairs(scale: float) -> None:
    """With ties, as counts have them, and far from 0, as cents are."""
    rng = np.random.default_rng(4)
    draws = scale + rng.poisson(3.0, (60, 5)).astype(float)
    truth = scale + rng.poisson(3.0, 5).astype(float)
    fair = [_brute(draws[:, i], truth[i], 60 * 59) for i in range(5)]
    assert measures.crps(draws, truth) == pytest.approx(fair)


def test_the_score_of_a_normal_forecast_is_the_closed_form() -> None:
    """Gneiting and Raftery, equation 22: at the centre of a standard normal, 0.2337."""
    draws = np.random.default_rng(1).normal(size=(200_000, 1))
    assert measures.crps(draws, np.zeros(1))[0] == pytest.approx(0.23370, abs=0.002)


def test_a_few_draws_cost_nothing() -> None:
    """Of five normal draws: 1 / sqrt(pi) on average, as for endless ones."""
    rng = np.random.default_rng(2)
    draws, truth = rng.normal(size=(5, 40_000)), rng.normal(size=40_000)
    found = measures.crps(draws, truth).mean()
    assert found == pytest.approx(1 / np.sqrt(np.pi), abs=0.012)
    # mutant: each draw paired with itself too
    mutant = [_brute(draws[:, i], truth[i], 25) for i in range(4_000)]
    assert np.mean(mutant) > 1.15 / np.sqrt(np.pi)


def test_the_truth_is_anywhere_among_draws_like_it() -> None:
    """Counts with many ties: ten cells of 2,000 outcomes are even; a narrow forecast's are not."""
    rng = np.random.default_rng(3)
    draws, truth = rng.poisson(2.0, (99, 20_000)), rng.poisson(2.0, 20_000)
    cells = np.histogram(measures.pit(rng, draws, truth), 10, (0.0, 1.0))[0]
    assert ((cells - 2000.0) ** 2 / 2000.0).sum() < 9 + 4 * np.sqrt(18)
    narrow = np.histogram(measures.pit(rng, np.full((99, 20_000), 2), truth), 10, (0, 1))[0]
    assert narrow[0] + narrow[-1] > 8000
