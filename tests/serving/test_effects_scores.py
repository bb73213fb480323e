"""Doubly robust scores: intervals hold as often as they say, and each thing that makes them so
fails when it is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.effects import averages, evidence, measured, nuisances, panel, scores
from serving.effects.measured import Measured
from serving.effects.nuisances import Asked, Recipe
from tests.drills import mostly
from tests.serving.effects_rows import by_lot, definition, planted

RUN = nuisances.inline(2)
N = 500


def test_scores_are_as_in_the_textbook() -> None:
    of = measured.certain(np.array([1.0, 0.0, 1.0, 0.0]))
    arm, chance = np.array([1, 1, 0, 0]), np.full((4, 2), 0.5)
    found = scores.scores(of, arm, chance, np.full((4, 2), 0.25))
    assert found[:, 1].tolist() == [0.25 + 2 * 0.75, 0.25 - 2 * 0.25, 0.25, 0.25]
    assert found.mean(axis=0).tolist() == [0.5, 0.5]


def shared(seed: int, accounts: int = 150, each: int = 8) -> tuple[np.ndarray, ...]:
    """Return outcome, arm and account of leads whose accounts draw one lot and share their luck."""
    rng = np.random.default_rng(seed)
    account = np.repeat(np.arange(accounts), each)
    arm = rng.integers(0, 2, accounts)[account]
    luck = rng.normal(0.0, 1.0, accounts)[account]
    return luck + rng.normal(0.0, 1.0, len(account)), arm, account


def held(account_of_errors: bool) -> float:
    """Return how often the interval of no effect held 0."""
    count = 0
    for seed in range(200):
        value, arm, account = shared(seed)
        chance = np.full((len(arm), 2), 0.5)
        score = scores.weighted(measured.certain(value), arm, chance)
        cluster = account if account_of_errors else np.arange(len(arm))
        low, high = scores.average(score[:, 1] - score[:, 0], cluster).interval
        count += low <= 0.0 <= high
    return count / 200


def test_intervals_hold_where_accounts_share_their_luck() -> None:
    assert held(True) > 0.9 - 3 * 0.0212


def test_without_clusters_they_do_not() -> None:
    """Mutant: every lead is an account of its own."""
    assert held(False) < 0.6


def average(seed: int, *, is_crossed: bool = True, is_known: bool = True) -> tuple[float, float]:
    """Return by how many standard errors a planted risk difference is missed, and the error."""
    told = planted(N, 1.8, seed, follow=400.0)
    basis = by_lot(told.rows)
    h = 28.0
    settled = np.minimum(*told.rows.causes.values())
    weight = measured.weights(settled, told.rows.followed, told.rows.arm, h)
    of = measured.happened(told.rows.causes["forward"], weight, h)
    features = np.random.default_rng(seed).normal(size=(N, 8)).astype(np.float32)
    asked = Asked(features=features, arm=told.rows.arm, arms=2, value=of.value[:, None],
                  weight=of.weight[:, None],
                  recipe=Recipe(rounds=30, depth=5, rate=0.3, leaf=1.0))  # fmt: skip
    if is_crossed:
        fold = nuisances.folds(told.rows.cluster, np.random.default_rng(seed))
        guess = nuisances.expected(asked, fold, RUN)[:, :, 0]
    else:
        every = np.ones(N, bool)
        both = [nuisances.fitted(features, asked.task(every, every, a))[:, 0] for a in (0, 1)]
        guess = np.column_stack(both)
    chance = basis.chance if is_known else np.full((N, 2), 0.5)
    score = scores.scores(of, told.rows.arm, chance, guess)
    found = scores.average(score[:, 1] - score[:, 0], told.rows.cluster)
    truth = float((told.risk[:, 1] - told.risk[:, 0]).mean())
    return (found.value - truth) / found.sd, found.sd


def test_a_planted_effect_is_within_its_interval() -> None:
    off = np.array([average(seed)[0] for seed in range(16)])
    assert (np.abs(off) < scores.Z90).mean() > 0.9 - 3 * 0.075 and abs(off.mean()) < 0.8


def test_models_that_saw_the_rows_believe_themselves() -> None:
    """Mutant: no cross-fitting. Errors are told far too small, and the truth is missed."""
    off = np.array([average(seed, is_crossed=False) for seed in range(16)])
    honest = np.array([average(seed)[1] for seed in range(4)])
    assert off[:, 1].mean() < 0.6 * honest.mean()
    assert (np.abs(off[:, 0]) < scores.Z90).mean() < 0.7


def test_without_the_logged_chances_it_is_wrong() -> None:
    """Mutant: every lot is taken for that of a fair coin. The features say nothing here."""
    off = [average(seed, is_known=False)[0] for seed in range(6)]
    assert np.mean(off) > 2.0


def test_censoring_weights_stand_for_those_not_followed() -> None:
    told = planted(60_000, 1.0, 3, follow=60.0)
    rows, h = told.rows, 28.0
    settled = np.minimum(*rows.causes.values())
    weight = measured.weights(settled, rows.followed, rows.arm, h)
    of = measured.happened(rows.causes["forward"], weight, h)
    truth = told.risk[:, 0].mean()
    found = (of.value * of.weight).mean()
    assert found == pytest.approx(truth, abs=3 * np.sqrt(truth / 30_000))
    mutant = ((rows.causes["forward"] <= h) & (settled <= rows.followed)).mean()
    assert mutant < 0.85 * truth, "who was not followed is taken for who did not go forward"


def test_the_survival_curve_is_that_of_kaplan_and_meier() -> None:
    time = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    event = np.array([True, True, False, True, False])
    found = measured.survival(time, event)
    assert found.tolist() == pytest.approx([1.0, 0.8, 0.8, 0.6, 0.3])


def test_time_gained_is_the_area_below_the_incidence() -> None:
    first = np.array([2.0, 12.0, np.inf])
    found = measured.gained(first, np.ones(3), 10.0)
    assert found.value.tolist() == [8.0, 0.0, 0.0]


def test_what_is_known_to_be_over_needs_no_more_following() -> None:
    settled, followed = np.array([3.0, np.inf, np.inf, 9.0]), np.array([4.0, 4.0, 20.0, 4.0])
    found = measured.weights(settled, followed, np.zeros(4, np.int64), 10.0)
    assert (found > 0).tolist() == [True, False, True, False]


# ratios of rates


def ratio(seed: int, planted_ratio: float, *, lasts: float = 28.0) -> scores.Average:
    """Return the log of the ratio that is found."""
    told = planted(2000, planted_ratio, seed)
    asked = definition(lasts_days=lasts, horizons_days=[28])
    basis = by_lot(told.rows)
    columns = [c for c in panel.columns(asked, basis.rows)[0] if c.kind in averages.RATES]
    fold = nuisances.folds(basis.rows.cluster, np.random.default_rng(seed))
    found = panel.panel(basis, columns, fold, RUN)
    cause = averages.causes(found, 1, {})["forward"]
    return scores.Average(value=cause.log_ratio, sd=cause.sd, n=cause.n)


@pytest.mark.parametrize(("true", "runs"), mostly([(1.8, 8), (1.0, 300), (1.8, 300)]))
def test_a_planted_ratio_is_within_its_interval(true: float, runs: int) -> None:
    several = [ratio(seed, true) for seed in range(runs)]
    off = np.array([(each.value - np.log(true)) / each.sd for each in several])
    spread = np.sqrt(0.09 / runs)
    assert (np.abs(off) < scores.Z90).mean() > 0.9 - 3 * spread
    assert abs(off.mean()) < 3 / np.sqrt(runs)


def test_rates_are_compared_among_rows_at_like_risk() -> None:
    """Mutant: one band for all, so that over a long time the quick are gone from the treated."""
    rng = np.random.default_rng(2)
    n, h = 40_000, 90.0
    keen, arm = np.arange(n) % 2, rng.integers(0, 2, n)
    rate = np.where(keen == 1, 0.03, 0.002) * np.where(arm == 1, 1.8, 1.0)
    first = rng.exponential(1.0 / rate)
    chance = np.full((n, 2), 0.5)
    events = scores.weighted(measured.certain(first <= h), arm, chance)
    days = scores.weighted(measured.certain(np.minimum(first, h)), arm, chance)
    cluster = np.arange(n)
    alike = scores.log_hazard_ratio(events, days, 1, cluster, keen)
    mutant = scores.log_hazard_ratio(events, days, 1, cluster, np.zeros(n, np.int64))
    assert alike is not None and mutant is not None
    assert abs(alike.value - np.log(1.8)) < 3 * alike.sd
    assert mutant.value < np.log(1.8) - 4 * mutant.sd


def test_the_error_of_a_ratio_is_that_of_a_bootstrap() -> None:
    rng = np.random.default_rng(5)
    n = 3000
    arm, band = rng.integers(0, 2, n), rng.integers(0, 3, n)
    first = rng.exponential(1.0 / (0.01 * (1 + band)))
    chance, cluster = np.full((n, 2), 0.5), np.arange(n)
    events = scores.weighted(measured.certain(first <= 30), arm, chance)
    days = scores.weighted(measured.certain(np.minimum(first, 30)), arm, chance)
    found = scores.log_hazard_ratio(events, days, 1, cluster, band)
    assert found is not None
    again = []
    for _ in range(300):
        pick = rng.integers(0, n, n)
        one = scores.log_hazard_ratio(events[pick], days[pick], 1, cluster, band[pick])
        assert one is not None
        again.append(one.value)
    assert found.sd == pytest.approx(np.std(again), rel=0.15)


def test_a_ratio_of_nothing_is_none() -> None:
    none = np.zeros((10, 2))
    band, cluster = np.zeros(10, np.int64), np.arange(10)
    assert scores.log_hazard_ratio(none, none + 1, 1, cluster, band) is None
    assert scores.log_ratio(none[:, 0], none[:, 1] + 1, cluster) is None


@pytest.mark.parametrize(
    ("ratio_of_risks", "e_value"), [(3.9, 7.26), (1.8, 3.0), (1.0, 1.0), (1 / 3.9, 7.26)]
)
def test_e_values_are_those_of_the_paper(ratio_of_risks: float, e_value: float) -> None:
    """VanderWeele and Ding 2017: 3.9 (1.8 to 8.7) has 7.26, and 3.0 for its limit."""
    assert evidence.e_value(ratio_of_risks) == pytest.approx(e_value, abs=0.005)
    assert evidence.e_value_of_limit(1.8, 8.7) == pytest.approx(3.0)
    assert evidence.e_value_of_limit(0.9, 8.7) == 1.0


def test_accounts_lie_in_one_fold_and_predictions_are_of_others() -> None:
    cluster = np.repeat(np.arange(100), 3)
    fold = nuisances.folds(cluster, np.random.default_rng(1))
    assert all(len(set(fold[cluster == each])) == 1 for each in range(100))
    assert np.bincount(fold).tolist() == [60] * 5
    asked = Asked(features=np.arange(300, dtype=np.float32)[:, None], arm=np.arange(300) % 2,
                  arms=2, value=np.where(fold == 0, 1.0, 0.0)[:, None],
                  weight=np.ones((300, 1)))  # fmt: skip
    guess = nuisances.expected(asked, fold, RUN)
    assert (guess[fold == 0] == 0.0).all(), "what is peculiar to a fold is not known of it"


def test_fits_are_the_same_however_many_run_at_once() -> None:
    told = planted(600, 1.5)
    asked = Asked(features=told.rows.features, arm=told.rows.arm, arms=2,
                  value=told.keen[:, None].astype(float), weight=np.ones((600, 1)))  # fmt: skip
    fold = nuisances.folds(told.rows.cluster, np.random.default_rng(1))
    one, two = (nuisances.expected(asked, fold, nuisances.inline(n)) for n in (1, 2))
    assert np.array_equal(one, two)
    zero = replace(asked, weight=np.zeros((600, 1)))
    assert (nuisances.expected(zero, fold, RUN) == 0.0).all()


def test_columns_without_enough_followed_are_missed() -> None:
    told = planted(500, 1.0, follow=40.0)
    columns, missed = panel.columns(definition(horizons_days=[28, 60]), told.rows)
    assert missed == [60.0] and {c.horizon for c in columns} == {28.0}
    assert isinstance(columns[0].of, Measured)
