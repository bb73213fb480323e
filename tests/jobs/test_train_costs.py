"""Costs: the threshold is the one that costs least, and all figures are of the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from features.targets import Costs
from jobs.train import costs, evaluate


def _judged(rows: int = 40_000) -> evaluate.Judged:
    rng = np.random.default_rng(3)
    probability = rng.beta(1, 4, rows)
    label = (rng.random(rows) < probability).astype(np.float32)
    return evaluate.Judged(name="model", rank=probability, probability=probability, label=label)


def _cost(scorer: evaluate.Judged, price: Costs, threshold: float) -> float:
    taken = scorer.probability >= threshold
    return float(
        price.miss * (scorer.label * ~taken).mean()
        + price.false_alarm * ((1 - scorer.label) * taken).mean()
    )


@pytest.mark.parametrize(("miss", "false_alarm"), [(1, 1), (9, 1), (1, 3)])
def test_no_other_threshold_costs_less(miss: float, false_alarm: float) -> None:
    """Of calibrated probabilities, but for the luck of the draw."""
    scorer, price = _judged(), Costs(miss=miss, false_alarm=false_alarm)
    found = costs.judged([scorer], price)
    ours = found["scorers"]["model"]["cost"]
    assert ours == pytest.approx(_cost(scorer, price, price.threshold))
    others = [_cost(scorer, price, threshold) for threshold in np.linspace(0.01, 0.99, 50)]
    assert ours < min(others) + 0.003
    assert ours < min(found["all"], found["none"]) + 1e-9


def test_costs_are_told_in_a_sentence() -> None:
    """With the better of acting on all and on none beside it."""
    scorer = _judged()
    said = costs.said(costs.judged([scorer], Costs(miss=9)))
    assert said.startswith("a miss costs 9, a false alarm 1: acting from 0.100 on takes ")
    assert "acting on all costs 0.8" in said
    assert "acting on none costs 0.19" in costs.said(costs.judged([scorer], Costs()))
