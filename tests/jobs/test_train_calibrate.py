"""Calibration finds the planted truth, starts at the rules, and admits what it does not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jobs.train import calibrate
from jobs.train.calibration import blend, choose, curves, logistic
from jobs.train.calibration.blend import Evidence, Scale
from serving.calibrator import Calibrator

NONE = Evidence(margin=np.empty(0), points=np.empty(0), label=np.empty(0), cluster=np.empty(0, int))


def _evidence(
    rows: int, slope: float = 1.0, intercept: float = 0.0, per_point: float = 0.0, seed: int = 1
) -> tuple[Evidence, np.ndarray]:
    """Independent rows with outcomes drawn from planted probabilities, which come too."""
    rng = np.random.default_rng(seed)
    margin, points = rng.normal(size=rows), rng.integers(0, 5, rows) * 10.0
    truth = logistic.chances(slope * margin + intercept + per_point * points)
    label = (rng.random(rows) < truth).astype(float)
    return Evidence(margin=margin, points=points, label=label, cluster=np.arange(rows)), truth


def _bent(rows: int, bend: float, seed: int = 2) -> Evidence:
    """Rows whose log-odds rise faster above 0 than below."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(size=rows) * 1.5
    truth = logistic.chances(margin + bend * np.maximum(margin, 0))
    label = (rng.random(rows) < truth).astype(float)
    points = np.zeros(rows)
    return Evidence(margin=margin, points=points, label=label, cluster=np.arange(rows))


def test_the_planted_weights_of_model_and_rules_are_found() -> None:
    """Within four standard errors at 20,000 rows, in the words too."""
    evidence, _ = _evidence(20_000, 0.6, -1.2, 0.02)
    found, said = calibrate.calibrated(evidence, evidence.points)
    assert found.slope == pytest.approx(0.6, abs=0.08)
    assert found.per_point == pytest.approx(0.02, abs=0.006)
    assert found.intercept == pytest.approx(-1.2, abs=0.15)
    assert said.startswith("blended on evidence worth 20,000 rows: margin x 0.")
    assert "curve: Platt" in said


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    """Unpenalised, with weights."""
    evidence, _ = _evidence(800, 1.5, 0.3)
    weight = np.random.default_rng(0).integers(0, 4, 800).astype(float)
    x, label = evidence.margin, evidence.label
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], label, weight)
    found = calibrate.logistic(x, label, weight)
    assert found == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), abs=1e-5)
    assert calibrate.logistic(x, label, weight, (2.0, 0.0)) == pytest.approx(found, abs=1e-9)


def test_a_posterior_knows_how_sure_it_is() -> None:
    """Over 200 samples, its standard deviations are those of the estimates."""
    means, variances = [], []
    for seed in range(200):
        evidence, _ = _evidence(300, 0.8, -1.0, seed=seed)
        design = np.stack([evidence.margin, np.ones(300)], axis=1)
        rows = logistic.Rows(design=design, wanted=evidence.label, weight=np.ones(300))
        found = logistic.posterior(rows, logistic.Normal.flat(2))
        means.append(found.mean)
        variances.append(np.diag(found.covariance))
    assert np.std(means, axis=0) == pytest.approx(np.sqrt(np.mean(variances, axis=0)), rel=0.15)


def test_a_ranking_is_never_turned_around() -> None:
    """Anti-predictive margins and points become the base rate, and it is said."""
    evidence, _ = _evidence(3000, -1.0, -1.0, -0.03)
    found, said = calibrate.calibrated(evidence, evidence.points)
    assert (found.slope, found.per_point) == (0, 0)
    given = found.probability(evidence.margin, evidence.points)
    assert given == pytest.approx(evidence.label.mean(), abs=0.01)
    assert said.startswith("no signal beyond the base rate yet")


def test_platt_never_turns_a_ranking_around_either() -> None:
    """It becomes the base rate."""
    evidence, _ = _evidence(3000, -1.0, -1.0)
    slope, intercept = calibrate.platt(evidence.margin, evidence.label)
    assert slope == 0
    assert logistic.chances(np.array(intercept)) == pytest.approx(evidence.label.mean(), abs=0.001)


def test_without_labels_the_answer_is_the_rules_with_a_wide_interval() -> None:
    """Each point counts for more, the model for nothing, and no rate is ruled out by much."""
    crowd = np.array([0.0, 10, 20, 30, 40])
    found, said = calibrate.calibrated(NONE, crowd)
    assert found.slope == 0
    assert (np.diff(found.probability(np.zeros(5), crowd)) > 0).all()
    low, high = found.interval(float(found.probability(np.zeros(1), crowd[2:3])[0]))
    assert low < 0.05
    assert high > 0.5
    assert said.startswith("no signal beyond the rules yet")


def test_without_rules_and_labels_the_answer_is_a_guess_that_says_so() -> None:
    """Nothing at all is known, and nothing breaks."""
    found, _ = calibrate.calibrated(NONE, np.empty(0))
    assert found.per_point == 0
    low, high = found.interval(float(found.probability(np.zeros(1))[0]))
    assert high - low > 0.5


def test_no_single_label_moves_a_probability_far() -> None:
    """From 0 to 200 labels one by one: no cliff."""
    evidence, _ = _evidence(200, 1.0, -1.0, 0.02)
    scale = Scale.of(evidence.points)
    before = None
    for count in range(201):
        made = blend.blend(evidence.at(np.arange(count)), scale)
        now = logistic.chances(made.score(evidence))
        if before is not None:
            assert np.abs(now - before).max() < (0.25 if count < 60 else 0.1)
        before = now


def test_rows_of_one_cluster_count_as_fewer() -> None:
    """Each row five times over says what it says once, and is no surer of it."""
    evidence, _ = _evidence(400, 1.0, -1.0)
    fivefold = evidence.at(np.repeat(np.arange(400), 5))
    scale = Scale.of(np.empty(0))
    once, five = blend.blend(evidence, scale), blend.blend(fivefold, scale)
    assert five.rows == pytest.approx(400)
    assert five.known.mean == pytest.approx(once.known.mean, abs=1e-6)
    apart = blend.blend(replace(fivefold, cluster=np.arange(2000)), scale)
    assert apart.rows > 1500  # taken for independent they would pretend to more


def test_rows_without_a_margin_tell_of_rules_and_base_rate() -> None:
    """Their margin is what their points make one expect: no planted weight is moved by it."""
    evidence, _ = _evidence(20_000, 0.8, -1.2, 0.02)
    leaning = replace(evidence, margin=evidence.margin + 0.03 * evidence.points)
    lacks = replace(leaning, margin=np.where(np.arange(20_000) < 8000, np.nan, leaning.margin))
    scale = Scale.of(evidence.points)
    whole, part = blend.blend(leaning, scale), blend.blend(lacks.filled(), scale)
    assert part.known.mean == pytest.approx(whole.known.mean, abs=0.06)
    flat = replace(lacks, margin=np.where(np.isnan(lacks.margin), 0.6, lacks.margin))
    naive = blend.blend(flat, scale)  # the same margin for all of them is wrong about the rules
    assert abs(naive.known.mean[1] - whole.known.mean[1]) > 0.06


@pytest.mark.parametrize(("bend", "name"), [(0.0, "Platt"), (1.5, "beta")])
def test_the_simplest_curve_that_will_do_is_chosen(bend: float, name: str) -> None:
    """Straight log-odds need none, bent ones do."""
    choice = choose.chosen(_bent(6000, bend), Scale.of(np.empty(0)))
    assert choice.name == name
    assert choice.said.startswith(name)
    assert "isotonic 0." in choice.said


def test_stairs_are_left_to_isotonic() -> None:
    """Neither a line nor beta can follow two levels with a cliff between."""
    rng = np.random.default_rng(4)
    margin = rng.uniform(-4, 4, 8000)
    label = (rng.random(8000) < np.where(margin > 2, 0.9, 0.2)).astype(float)
    rows = Evidence(margin=margin, points=np.zeros(8000), label=label, cluster=np.arange(8000))
    found, said = calibrate.calibrated(rows, np.empty(0))
    assert "curve: isotonic, the best" in said
    given = found.probability(np.array([-3.0, -1, 1, 3]))
    assert given == pytest.approx([0.2, 0.2, 0.2, 0.9], abs=0.05)


def test_a_choice_takes_enough_outcomes() -> None:
    """With fewer the simplest is taken, and it is said."""
    choice = choose.chosen(_bent(150, 1.5), Scale.of(np.empty(0)))
    assert choice.name == "Platt"
    assert "a choice takes 100" in choice.said


@pytest.mark.parametrize("name", list(curves.CURVES))
def test_every_curve_rises_and_stays_inside(name: str) -> None:
    """Also where the outcomes run against the score."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=500).round(1)
    for label in (rng.random(500) < 0.3, score < 0, score > 0, np.zeros(500), np.ones(500)):
        curve = curves.CURVES[name](score, label.astype(float), 1.0)
        given = Calibrator(curve=curve).probability(np.linspace(-90, 90, 2001))
        assert (np.diff(given) >= 0).all()
        assert 0 < given.min() <= given.max() < 1
        assert len(curve) < 64


def test_a_band_rises_and_covers_zero_to_one() -> None:
    """Low and high never fall, and no score is outside of it."""
    evidence, _ = _evidence(2000, 0.8, -2.0, 0.02)
    found, _ = calibrate.calibrated(evidence, evidence.points, lambda _: 0.2)
    knots = np.array([[k.probability, k.low, k.high] for k in found.band])
    assert (np.diff(knots, axis=0) >= 0).all()
    assert (knots[:, 1] <= knots[:, 0]).all()
    assert (knots[:, 0] <= knots[:, 2]).all()
    assert (knots[0, 0], knots[-1, 0]) == (0, 1)
    assert len(knots) < 24


@pytest.mark.parametrize(
    ("positives", "rows", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (0, 0, 0.0, 1.0)],
)
def test_wilson_intervals_are_those_of_the_tables(
    positives: int, rows: int, low: float, high: float
) -> None:
    """Published values to four places."""
    assert calibrate.wilson(positives, rows) == pytest.approx((low, high), abs=5e-5)
