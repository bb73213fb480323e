"""Whom an action helps most: found where it was planted, not claimed where it was not."""

from __future__ import annotations

import numpy as np
import pytest

from serving.effects import curves, measured, nuisances, ranking, targeting
from serving.effects.nuisances import Asked
from serving.effects.targeting import Case

RUN = nuisances.inline(2)


def case(n: int, effect: float, seed: int = 0) -> Case:
    """Return a fair lot that helps those with a high first feature, by so much at most."""
    rng = np.random.default_rng(seed)
    features = rng.random((n, 4)).astype(np.float32)
    arm = rng.integers(0, 2, n)
    chance = 0.2 + 0.2 * features[:, 1] + effect * arm * (features[:, 0] > 0.6)
    value = (rng.random(n) < chance).astype(np.float64)
    asked = Asked(features=features, arm=arm, arms=2, value=value[:, None],
                  weight=np.ones((n, 1)))  # fmt: skip
    return Case(asked=asked, chance=np.full((n, 2), 0.5), cluster=np.arange(n) // 2,
                of=measured.certain(value))  # fmt: skip


@pytest.fixture(scope="module")
def banded() -> dict[float, curves.Banded]:
    """Return the curves of a planted difference, and of none."""
    found = {}
    for effect in (0.0, 0.35):
        of = case(2500, effect)
        several = targeting.ranked(of, 1, np.random.default_rng(1), RUN)
        found[effect] = curves.banded(several, of.cluster, 0.05, np.random.default_rng(2))
    return found


def test_a_planted_difference_is_found(banded: dict[float, curves.Banded]) -> None:
    found = banded[0.35]
    perfect = 0.35 * 0.4 * 0.6 / 2  # the curve rises by 0.4 * 0.35 over the best 40 %
    assert np.quantile(found.qini, 0.05) > 0.0
    assert 0.5 * perfect < found.found.qini < 1.2 * perfect
    assert found.found.share < 0.75 and np.quantile(found.policy, 0.05) > 0.0
    assert found.found.gain[-1] == pytest.approx(0.14, abs=0.06)


def test_no_difference_is_not_found(banded: dict[float, curves.Banded]) -> None:
    low, high = np.quantile(banded[0.0].qini, (0.05, 0.95))
    assert low < 0.0 and abs(banded[0.0].found.qini) < 0.02
    assert high < 0.03


def test_a_ranking_by_rows_that_were_seen_is_too_good() -> None:
    """Mutant: the second stage is asked about rows that it learnt from."""
    of = case(1500, 0.0, 3)
    both = np.full((1500, 2), of.of.value.mean())
    score = targeting._contrast(of, 1, both)
    every = np.arange(1500)
    fit = nuisances.Fit(train=every, asked=every, value=score[:, None],
                        weight=np.ones((1500, 1)), recipe=nuisances.Recipe(rounds=80, depth=4,
                                                                           leaf=5.0))  # fmt: skip
    seen = nuisances.fitted(of.asked.features, fit)[:, 0]
    honest = targeting.ranked(of, 1, np.random.default_rng(1), RUN)[0]
    assert ranking.qini(seen, score) > 0.05 > abs(ranking.qini(-honest.place, honest.score))


def test_rows_are_ranked_within_their_fold() -> None:
    """Mutant: folds in one order. What is learnt without a lucky fold expects less of it."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(200):
        score, fold = rng.normal(size=500), np.arange(500) % 5
        guess = np.array([score[fold != k].mean() for k in range(5)])[fold]
        guess = guess + rng.normal(0.0, 0.01, 500)
        place = np.empty(500)
        for k in range(5):
            place[fold == k] = targeting.within(guess[fold == k])
        found.append((ranking.qini(guess, score), ranking.qini(-place, score)))
    mutant, ours = np.mean(found, axis=0)
    error = np.std([o for _, o in found]) / np.sqrt(200)
    assert abs(ours) < 3 * error and mutant < -3 * error


def test_a_curve_is_that_of_hand() -> None:
    score = np.array([4.0, 0.0, 2.0, -2.0])
    guess = np.array([0.9, 0.3, 0.5, 0.1])
    # gains at shares of a quarter: 0, 1, 1.5, 1.5, 1; trapezoids 1.125, less the triangle 0.5
    assert ranking.qini(guess, score) == pytest.approx((0.5 + 1.25 + 1.5 + 1.25) / 4 - 0.5)
    treated = np.array([True, False, True, False])
    value = np.array([1.0, 1.0, 0.0, 0.0])
    # 1/2 of the treated, then nothing, then 1/2 of the control, then nothing
    assert ranking.plain_qini(guess, value, treated) == pytest.approx((0.25 + 0.5 + 0.25 + 0.0) / 4)


def test_a_scale_never_turns_a_ranking_round() -> None:
    ranks, value = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    found = targeting._scaled(ranks, value, ranks)
    assert (np.diff(found) > 0).all() and np.ptp(found) < 1e-6


def test_few_outcomes_of_those_left_out_carry_no_claim() -> None:
    of = case(1000, 0.0)
    guess = np.where(np.arange(1000) < 30, -1.0, 1.0)
    one = targeting.Ranked(guess, guess, guess)
    assert curves.left_out([one], of, 1, 0.0) < 10 <= curves.left_out([one], of, 1, 2.0)
