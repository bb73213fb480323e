"""Who is followed for less is stood for by rows like him: where censoring goes with what drives the
outcome, weights by features are right and those of the arm are not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from serving.effects import learner, measured, nuisances, panel, scores, staying, words
from serving.effects.learner import Learnt
from serving.forecast.evidence import Grade
from tests.serving.effects_rows import by_lot, definition, planted

if TYPE_CHECKING:
    from serving.effects.rows import Rows

RUN = nuisances.inline(2)
H, N = 28.0, 4000


def informed(seed: int, strength: float = 1.0) -> tuple[Rows, np.ndarray]:
    """Return rows of which the keen that are treated are followed for less, and the truth of each
    (n, 2).
    """
    told = planted(N, 1.8, seed)
    rng = np.random.default_rng(100 + seed)
    leaves = (told.rows.arm == 1) & told.keen
    mean = np.where(leaves, 60.0 - 45.0 * strength, 60.0)
    return replace(told.rows, followed=rng.exponential(mean)), told.risk


def stays(rows: Rows, seed: int = 0) -> staying.Staying | None:
    """Return how rows stay."""
    return staying.staying(rows, nuisances.folds(rows.cluster, np.random.default_rng(seed)), RUN, H)


def off(rows: Rows, risk: np.ndarray, by: staying.Staying | None) -> tuple[float, float]:
    """Return how far the difference of risks is from the truth, and its error, by weights alone."""
    column = panel.columns(definition(), rows, by)[0][0]
    score = scores.weighted(column.of, rows.arm, by_lot(rows).chance)
    found = scores.average(score[:, 1] - score[:, 0], rows.cluster)
    return found.value - float((risk[:, 1] - risk[:, 0]).mean()), found.sd


def test_weights_by_features_are_right_where_those_of_the_arm_are_not() -> None:
    ours, theirs = [], []
    for seed in range(3):
        rows, risk = informed(seed)
        known = stays(rows, seed)
        assert known is not None
        ours.append(off(rows, risk, known))
        theirs.append(off(rows, risk, None))
    wrong, error = np.mean(theirs, axis=0)
    assert wrong < -3 * error / np.sqrt(3), "Kaplan and Meier: the keen are missing"
    assert abs(np.mean(ours, axis=0)[0]) < 0.4 * abs(wrong)


@pytest.mark.drill
def test_intervals_hold_where_censoring_goes_with_features() -> None:
    """Twelve draws of each; where nothing goes with it, the estimate of the arm stays."""
    held, biased, plain = [], [], 0
    for seed in range(12):
        rows, risk = informed(seed)
        (ours, error), (theirs, wide) = off(rows, risk, stays(rows, seed)), off(rows, risk, None)
        held.append(abs(ours) < scores.Z90 * error)
        biased.append(abs(theirs) < scores.Z90 * wide)
        plain += stays(informed(seed, 0.0)[0], seed) is None
    told = sum(held), sum(biased), plain
    assert sum(held) >= 9 and sum(biased) <= 3 and plain >= 10, told


def test_what_features_do_not_foretell_is_left_to_the_arm() -> None:
    rows, _ = informed(0, 0.0)
    assert stays(rows) is None
    few = replace(rows, followed=np.where(np.arange(N) % 40, 90.0, rows.followed))
    assert stays(few) is None, "too few were censored"


def test_all_alike_it_is_the_estimate_of_kaplan_and_meier() -> None:
    rows, _ = informed(0)
    followed = tuple(np.sort(rows.followed[rows.arm == a]) for a in (0, 1))
    edges = tuple(np.array([0.0, 2.0, 4.0, 9.0, 14.0, 20.0, H]) for _ in followed)
    hazard = np.empty((N, staying.INTERVALS))
    for arm, days in enumerate(followed):
        left = np.array([(days >= edge).mean() for edge in edges[arm]])
        hazard[rows.arm == arm] = 1.0 - left[1:] / left[:-1]
    alike = staying.Staying(arm=rows.arm, followed=followed, edges=edges, hazard=hazard)
    settled = np.full(N, np.inf)
    ours, theirs = (measured.weights(settled, rows.followed, rows.arm, H, by)
                    for by in (alike, None))  # fmt: skip
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert alike.at(np.zeros(N)) == pytest.approx(1.0)
    assert alike.at(np.full(N, H)).min() >= staying.LEAST_CHANCE


def dated(seed: int) -> tuple[Rows, np.ndarray]:
    """Return rows with a feature that tells when each came, so that the late are all followed for
    less, and the truth of each (n, 2).
    """
    told = planted(N, 1.8, seed, follow=60.0)
    when = told.rows.followed + np.random.default_rng(50 + seed).normal(0.0, 5.0, N)
    features = np.column_stack([told.rows.features, when]).astype(np.float32)
    return replace(told.rows, features=features, names=(*told.rows.names, "when")), told.risk


def test_nobody_stands_for_rows_that_are_never_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report says so, and weighs by arm; weights that are cut would miss the late."""
    rows, _ = dated(3)
    foretold = stays(rows, 3)
    assert foretold is not None and not foretold.is_covered(rows.followed, H)
    found = learner.learn(definition(), rows, rows, RUN)
    assert isinstance(found, Learnt) and found.is_uncovered and not found.by_features
    assert words.UNCOVERED in words.said(definition(), found)
    monkeypatch.setattr(staying.Staying, "is_covered", lambda *_: True)
    mutant = learner.learn(definition(), rows, rows, RUN)
    assert isinstance(mutant, Learnt) and mutant.by_features
    assert words.UNCOVERED not in words.said(definition(), mutant)


def test_weights_that_are_cut_miss_more_than_those_of_the_arm() -> None:
    ours, cut = [], []
    for seed in range(4):
        rows, risk = dated(seed)
        ours.append(off(rows, risk, None)[0])
        cut.append(off(rows, risk, stays(rows, seed))[0])
    assert np.mean(np.square(ours)) < 0.5 * np.mean(np.square(cut))


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_some_are_followed_for_are_weighed_by_features(seed: int) -> None:
    rows, _ = informed(seed)
    foretold = stays(rows, seed)
    assert foretold is not None and foretold.is_covered(rows.followed, H)


def test_either_sign_of_it_is_enough() -> None:
    """A mean weight far from 1, and a share of rows whose chance was cut."""
    followed = np.where(np.arange(1000) % 10 < 5, H, 1.0)
    alike = staying.Staying(
        arm=np.arange(1000) % 2,
        followed=(np.sort(followed[0::2]), np.sort(followed[1::2])),
        edges=(np.linspace(0.0, H, staying.INTERVALS + 1),) * 2,
        hazard=np.full((1000, staying.INTERVALS), 1e-4),
    )
    assert not alike.is_covered(followed, H), "half were followed, each stands for itself alone"
    assert alike.is_covered(np.full(1000, H), H)
    few = alike.hazard.copy()
    few[:80] = 0.99
    assert not replace(alike, hazard=few).is_covered(np.where(np.arange(1000) < 80, 0.0, H), H)


def test_what_is_learnt_says_by_what_it_was_weighed() -> None:
    rows, _ = informed(0)
    for of, says in ((rows, "XGBoost hazards"), (planted(600).rows, "Kaplan and Meier")):
        found = learner.learn(definition(), of, of, RUN)
        assert isinstance(found, Learnt)
        assert says in words.method(Grade.RANDOMISED, found.by_features)
