"""Plans: what a contact is worth by its chain, and shares that are the best of a linear program."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from serving.forecast import plans, worth
from serving.forecast.plans import SYSTEM, Cells, Limits, choose, regrets
from tests.serving import small_funnels
from tests.serving.small_funnels import BAND_OF, STAGES, STRATA


def cells(seed: int, n: int, desks: int) -> Cells:
    """Return cells some of which lose, cost nothing or hold nobody."""
    rng = np.random.default_rng(seed)
    contacts = rng.uniform(0.0, 50.0, n) * (rng.random(n) > 0.1)
    return Cells(
        gain=rng.normal(300.0, 600.0, n) * contacts,
        cost=contacts * rng.choice([0.0, 40.0, 90.0], n),
        contacts=contacts,
        desk=rng.integers(SYSTEM, desks, n),
    )


def best(asked: Cells, limits: Limits) -> float:
    """Return the value of the best shares as HiGHS finds it."""
    rows = [asked.cost]
    rows += [np.where(asked.desk == d, asked.contacts, 0.0) for d in range(len(limits.capacity))]
    room = [limits.budget, *limits.capacity]
    found = linprog(-asked.gain, A_ub=np.array(rows), b_ub=room, bounds=(0, 1), method="highs")
    assert found.success
    return float(-found.fun)


def within(asked: Cells, share: np.ndarray, limits: Limits) -> bool:
    """Do shares keep to the budget and the hours?"""
    used = [share @ np.where(asked.desk == d, asked.contacts, 0.0) for d in range(len(limits[1]))]
    room = np.array([limits.budget, *limits.capacity])
    return bool((np.array([asked.cost @ share, *used]) <= room * (1 + 1e-9) + 1e-6).all())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    desks=st.integers(0, 4),
    tight=st.floats(0.0, 1.5),
)
def test_shares_are_as_good_as_those_of_a_solver(
    seed: int, n: int, desks: int, tight: float
) -> None:
    asked = cells(seed, n, desks)
    rng = np.random.default_rng(seed + 1)
    limits = Limits(tight * asked.cost.sum() / 2, rng.uniform(0.0, 200.0, desks))
    found = choose(asked, *limits)
    assert ((found.share >= 0.0) & (found.share <= 1.0)).all()
    assert within(asked, found.share, limits)
    assert asked.gain @ found.share == pytest.approx(best(asked, limits), rel=1e-7, abs=1e-5)


def test_a_plan_without_a_price_on_the_budget_would_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mutant: the budget costs nothing, so it is overspent."""
    asked, limits = cells(5, 30, 2), Limits(500.0, np.array([100.0, 50.0]))
    assert within(asked, choose(asked, *limits).share, limits)
    monkeypatch.setattr(plans, "_HALVES", 0)
    monkeypatch.setattr(plans, "_dearest", lambda cells: 0.0)
    assert not within(asked, choose(asked, *limits).share, limits)


def test_prices_are_what_one_more_of_each_brings() -> None:
    asked, limits = cells(7, 40, 2), Limits(4_000.0, np.array([120.0, 60.0]))
    found, usual = choose(asked, *limits), best(asked, limits)
    more = best(asked, limits._replace(budget=limits.budget + 1.0)) - usual
    assert found.budget_price == pytest.approx(more, rel=1e-5) and more > 0.0
    for desk in range(2):
        room = limits.capacity.copy()
        room[desk] += 1e-3
        hour = (best(asked, limits._replace(capacity=room)) - usual) / 1e-3
        assert found.contact_price[desk] == pytest.approx(hour, rel=1e-4, abs=1e-6)
    free = choose(asked, math.inf, limits.capacity)
    assert free.budget_price == 0.0 and free.contact_price.max() > 0.0


def test_regret_is_nothing_where_the_parameters_are_those_of_the_plan() -> None:
    asked, limits = cells(8, 30, 2), Limits(2_000.0, np.array([100.0, 100.0]))
    chosen = choose(asked, *limits).share
    other = asked.gain * np.random.default_rng(0).uniform(0.0, 2.0, (20, 30))
    found = regrets(asked, np.vstack([asked.gain, other]), chosen, limits=limits)
    assert found[0] == pytest.approx(0.0, abs=1e-6) and (found[1:] >= 0.0).all()
    first = asked._replace(gain=other[0])
    assert found[1] == pytest.approx(best(first, limits) - other[0] @ chosen, rel=1e-6)
    assert found.max() > 0.0


# what a contact is worth


def chain(seed: int) -> np.ndarray:
    """Return the chances of a small funnel by age."""
    rng = np.random.default_rng(seed)
    return worth.by_age(small_funnels.parameters(rng, 1, 5).moves[0], BAND_OF)


def walked(chances: np.ndarray, pushed: np.ndarray, left: int, lasts: int) -> np.ndarray:
    """Return the chance to be won within so many steps, told forwards, unit by unit."""
    found = np.zeros(chances.shape[:3])
    for place in np.ndindex(found.shape):
        mass = np.zeros(found.shape)
        mass[place] = 1.0
        for step in range(left):
            by = pushed if step < lasts else chances
            found[place] += (mass * by[..., STAGES]).sum()
            mass = worth.onward(by, mass)
    return found


@pytest.mark.parametrize("lasts", [1, 3, 9])
def test_a_contact_is_worth_what_the_chain_told_forwards_says(lasts: int) -> None:
    chances = chain(3)
    pushed = worth.pushed(chances, 0.7, -0.3)
    found = worth.worth(chances, pushed, horizon=6, lasts=lasts)
    for left in (0, 1, 4, 6):
        more = walked(chances, pushed, left, lasts) - walked(chances, chances, left, lasts)
        assert found.more[left] == pytest.approx(more, abs=1e-12)
        within_ = walked(chances, pushed, min(left, lasts), lasts)
        assert found.within[left] == pytest.approx(within_, abs=1e-12)
    assert (found.more[4] > 0.0).all()


def test_a_step_moves_units_as_their_chances_say() -> None:
    chances = chain(4)
    mass = np.random.default_rng(1).random((2, STRATA, STAGES, BAND_OF.size))
    after = worth.onward(chances, mass)
    left = (mass * (1.0 - chances[..., STAGES:].sum(axis=-1))).sum()
    assert after.sum() == pytest.approx(left)
    one = np.zeros_like(mass[0])
    one[1, 2, 3] = 1.0
    moved = worth.onward(chances, one)
    assert moved[1, 2, 3] == pytest.approx(chances[1, 2, 3, 2]), "the oldest stays the oldest"
    assert moved[1, 3, 0] == pytest.approx(chances[1, 2, 3, 3])


def test_a_push_changes_the_odds_it_names_and_no_other() -> None:
    chances = chain(5)[0, 1, 0]
    found = worth.pushed(chain(5), 0.5, -0.2)[0, 1, 0]
    assert found[2] / found[0] == pytest.approx(math.exp(0.5) * chances[2] / chances[0])
    assert found[5] / found[0] == pytest.approx(math.exp(-0.2) * chances[5] / chances[0])
    assert found[1] / found[0] == pytest.approx(chances[1] / chances[0])
