"""Bounds under a hidden cause: of one whose strength is known they hold the truth, and no weaker
ones do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.effects import hidden, measured, scores
from serving.effects.evidence import Basis
from serving.effects.panel import Column, Panel
from serving.forecast.evidence import Grade
from tests.serving.effects_rows import planted

N = 20_000


def told(odds: float, worst: bool, effect: float = 0.0, seed: int = 0) -> Panel:
    """Return rows whose arm is drawn by a hidden cause, at odds so many times those of the features
    or as many times less; it drives the outcome, or in the worst case is the outcome.
    """
    rng = np.random.default_rng(seed)
    seen = rng.random(N) < 0.5
    cause = rng.random(N) < 0.5
    arm = (rng.random(N) < np.where(cause, odds, 1.0) / (1.0 + odds)).astype(np.int64)
    risk = np.where(cause, 1.0, 0.0) if worst else 0.2 + 0.3 * cause + 0.1 * seen
    value = (rng.random(N) < risk + effect * arm).astype(np.float64)
    rows = replace(planted(N).rows, arm=arm, cluster=np.arange(N))
    chance = np.full((N, 2), 0.5)  # the features say nothing of it
    basis = Basis(rows=rows, chance=chance, grade=Grade.OBSERVATIONAL, drawn=N, trimmed=0,
                  histogram=())  # fmt: skip
    mean = [[value[(arm == a) & (seen == s)].mean() for a in (0, 1)] for s in (False, True)]
    expected = np.array(mean)[seen.astype(int)][:, :, None]
    of = measured.certain(value)
    column = Column("forward", "happens", 28.0, "", of)
    both = scores.scores(of, arm, chance, expected[:, :, 0])[:, :, None]
    return Panel(basis=basis, columns=(column,), expected=expected, scores=both,
                 fold=np.zeros(N, np.int64), asked=None)  # fmt: skip


def test_without_a_hidden_cause_the_bounds_are_the_effect() -> None:
    panel = told(1.0, worst=False, effect=0.1)
    both = hidden.bound(panel, 0, 1, 1.0)
    found = scores.average(panel.scores[:, 1, 0] - panel.scores[:, 0, 0], np.arange(N))
    assert (both.low, both.high) == pytest.approx((found.value, found.value), abs=1e-12)
    assert (both.limit_low, both.limit_high) == pytest.approx(found.interval, abs=1e-12)


@pytest.mark.parametrize("effect", [0.0, 0.1])
@pytest.mark.parametrize("odds", [1.5, 2.0, 3.0])
def test_bounds_of_its_strength_hold_the_truth(odds: float, effect: float) -> None:
    panel = told(odds, worst=False, effect=effect)
    both = hidden.bound(panel, 0, 1, odds)
    assert both.limit_low < effect < both.limit_high
    mutant = hidden.bound(panel, 0, 1, 1.0)
    assert mutant.limit_low > effect, "as if there were no hidden cause"


@pytest.mark.parametrize("odds", [1.5, 3.0])
def test_bounds_are_as_narrow_as_they_can_be(odds: float) -> None:
    """In the worst case the bound is the truth, and weaker causes explain less than was seen."""
    panel = told(odds, worst=True)
    both = hidden.bound(panel, 0, 1, odds)
    assert both.low == pytest.approx(0.0, abs=0.015) and both.high > 0.3
    assert hidden.odds_of_limit(panel, 0, 1) == pytest.approx(odds, rel=0.06)


def test_the_other_sign_is_bounded_alike() -> None:
    panel = told(2.0, worst=True)
    value = 1.0 - panel.columns[0].of.value
    turned = panel.columns[0]._replace(of=measured.certain(value))
    other = replace(panel, columns=(turned,), expected=1.0 - panel.expected)
    one, two = hidden.bound(panel, 0, 1, 1.7), hidden.bound(other, 0, 1, 1.7)
    assert (two.low, two.high) == pytest.approx((-one.high, -one.low), abs=1e-9)


def test_what_is_not_clear_needs_no_hidden_cause() -> None:
    panel = told(1.0, worst=False)
    assert hidden.odds_of_limit(panel, 0, 1) == 1.0


MU, GUESS, CHANCE = np.array([0.2, 0.8]), np.array([0.1, 0.9]), np.array([0.2, 0.6])


def rows_of_two_kinds(n: int = 200_000) -> tuple[measured.Measured, np.ndarray, np.ndarray]:
    """Return an outcome, whose rows are in the arm, and the kind of each. Whether it is known goes
    with it, and those that are known stand for the others.
    """
    rng = np.random.default_rng(5)
    kind, mine = rng.integers(0, 2, n), rng.random(n)
    value = (rng.random(n) < MU[kind]).astype(np.float64)
    seen = np.where(value > 0, 0.9, 0.45)
    is_known = rng.random(n) < seen
    of = measured.Measured(np.where(is_known, value, 0.0), np.where(is_known, 1.0 / seen, 0.0))
    return of, mine < CHANCE[kind], kind


def by_formula(odds: float, sign: int) -> float:
    """Return the bound: e mu + (1 - e) of what the others had at most, or at least."""
    factor = odds**sign
    ends = factor * MU, 1.0 - (1.0 - MU) / factor
    rho = np.minimum(*ends) if sign > 0 else np.maximum(*ends)
    return float((CHANCE * MU + (1.0 - CHANCE) * rho).mean())


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("odds", [1.0, 2.0, 3.0])
def test_bounds_are_those_of_the_formula_by_the_chance_of_each_row(odds: float, sign: int) -> None:
    """Though the model is wrong. Mutants: other chances, and all rows of one weight."""
    of, mine, kind = rows_of_two_kinds()

    def found(of: measured.Measured, chance: np.ndarray) -> float:
        both = hidden.bounded(of, mine, chance, GUESS[kind], sign * np.log(odds))
        return float(both.mean())

    chance, truth = CHANCE[kind], by_formula(odds, sign)
    assert found(of, chance) == pytest.approx(truth, abs=0.008)
    if odds > 1.0:
        assert abs(found(of, 1.0 - chance) - truth) > 0.02
        assert abs(found(of, np.full(len(mine), 0.5)) - truth) > 0.02
    weightless = of._replace(weight=np.ones(len(mine)))
    assert abs(found(weightless, chance) - truth) > 0.02
