"""Levers of every kind: the kernel against the plain telling, rules broken, and what must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.forecast import growth, kernel
from serving.forecast.luck import Chance
from tests.serving import interpreted, plain_kernel, small_funnels
from tests.serving.small_funnels import GROUPS, KINDS, Case, every_kind, run, same

if TYPE_CHECKING:
    from serving.forecast.given import Outcome
    from tests.serving.interpreted import Change

MUTANTS: dict[str, Change] = {
    "systems wait": ("contacts", "if world.levers.at_once[lever]:", "if lever < 0:"),
    "who is not stalled is listed": ("contacts", "is_time = stalled >= 0", "is_time = True"),
    "a price is given again": ("contacts", "is_time = stalled == 0", "is_time = stalled >= 0"),
    "those there when it begins get no price": (
        "contacts",
        "levers.once[lever] and chance.step != levers.first[lever]",
        "levers.once[lever]",
    ),
    "shares are ignored": (
        "contacts",
        "word < world.listed_in[lever, stratum, state.open.group[place]]",
        "True",
    ),
    "a price tires": ("contacts", "tired + levers.tires[lever]", "tired + 1.0"),
    "nobody is lost more": ("contacts", "state.open.risk[place] = math.exp(lost)", "pass"),
    "the other effect is known": ("laws", "+ levers.lost_log_ratio_sd[lever] * z", ""),
    "packing forgets who is at risk": ("state", "= opened.risk[place]", "= 1.0"),
    "being lost takes from all": (
        "moving",
        "(phi - 1.0) + shift) - shift\n    low",
        "(phi - 1.0) + shift)\n    low",
    ),
    "a discount costs nothing": ("moving", "found *= world.levers.worth[lever]", "pass"),
    "a discount stays when it is over": (
        "moving",
        '["felt"] != 0.0:\n            found',
        '["until"] != 0:\n            found',
    ),
    "nobody stays away": ("coming", "+ 0.5) * OF_WORD < factor", "+ 0.5) * OF_WORD < 2.0"),
    "campaigns reach all groups": ("coming", "and growth.groups[each, group]", ""),
    "campaigns reach all kinds": ("coming", "growth.kinds[each, kind] and ", ""),
    "the answer is known": ("growth", "+ sd * normal(u)", ""),
    "steps of winning are not told": ("moving", "happened.won_at[number] =", "unit ="),
}


@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_tells_what_the_plain_one_tells(seed: int) -> None:
    asked = every_kind(seed)
    found = run(asked)
    assert (found.contacts.sum(axis=(0, 1, 2)) > 0).all() and found.lost_to.sum() > 0
    assert same(found, plain_kernel.Plain(asked).simulate())


@given(
    seed=st.integers(0, 2**20),
    budget=st.floats(0.0, 4.0),
    stalled=st.integers(0, 5),
    lost=st.floats(-1.0, 1.0),
)
def test_they_agree_in_any_funnel(seed: int, budget: float, stalled: int, lost: float) -> None:
    asked = every_kind(seed, units=20, draws=1, steps=8)
    campaigns, levers = asked["growth"], asked["levers"]
    asked["growth"] = campaigns._replace(budget=np.array([budget, 1.0 / (0.2 + budget), 1.0]))
    lost_ = np.array([0.0, lost, -lost, 0.3])
    stalled_ = np.array([stalled, 0, 1, stalled])
    asked["levers"] = levers._replace(stalled=stalled_, lost_log_ratio=lost_)
    assert same(run(asked), plain_kernel.Plain(asked).simulate())


@pytest.fixture(scope="module")
def asked() -> Case:
    """A funnel in which every rule has something to do."""
    return every_kind(3, units=150, draws=1, steps=22)


@pytest.fixture(scope="module")
def plain(asked: Case) -> Outcome:
    """What the plain telling says of it."""
    return plain_kernel.Plain(asked).simulate()


def test_without_a_change_they_agree(
    asked: Case, plain: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert same(interpreted.load(monkeypatch).simulate(**asked), plain)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(
    name: str, asked: Case, plain: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = interpreted.load(monkeypatch, MUTANTS[name])
    assert not same(broken.simulate(**asked), plain)


def test_a_campaign_without_end_would_be_seen(asked: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: who stays away for a time stays away for good."""
    cut = {**asked, "growth": growth.Growth(*(field[1:2] for field in asked["growth"]))}
    told = plain_kernel.Plain(cut).simulate()
    assert same(interpreted.load(monkeypatch).simulate(**cut), told)
    broken = interpreted.load(monkeypatch, ("coming", "<= step <= growth.last[each]", "<= step"))
    assert not same(broken.simulate(**cut), told)


# the same luck


def without(asked: Case, **levers: Any) -> Case:
    """Return a case without campaigns, with other levers."""
    none = growth.none(KINDS, GROUPS)
    return {**asked, "growth": none, "levers": asked["levers"]._replace(**levers)}


NOTHING: dict[str, Any] = {
    name: np.zeros(4)
    for name in ("log_ratio", "log_ratio_sd", "lost_log_ratio", "lost_log_ratio_sd", "unsubscribe")
} | {"worth": np.ones(4)}


def usual(asked: Case) -> Case:
    """Return business as usual."""
    return {**asked, "growth": growth.none(KINDS, GROUPS), "levers": small_funnels.no_levers()}


def test_levers_without_effect_change_not_a_bit(asked: Case) -> None:
    pulled, nothing = run(without(asked, **NOTHING)), run(usual(asked))
    assert pulled.contacts.any()
    for name in ("won", "cents", "open", "winners", "won_at"):
        assert np.array_equal(getattr(pulled, name), getattr(nothing, name)), name


@pytest.mark.parametrize("name", ["log_ratio", "lost_log_ratio", "worth", "unsubscribe"])
def test_each_effect_alone_would_be_seen(asked: Case, name: str) -> None:
    """Mutant of the last test: one of the effects is there."""
    levers = asked["levers"]
    one = NOTHING | {name: getattr(levers, name), "log_ratio": np.array([0.9, 0.5, 0.2, 0.4])}
    if name not in ("log_ratio", "unsubscribe"):
        one |= {"log_ratio": np.zeros(4)}
    pulled, nothing = run(without(asked, **one)), run(usual(asked))
    assert not np.array_equal(pulled.cents, nothing.cents) or name == "unsubscribe"
    if name == "unsubscribe":
        assert pulled.lost_to.any()


def test_a_campaign_as_usual_changes_not_a_bit(asked: Case) -> None:
    campaigns = asked["growth"]
    same_budget = {**usual(asked), "growth": campaigns._replace(budget=np.ones(3))}
    assert same(run(same_budget), run(usual(asked)))
    assert not same(run({**usual(asked), "growth": campaigns}), run(usual(asked)))


@pytest.mark.parametrize("budget", [0.4, 3.0])
def test_a_campaign_keeps_the_units_of_business_as_usual(asked: Case, budget: float) -> None:
    """More brings others beside them and less takes some away: all open units are never fewer, or
    never more, in any draw and step.
    """
    campaigns = asked["growth"]
    one = campaigns._replace(budget=np.array([budget, 1.0, 1.0]), elasticity_sd=np.zeros(3))
    more = {**usual(asked), "growth": one}
    moves = asked["parameters"].moves
    stay = np.zeros_like(moves)
    stay[:, :, range(4), :, range(4)] = 1.0
    for each in (more, asked):
        each["parameters"] = asked["parameters"]._replace(moves=stay)
    found, before = (run(each).open.sum(axis=-1) for each in (more, usual(asked)))
    difference = (found - before).astype(int)
    assert (difference >= 0).all() if budget > 1.0 else (difference <= 0).all()
    assert difference[:, :, [0, 1, 4]].any() and not difference[:, :, [2, 3]].any()


def test_arrivals_are_as_many_times_as_many_as_the_budget_says() -> None:
    steps, draws = 30, 120
    asked = every_kind(1, units=0, draws=draws, steps=steps)
    stay = np.zeros_like(asked["parameters"].moves)
    stay[:, :, range(4), :, range(4)] = 1.0
    rates = np.full((draws, steps, KINDS), 6.0)
    asked["parameters"] = asked["parameters"]._replace(moves=stay, rates=rates)
    for budget in (0.25, 4.0):
        one = growth.Growth(
            kinds=np.ones((1, KINDS), bool), groups=np.ones((1, GROUPS), bool),
            first=np.zeros(1, np.int64), last=np.full(1, steps), budget=np.array([budget]),
            elasticity=np.array([0.5]), elasticity_sd=np.zeros(1),
        )  # fmt: skip
        arrived = run({**usual(asked), "growth": one}).open[:, -1].sum(axis=(1, 2))
        expected = 6.0 * steps * KINDS * budget**0.5
        assert arrived.mean() == pytest.approx(expected, rel=0.05)
        usual_ = run(usual(asked)).open[:, -1].sum(axis=(1, 2))
        assert np.corrcoef(arrived, usual_)[0, 1] > 0.4, "they share their luck"


def test_factors_are_within_bounds() -> None:
    one = growth.Growth(
        kinds=np.ones((2, 1), bool), groups=np.ones((2, 1), bool), first=np.zeros(2, np.int64),
        last=np.ones(2, np.int64), budget=np.array([0.0, 10.0]), elasticity=np.array([0.5, 2.9]),
        elasticity_sd=np.zeros(2),
    )  # fmt: skip
    assert growth.factors(one, Chance(1, 0, 0), 1).tolist() == [[0.0, growth.MOST]]
    negative = one._replace(elasticity=np.array([-0.5, 0.0]))
    assert growth.factors(negative, Chance(1, 0, 0), 1).tolist() == [[growth.MOST, 1.0]]
    most = growth.greatest(one, np.array([[0.5, 3.0]]), 3)
    assert most[0, :, 0].tolist() == [1.5, 1.5, 1.0]


@pytest.mark.parametrize("which", range(4))
def test_a_lever_of_any_kind_on_one_segment_changes_no_draw_of_any_other(which: int) -> None:
    """Desks apart: nobody waits."""
    asked = every_kind(4, units=200)
    mine = small_funnels.SEGMENT_OF == 0
    only = np.zeros((4, GROUPS), bool)
    only[which] = mine
    levers = asked["levers"]._replace(groups=only)
    cut = asked["growth"]._replace(groups=np.tile(mine, (3, 1)))
    pulled, nothing = run({**asked, "levers": levers, "growth": cut}), run(usual(asked))
    assert not np.array_equal(pulled.open, nothing.open)
    for name in ("won", "cents", "open"):
        found, expected = (getattr(o, name)[:, :, ~mine] for o in (pulled, nothing))
        assert np.array_equal(found, expected), name


def test_what_does_not_fit_is_refused() -> None:
    asked = every_kind(0)
    asked["levers"] = asked["levers"]._replace(share=asked["levers"].share * 2.0)
    asked["growth"] = asked["growth"]._replace(budget=np.full(3, -1.0))
    with pytest.raises(ValueError, match="shares are 0 to 1; budgets are 0 or more"):
        run(asked)


def test_the_wrong_count_of_arrivals_would_be_seen(asked: Case) -> None:
    """Nothing that is drawn for business as usual changes with a campaign."""
    rows, chance = asked["parameters"], Chance(asked["span"].seed, 11, 0)
    most = np.full(rows.rates.shape, 2.0)
    extra = kernel.beside(rows.rates, rows.spread, most, chance)
    usual_ = kernel.arriving(rows.rates, rows.spread, chance)
    assert extra.sum() == pytest.approx(usual_.sum(), rel=0.3)
    assert not kernel.beside(rows.rates, rows.spread, most / 2.0, chance).any()
