"""Evaluation agrees with a second implementation and with planted truth, and says so in words."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from cluster import canonical
from jobs.train import calibrate, evaluate


def _judged(rank: np.ndarray, label: np.ndarray, name: str = "model") -> evaluate.Judged:
    probability = 1 / (1 + np.exp(-rank.astype(float)))
    return evaluate.Judged(name=name, rank=rank, probability=probability, label=label)


def _world(rows: int, strength: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=rows)
    return score, (rng.random(rows) < 1 / (1 + np.exp(1 - strength * score))).astype(float)


def _three(score: np.ndarray, label: np.ndarray) -> list[evaluate.Judged]:
    return [
        _judged(score, label),
        _judged(np.round(score), label, "rules"),
        _judged(np.full(len(label), -1.0), label, "base_rate"),
    ]


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_metrics_are_those_of_scikit_learn(decimals: int) -> None:
    """With heavy, some and no ties, and with weights."""
    score, label = _world(700, 1.0, 3)
    judged = _judged(np.round(score, decimals), label)
    weight = np.random.default_rng(1).integers(0, 3, 700).astype(float)
    found = dict(zip(evaluate.METRICS, judged.metrics(weight), strict=True))
    p = judged.probability
    wanted = {
        "auc": metrics.roc_auc_score(label, p, sample_weight=weight),
        "average_precision": metrics.average_precision_score(label, p, sample_weight=weight),
        "log_loss": metrics.log_loss(label, p, sample_weight=weight),
        "brier": metrics.brier_score_loss(label, p, sample_weight=weight),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_lift_counts_the_best_and_shares_ties() -> None:
    """Ten rows: the best fifth holds both positives; in a tie everyone counts in part."""
    label = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0.0])
    sharp = _judged(np.arange(10.0)[::-1], label).metrics(np.ones(10))
    tied = _judged(np.zeros(10), label).metrics(np.ones(10))
    at = evaluate.METRICS.index("lift_20")
    assert sharp[at] == pytest.approx(5.0)
    assert tied[at] == pytest.approx(1.0)


def test_a_constant_score_has_no_calibration_slope_and_half_an_auc() -> None:
    """The base rate is judged like any other."""
    score, label = _world(300, 1.0, 5)
    found = evaluate.evaluate(_three(score, label), np.arange(300), seed=1)["scorers"]["base_rate"]
    assert found["auc"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert found["calibration_slope"]["value"] is None


def test_intervals_hold_the_planted_auc_as_often_as_they_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The AUC of the planted score at 200,000 rows lies in 85 % or more of 40 intervals of 95 %."""
    monkeypatch.setattr(evaluate, "RESAMPLES", 100)
    truth = metrics.roc_auc_score(*reversed(_world(200_000, 1.0, 99)))
    held = 0
    for seed in range(40):
        score, label = _world(400, 1.0, seed)
        auc = evaluate.evaluate(_three(score, label)[:1], np.arange(400), seed)["scorers"]
        held += auc["model"]["auc"]["low"] <= truth <= auc["model"]["auc"]["high"]
    assert held >= 34


def test_rows_of_one_cluster_count_as_one_draw() -> None:
    """Every row five times: the interval stays that of the single rows."""
    score, label = _world(300, 1.0, 8)
    single = evaluate.evaluate([_judged(score, label)], np.arange(300), 1)
    copied = [_judged(np.repeat(score, 5), np.repeat(label, 5))]
    clustered = evaluate.evaluate(copied, np.repeat(np.arange(300), 5), 1)
    naive = evaluate.evaluate(copied, np.arange(1500), 1)
    widths = [
        e["scorers"]["model"]["auc"]["high"] - e["scorers"]["model"]["auc"]["low"]
        for e in (single, clustered, naive)
    ]
    assert widths[1] == pytest.approx(widths[0])
    assert widths[2] < 0.6 * widths[0]


def test_the_same_seed_gives_the_same_evaluation() -> None:
    """And it is plain JSON."""
    score, label = _world(300, 1.0, 8)
    first, second = (
        canonical.dumps(evaluate.evaluate(_three(score, label), np.arange(300), seed=4))
        for _ in range(2)
    )
    assert first == second


def test_chance_is_called_no_signal_in_at_least_nine_of_ten_worlds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Labels that have nothing to do with the score: 30 worlds, intervals of 95 %."""
    monkeypatch.setattr(evaluate, "RESAMPLES", 100)
    verdicts = []
    for seed in range(30):
        score, label = _world(400, 0.0, seed)
        found = evaluate.evaluate([_judged(score, label)], np.arange(400), seed)["signal"]
        verdicts.append(found["verdict"])
    assert verdicts.count("no signal") >= 27


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.48, 0.53, "no signal"),
        (0.5, 0.6, "no signal"),
        (0.51, 0.6, "signal"),
        (0.3, 0.4, "reversed"),
    ],
)
def test_the_verdict_follows_the_interval(low: float, high: float, verdict: str) -> None:
    """A coin's 0.5 inside it is no signal, and the sentence gives the figures."""
    found = evaluate.signal({"value": 0.52, "low": low, "high": high})
    assert found["verdict"] == verdict
    assert found["sentence"].lower().startswith(verdict)
    assert f"AUC 0.520, 95 % interval {low:.3f} to {high:.3f}" in found["sentence"]


def test_model_and_rules_are_compared_on_the_same_draws() -> None:
    """A score against itself differs by exactly nothing; a better one is called better."""
    score, label = _world(600, 1.5, 2)
    noise = np.random.default_rng(0).normal(size=600)
    same = [_judged(score, label), _judged(score, label, "rules")]
    better = [_judged(score, label), _judged(noise, label, "rules")]
    zero = evaluate.evaluate(same, np.arange(600), 1)
    assert zero["differences"]["rules"]["auc"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "not to be told from the rules" in evaluate.said(zero)[1]
    assert "better than the rules" in evaluate.said(evaluate.evaluate(better, np.arange(600), 1))[1]
    worse = evaluate.evaluate(
        [_judged(noise, label), _judged(score, label, "rules")], np.arange(600), 1
    )
    assert "worse than the rules" in evaluate.said(worse)[1]


def test_curves_hold_every_row_and_end_at_all_positives() -> None:
    """Ten equal bins with Wilson intervals; a gain that rises from 0 to 1."""
    score, label = _world(1000, 1.0, 3)
    found = evaluate.evaluate(_three(score, label), np.arange(1000), 1)
    bins = found["calibration_curve"]
    assert [b["rows"] for b in bins] == [100] * 10
    assert sum(b["positives"] for b in bins) == label.sum()
    assert all((b["low"], b["high"]) == calibrate.wilson(b["positives"], 100) for b in bins)
    for name in ("model", "rules", "base_rate"):
        gain = found["lift_curve"][name]
        assert gain[0] == 0
        assert gain[-1] == pytest.approx(1)
        assert (np.diff(gain) >= 0).all()


def test_the_table_has_a_row_per_metric_and_a_column_per_scorer() -> None:
    """Values with their intervals, a dash where there is none."""
    score, label = _world(300, 1.0, 3)
    table = evaluate.table(evaluate.evaluate(_three(score, label), np.arange(300), 1))
    assert table.columns.tolist() == ["metric", "model", "rules", "base_rate"]
    assert table["metric"].tolist() == list(evaluate.METRICS)
    assert table["base_rate"][0] == "0.500 (0.500 to 0.500)"
    assert "-" in table["base_rate"].tolist()
