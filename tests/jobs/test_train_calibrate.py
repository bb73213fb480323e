"""Calibration finds the planted truth, never turns a ranking around, and admits what it lacks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jobs.train import calibrate


def _planted(rows: int, slope: float, intercept: float, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Margins, and outcomes drawn from the planted probabilities."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(size=rows).astype(np.float32)
    truth = 1 / (1 + np.exp(-(slope * margin + intercept)))
    return margin, (rng.random(rows) < truth).astype(np.float32), truth


def test_platt_finds_the_planted_slope_and_intercept() -> None:
    """Within four standard errors at 20,000 rows."""
    margin, label, _ = _planted(20_000, 0.6, -1.2)
    found, said = calibrate.calibrator(margin, label)
    assert found.slope == pytest.approx(0.6, abs=0.08)
    assert found.intercept == pytest.approx(-1.2, abs=0.08)
    assert said.startswith("calibrated on 20,000 out-of-fold rows: slope 0.")


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    """Unpenalised, with weights."""
    margin, label, _ = _planted(800, 1.5, 0.3)
    weight = np.random.default_rng(0).integers(0, 4, 800).astype(float)
    x = margin.astype(float)
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], label, weight)
    found = calibrate.logistic(x, label, weight)
    assert found == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), abs=1e-5)
    assert calibrate.logistic(x, label, weight, (2.0, 0.0)) == pytest.approx(found, abs=1e-9)


def test_a_ranking_is_never_turned_around() -> None:
    """Anti-predictive margins become the base rate, and it is said."""
    margin, label, _ = _planted(3000, -1.0, -1.0)
    found, said = calibrate.calibrator(margin, label)
    assert found.slope == 0
    assert found.probability(margin) == pytest.approx(label.mean(), abs=0.001)
    assert "every score is the base rate" in said


@pytest.mark.parametrize("positives", [0, 19, 481])
def test_too_few_of_an_outcome_are_not_calibrated_on_and_it_is_said(positives: int) -> None:
    """The margin is then taken as it is."""
    margin = np.linspace(-2, 2, 500).astype(np.float32)
    found, said = calibrate.calibrator(margin, (np.arange(500) < positives).astype(float))
    assert (found.slope, found.intercept) == (1.0, 0.0)
    assert said.startswith("not calibrated")


def test_intervals_cover_the_planted_rate_of_their_neighbourhood() -> None:
    """Over 40 worlds, 90 % or more of the bins' 95 % intervals hold the mean true probability."""
    covered = []
    for seed in range(40):
        margin, label, truth = _planted(2000, 1.0, -1.0, seed)
        found, _ = calibrate.calibrator(margin, label)
        place = np.searchsorted([b.upper for b in found.bins], found.probability(margin))
        for number, bin in enumerate(found.bins):
            covered.append(bin.low <= truth[place == number].mean() <= bin.high)
    assert np.mean(covered) >= 0.9


def test_neighbourhoods_are_large_enough_and_hold_every_row() -> None:
    """At least 50 rows each, in rising order, together all rows."""
    margin, label, _ = _planted(777, 1.0, 0.0)
    found, _ = calibrate.calibrator(margin, label)
    uppers = [bin.upper for bin in found.bins]
    assert uppers == sorted(uppers)
    assert uppers[-1] == found.probability(margin).max()
    assert sum(bin.rows for bin in found.bins) == 777
    assert all(bin.rows >= calibrate.MIN_BIN_ROWS for bin in found.bins)


@pytest.mark.parametrize("rows", [0, 1, 49])
def test_few_rows_make_one_wide_neighbourhood_or_none(rows: int) -> None:
    """What is not known is not claimed."""
    bins = calibrate.neighbourhoods(np.full(rows, 0.3), np.zeros(rows))
    assert len(bins) == min(rows, 1)
    assert all(bin.high > 0.07 for bin in bins)


@pytest.mark.parametrize(
    ("positives", "rows", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (0, 0, 0.0, 1.0)],
)
def test_wilson_intervals_are_those_of_the_tables(
    positives: int, rows: int, low: float, high: float
) -> None:
    """Published values to four places."""
    assert calibrate.wilson(positives, rows) == pytest.approx((low, high), abs=5e-5)
