"""Chances of deals are judged by stage, and calibration finds what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from jobs.backtest import deals


def _world(count: int, slope: float, intercept: float) -> tuple[np.ndarray, np.ndarray]:
    """Return chances that were said, and outcomes whose log odds are slope x those + intercept."""
    rng = np.random.default_rng(5)
    logit = rng.normal(-0.5, 1.2, count)
    truth = 1 / (1 + np.exp(-(slope * logit + intercept)))
    return 1 / (1 + np.exp(-logit)), rng.random(count) < truth


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.6, -0.4), (1.4, 0.3)])
def test_the_planted_calibration_is_found(slope: float, intercept: float) -> None:
    """Within four standard errors at 20,000 deals."""
    found = deals.calibration(*_world(20_000, slope, intercept))
    assert found == (pytest.approx(slope, abs=0.08), pytest.approx(intercept, abs=0.09))


def test_each_stage_has_a_row_and_so_have_all() -> None:
    chance, is_won = _world(600, 1.0, 0.0)
    stage = np.array(["late", "early"] * 300, object)
    found = deals.judged(stage, chance, is_won).set_index("stage")
    assert found.index.tolist() == ["late", "early", "all"]
    assert found["deals"].tolist() == [300, 300, 600]
    early = stage == "early"
    assert found.loc["early", "won"] == is_won[early].sum()
    loss = metrics.log_loss(is_won[early], chance[early])
    assert found.loc["early", "log_loss"] == pytest.approx(loss)
    assert found.loc["all", "brier"] == pytest.approx(metrics.brier_score_loss(is_won, chance))


@pytest.mark.parametrize(
    ("chance", "is_won"),
    [
        ([0.2, 0.4, 0.6], [0, 0, 0]),
        ([0.5, 0.5, 0.5], [0, 1, 0]),
        ([0.2, 0.4, 0.6], [0, 0, 1]),
    ],
)
def test_what_has_no_calibration_is_not_a_number(chance: list[float], is_won: list[int]) -> None:
    """None won, all said alike, or won told from lost without an error."""
    found = deals.calibration(np.array(chance), np.array(is_won))
    assert np.isnan(found).all()


def test_a_chance_of_nought_that_came_true_costs_much_and_not_everything() -> None:
    found = deals.judged(np.array(["a", "a"], object), np.array([0.0, 1.0]), np.array([1, 1]))
    assert 5 < found["log_loss"].iloc[0] < 20
