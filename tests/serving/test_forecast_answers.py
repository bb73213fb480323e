"""What a forecast says: the parts of every total add up, goals are shares of draws, and the spread
is laid to those who make it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.forecast import answers, risk
from serving.forecast.given import Outcome, Start

DRAWS, STEPS, GROUPS, STAGES = 400, 6, 4, 2
LABELS = pd.DataFrame({"segment": ["a", "a", "b", "b"], "team": ["x", "y", "x", "y"]})


def _outcome(seed: int, *, rate: float = 1.0, units: int = 8) -> Outcome:
    rng = np.random.default_rng(seed)
    luck = rng.gamma(4.0, 0.25, (DRAWS, 1, 1, 1))  # shared by all of a draw
    won = rng.poisson(rate * luck, (DRAWS, STEPS, GROUPS, 3))
    each = np.array([1, 1, 5, 20])[:, None]
    return Outcome(
        won=won,
        cents=won * each * 1_000,
        open=rng.poisson(9.0, (DRAWS, STEPS, GROUPS, STAGES)).astype(np.int32),
        contacts=np.zeros((DRAWS, STEPS, 1, 0), np.int64),
        waiting=np.zeros((DRAWS, STEPS, 1), np.int64),
        lost_to=np.zeros((DRAWS, STEPS), np.int64),
        winners=np.packbits(rng.random((DRAWS, units)) < 0.3, axis=1, bitorder="little"),
        won_at=np.zeros((DRAWS, 0), np.uint16),
        timing=np.zeros((DRAWS, 6), np.int64),
    )


@pytest.mark.parametrize("measure", answers.MEASURES)
def test_the_shares_of_every_dimension_add_up_to_the_quantiles(measure: str) -> None:
    outcome = _outcome(1)
    shares = answers.shares(outcome, LABELS, measure).set_index(["dimension", "step"])
    rows = answers.table({"x": outcome}, LABELS)
    total = rows[(rows["dimension"] == "all") & (rows["part"] == "all")]
    total = total[(total["measure"] == measure) & (total["span"] == "cumulative")]
    for name in ("mean", *answers.SHARED):
        for dimension in ("all", *LABELS.columns):
            summed = shares.loc[dimension].groupby("step")[name].sum()
            np.testing.assert_allclose(summed, total[name], rtol=1e-9)


def test_the_quantiles_of_the_slices_themselves_do_not_add_up() -> None:
    """Why shares are needed: at the low end the teams' own quantiles are below the total's."""
    rows = answers.table({"x": _outcome(2)}, LABELS)
    last = rows[(rows["step"] == STEPS) & (rows["span"] == "cumulative") & (rows["part"] == "all")]
    last = last[last["measure"] == "value_cents"].set_index("dimension")
    assert last.loc[["segment"], "p05"].sum() < last.loc["all", "p05"] * 0.99


def test_every_draw_adds_up_and_parts_are_told_apart() -> None:
    outcome = _outcome(3)
    rows = answers.table({"x": outcome}, LABELS)
    won = rows[(rows["measure"] == "won") & (rows["span"] == "step") & (rows["step"] == 1)]
    means = won.set_index(["dimension", "value", "part"])["mean"]
    parts = [means["all", "all", part] for part in answers.PARTS]
    assert sum(parts) == pytest.approx(means["all", "all", "all"])
    assert means["team"].sum() == pytest.approx(means["all", "all", "all"])
    assert means["all", "all", "new"] == outcome.won[:, 0, :, 2].sum() / DRAWS


def test_quantiles_are_values_that_occurred() -> None:
    outcome = _outcome(4)
    rows = answers.table({"x": outcome}, LABELS)
    one = rows[(rows["value"] == "b") & (rows["measure"] == "won") & (rows["span"] == "cumulative")]
    occurred = outcome.won[:, :, 2:].sum(axis=(2, 3)).cumsum(axis=1)
    for step, low in zip(one["step"], one["p05"], strict=True):
        assert low in occurred[:, step - 1]
        assert (occurred[:, step - 1] <= low).mean() >= 0.05 > (occurred[:, step - 1] < low).mean()


def test_who_is_open_is_told_by_stage_and_slice() -> None:
    outcome = _outcome(5)
    rows = answers.occupancy(outcome, LABELS, ("early", "late")).set_index(
        ["dimension", "value", "stage", "step"]
    )
    assert rows.loc[("segment", "a", "late", 3), "mean"] == outcome.open[:, 2, :2, 1].sum() / DRAWS


def test_nothing_differs_from_itself() -> None:
    outcome = _outcome(6)
    none = answers.difference(outcome, outcome)
    assert all(not values.any() for values in none)
    assert answers.difference(outcome, _outcome(7)).won.any()


def test_a_goal_is_reached_as_often_as_it_is() -> None:
    found = risk.reached(np.arange(100), 90)
    assert (found.probability, found.short) == (0.10, 45.5)
    assert found.error == pytest.approx(0.03)
    assert risk.reached(np.arange(100), 0).short == 0.0


def _start(cents: list[int]) -> Start:
    zeros = np.zeros(len(cents), np.int64)
    return Start(
        name=np.arange(len(cents), dtype=np.uint64),
        stage=zeros,
        stayed=zeros,
        stratum=zeros,
        group=zeros,
        desk=zeros,
        part=zeros,
        cents=np.array(cents),
        tired=zeros.astype(float),
    )


def _of_deals(is_won: np.ndarray, cents: np.ndarray, more: np.ndarray) -> Outcome:
    """Return an outcome in which the deals won and `more` are all that is worth something."""
    empty = _outcome(0, units=is_won.shape[1])
    value = np.zeros_like(empty.cents)
    value[:, 0, 0, 0], value[:, 0, 0, 2] = is_won @ cents, more
    return empty._replace(cents=value, winners=np.packbits(is_won, axis=1, bitorder="little"))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_the_shares_of_the_spread_add_up(seed: int, deals: int) -> None:
    rng = np.random.default_rng(seed)
    is_won, cents = rng.random((DRAWS, deals)) < 0.4, rng.integers(1, 10**9, deals)
    more = rng.integers(0, 10**9, DRAWS)
    rows = risk.carried(_start(cents.tolist()), _of_deals(is_won, cents, more))
    total = is_won @ cents + more
    of_new = np.cov(more.astype(float), total.astype(float), bias=True)[0, 1] / total.var()
    assert rows["share"].sum() + of_new == pytest.approx(1.0, abs=1e-6)


def test_the_large_and_open_deal_carries_the_risk() -> None:
    """Not one that is nearly certain, nor one that is small."""
    rng = np.random.default_rng(8)
    chance, cents = np.array([0.5, 0.99, 0.5]), np.array([900_000, 1_000_000, 10_000])
    is_won = rng.random((DRAWS, 3)) < chance
    found = risk.carried(_start(cents.tolist()), _of_deals(is_won, cents, np.zeros(DRAWS, int)))
    assert found["unit"].iloc[0] == 0 and found["share"].iloc[0] > 0.9
    assert found.set_index("unit").loc[1, "chance"] == is_won[:, 1].mean()
