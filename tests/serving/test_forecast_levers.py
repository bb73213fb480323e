"""Levers of a scenario as arrays: prices, systems, campaigns, reps, queues, routes; what they cost;
and how arrivals answer to a budget, against what was planted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.errors import Refusal, WrongUse
from serving.forecast import campaigning, costs, hours, rates, reaching, response, routing, seasons
from serving.forecast.desks import DISCIPLINES
from serving.forecast.evidence import Grade, Response
from serving.forecast.history import NOTHING, Past
from serving.forecast.kinds import Routed
from serving.forecast.payoff import Way
from serving.forecast.routing import Sent
from serving.forecast.strata import Scored, Strata
from serving.policy import load_policy
from tests.serving import small_funnels
from tests.serving.small_funnels import case
from tests.serving.test_forecast_scenario import (
    DESK,
    EFFECT,
    LEVER,
    MONDAY,
    NAMES,
    parsed,
    pulled,
)

if TYPE_CHECKING:
    from serving.forecast.given import Outcome

PRICE = {"kind": "price", "stages": ["proposal"], "discount": 0.1, "effect": EFFECT}
SYSTEM = LEVER | {"by": "system", "stalled_steps": 3}
CAMPAIGN = {
    "kind": "campaign",
    "budget": 2.0,
    "response": {"elasticity": 0.5, "sd": 0.1, "grade": "assumption", "lag_steps": 2},
    "spend_per_step_cents": 1_000,
}
REPS = {"kind": "reps", "desk": "inside", "more": 2, "cost_per_rep_step_cents": 500}


def arrays(*levers: dict[str, Any], **changes: Any) -> Any:
    """Return levers as the kernel takes them."""
    asked = parsed(levers=list(levers), **changes)
    return reaching.pulled(asked, NAMES, [NOTHING] * len(reaching.reached(asked)))


def test_a_price_is_offered_once_to_all_without_hands() -> None:
    found = arrays(LEVER, PRICE, SYSTEM)
    assert found.at_once.tolist() == [False, True, True]
    assert found.once.tolist() == [False, True, False]
    assert found.rate.tolist() == [0.2, 1.0, 0.2]
    assert found.worth == pytest.approx([1.0, 0.9, 1.0])
    assert found.tires.tolist() == [1.0, 0.0, 1.0]
    assert found.stalled.tolist() == [0, 0, 3]


def test_an_effect_may_be_on_being_lost() -> None:
    found = arrays(LEVER | {"effect": EFFECT | {"lost_ratio": 0.5, "lost_sd": 0.2}})
    assert found.lost_log_ratio == pytest.approx([np.log(0.5)])
    assert found.lost_log_ratio_sd.tolist() == [0.2]


def test_more_is_of_what_history_had() -> None:
    lever = {**LEVER, "rate": None, "more": 0.2}
    asked = parsed(levers=[lever])
    found = reaching.pulled(asked, NAMES, [Past(0.1, 0.3, "activities")])
    assert found.rate == pytest.approx([0.06]) and found.contacted.tolist() == [0.1]
    assert reaching.rate(asked.levers[0], Past(0.0, 9.0)) == 1.0


def test_reps_join_for_some_steps() -> None:
    joined = parsed(levers=[REPS | {"first_step": 1, "last_step": 1}], horizon=4)
    assert capacity(joined) == [40, 80, 40, 40]
    assert capacity(parsed(levers=[REPS | {"more": -2}], horizon=2)) == [0, 0]
    assert capacity(parsed(levers=[], horizon=2)) == [40, 40]


def capacity(asked: Any) -> list[int]:
    """Return the contacts of the first desk."""
    made = pulled.desks(asked, NAMES, MONDAY, days_per_step=7).capacity
    return [int(each) for each in made[0]]


def test_the_last_queue_that_is_named_counts() -> None:
    other = {"kind": "queue", "desk": "inside", "queue": "freshest"}
    found = pulled.desks(parsed(levers=[other]), NAMES, MONDAY, days_per_step=7)
    assert [DISCIPLINES[each] for each in found.discipline] == ["freshest"]


def test_a_campaign_brings_what_it_names_when_it_has_had_its_effect() -> None:
    one = CAMPAIGN | {"stages": ["lead"], "segments": ["north"], "first_step": 1, "last_step": 3}
    found = campaigning.grown(parsed(levers=[one, CAMPAIGN], horizon=9), NAMES, (0, 1))
    assert not isinstance(found, Refusal)
    assert found.kinds.tolist() == [[True, False], [True, True]]
    assert found.groups.tolist() == [[True, True, False], [True] * 3]
    assert found.first.tolist() == [3, 2] and found.last.tolist() == [5, 10]
    assert (found.budget.tolist(), found.elasticity.tolist()) == ([2.0] * 2, [0.5] * 2)
    none = campaigning.grown(parsed(levers=[]), NAMES, (0,))
    assert not isinstance(none, Refusal) and none.kinds.shape == (0, 1)


def test_what_the_log_says_of_a_campaign_is_asked_where_it_is_not_stated() -> None:
    stated, unsaid = parsed(levers=[CAMPAIGN, CAMPAIGN | {"spend_per_step_cents": None}]).levers
    assert [campaigning.asks_the_log(each) for each in (stated, unsaid)] == [False, True]  # type: ignore[arg-type]
    nothing: Any = None
    assert campaigning.spent(nothing, nothing, stated) == 1_000  # type: ignore[arg-type]
    assert campaigning.answered(nothing, nothing, stated) == stated.response  # type: ignore[arg-type, union-attr]


def test_a_campaign_where_nothing_begins_is_refused() -> None:
    wrong = parsed(levers=[CAMPAIGN | {"stages": ["proposal"]}])
    refusal = campaigning.grown(wrong, NAMES, (0, 1))
    assert isinstance(refusal, Refusal) and refusal.remedy == "valid are: lead, discovery"


def test_costs_are_of_contacts_reps_and_campaigns() -> None:
    levers = [LEVER, PRICE, REPS | {"first_step": 2}, CAMPAIGN | {"last_step": 0}]
    found = costs.costs(parsed(levers=levers, horizon=4))
    assert found.per_contact.tolist() == [100, 0]
    assert found.by_step.tolist() == [1_000, 0, 1_000, 1_000]
    outcome = blank(draws=1, steps=4)
    outcome.contacts[0, 1, 0] = [3, 7]
    assert costs.spent(outcome, found).tolist() == [[1_000, 300, 1_000, 1_000]]
    saves = costs.costs(parsed(levers=[CAMPAIGN | {"budget": 0.5}], horizon=2))
    assert saves.by_step.tolist() == [-500, -500]


def test_reps_who_are_not_there_save_nothing() -> None:
    """More away than there are leaves none, but each would save what a rep costs."""
    three = DESK | {"reps": 3}
    leave = REPS | {"more": -2, "last_step": 4}
    kept = parsed(levers=[leave, leave | {"first_step": 5, "last_step": 9}], desks=[three])
    assert costs.costs(kept).by_step[:10].tolist() == [-1_000] * 10
    for several in ([leave | {"more": -4}], [leave, leave | {"first_step": 4}]):
        with pytest.raises(WrongUse, match="a desk must have the reps that leave it, got -4 at"):
            parsed(levers=several, desks=[three])


def blank(draws: int, steps: int) -> Outcome:
    """Return an outcome of one desk and two levers in which nothing happened."""
    found = small_funnels.run(case(0, units=0, draws=draws, steps=steps))
    contacts = np.zeros((draws, steps, 1, 2), np.int64)
    zeros = {name: np.zeros_like(getattr(found, name)) for name in ("won", "cents")}
    return found._replace(contacts=contacts, **zeros)


def test_an_hour_is_priced_by_what_more_of_them_brought() -> None:
    before, after = blank(2, 3), blank(2, 3)
    after.cents[:, 1, 0, 0] = [60_000, 0]
    after.contacts[:, 0, 0, 0] = 4
    asked = parsed(levers=[LEVER], horizon=3)
    known = costs.costs(asked)._replace(per_contact=np.array([100, 0]))
    desks = pulled.desks(asked, NAMES, MONDAY, days_per_step=7)
    arms = Way(before, known), Way(after, known)
    found = hours.price("inside", 0, desks, arms, np.array([30.0, 0.0]))
    assert found.more_hours == 3 * 4 / 2, "a tenth of 40 contacts of half an hour, three times"
    assert found.value_cents.mean == pytest.approx((30_000 - 400) / 6.0)
    assert (hours.longer(desks, 0).capacity - desks.capacity).tolist() == [[4, 4, 4]]
    small = desks._replace(capacity=np.array([[0, 3, 30]]))
    assert (hours.longer(small, 0).capacity - small.capacity).tolist() == [[0, 1, 3]]


# routes


TARGET = "lead_qualification"


def sent(asked: Routed) -> Sent:
    """Return whom the policy of leads sends."""
    changed = routing.changed(load_policy("lead_routing"), asked)
    assert not isinstance(changed, Refusal)
    return Sent(changed, asked.routes, TARGET)


def scored(scores: list[float], strata: list[int]) -> tuple[Strata, tuple[Scored, ...]]:
    """Return scores with the stratum of each."""
    names = [f"lead {n}" for n in range(len(scores))]
    rows = pa.table({"entity": names, "score": scores})
    versions: Any = object()
    names = ("", TARGET, TARGET)
    cut = Strata(count=3, of_score=np.array(strata), versions=versions, names=names)
    return cut, (Scored(TARGET, "lead", rows),)


def routed(**changes: Any) -> Routed:
    """Return a request for the two best routes."""
    routes = ("account_executive", "sales_development")
    return Routed(**({"policy": "lead_routing", "routes": routes} | changes))


def test_a_route_takes_the_share_of_each_band_that_the_policy_sends() -> None:
    asked = scored([0.05, 0.3, 0.3, 0.6, 0.9, 0.1], [1, 1, 2, 2, 2, 1])
    found = routing.shares(*asked, sent(routed()))
    assert isinstance(found, np.ndarray) and found == pytest.approx([0.0, 1 / 3, 1.0])
    stricter = routed(at_least={"sales_development": 0.5})
    found = routing.shares(*asked, sent(stricter))
    assert isinstance(found, np.ndarray) and found == pytest.approx([0.0, 0.0, 2 / 3])


def test_what_a_policy_does_not_have_is_one_line() -> None:
    policy = load_policy("lead_routing")
    wrong = routing.changed(policy, routed(routes=("account_exec",)))
    assert isinstance(wrong, Refusal) and "account_executive" in wrong.remedy
    rising = routing.changed(policy, routed(at_least={"nurture": 0.3}))
    assert isinstance(rising, Refusal) and "fall from route to route" in rising.rule
    none = Strata(count=1, of_score=np.empty(0, np.int64), versions=None)
    assert isinstance(routing.shares(none, (), sent(routed())), Refusal)


def test_a_policy_of_leads_routes_no_deals() -> None:
    """Their scores are those of another target, and mean another chance."""
    cut, given = scored([0.9, 0.9], [1, 2])
    both = dataclasses.replace(cut, names=("", TARGET, "opportunity_win"))
    found = routing.shares(both, given, sent(routed()))
    assert isinstance(found, np.ndarray) and found.tolist() == [0.0, 1.0, 0.0]
    mutant = routing.shares(cut, given, sent(routed()))  # strata that do not say whose they are
    assert isinstance(mutant, np.ndarray) and mutant.tolist() == [0.0, 1.0, 1.0]


def test_a_share_is_of_the_rate() -> None:
    asked = parsed(levers=[LEVER])
    found = reaching.pulled(asked, NAMES, [NOTHING], [np.array([0.0, 0.1, 0.5, 1.0])])
    assert found.share[0, :, 0].tolist() == [0.0, 0.1, 0.5, 1.0]


# how arrivals answer to a budget


@dataclass
class Told:
    """As much of a course as is asked for."""

    funnel: Any


def spending(
    seed: int, elasticity: float, sd: float, steps: int = 150, growth: float = 0.0
) -> tuple[Any, Any, Any]:
    """Return course, rows and spend in which arrivals answer to the spend of the step before; both
    grow in a step by as much as told.
    """
    rng = np.random.default_rng(seed)
    trend = np.exp(growth * np.arange(steps))
    own = np.exp(rng.normal(9.0, sd, steps))
    counts = rng.poisson(40.0 * (np.r_[own[:1], own[:-1]] / np.exp(9.0)) ** elasticity * trend)
    spend = own * trend
    step = np.repeat(np.arange(steps), counts)
    week = 7 * 86_400_000_000

    class Rows:
        bounds = week * np.arange(steps + 1)
        is_first = np.ones(step.size, bool)
        stage = np.zeros(step.size, np.int64)

    Rows.step = step  # type: ignore[attr-defined]

    class Asked:
        name, lag_steps, measure = "spend", 1, "sum"

    class Funnel:
        inputs, step_days, begins = (Asked,), 7, (0,)

    Funnel.step = week  # type: ignore[attr-defined]
    return Told(Funnel), Rows, spend


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what answers for a planted elasticity."""

    def answer(seed: int, elasticity: float, sd: float, growth: float = 0.0) -> Any:
        course, rows, spend = spending(seed, elasticity, sd, growth=growth)
        monkeypatch.setattr(seasons, "measured", lambda *_: spend)
        return response.answered(course, rows, frozenset())

    return answer


def test_the_answer_of_arrivals_is_that_which_was_planted(given: Any) -> None:
    found = [given(seed, 0.6, 0.4) for seed in range(8)]
    errors = [(each.response.elasticity - 0.6) / each.response.sd for each in found]
    assert np.abs(errors).max() < 3.0 and abs(np.mean(errors)) < 1.5
    assert all(each.response.grade is Grade.OBSERVATIONAL for each in found)
    assert {each.response.lag_steps for each in found} == {1}
    nothing = given(1, 0.0, 0.4).response
    assert abs(nothing.elasticity) < 3.0 * nothing.sd < 0.3


def test_what_only_grows_with_the_budget_is_no_answer(
    given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant takes the growth of both for an answer."""
    for seed in range(3):
        found = given(seed, 0.0, 0.2, growth=0.01).response
        assert abs(found.elasticity) < 3.0 * found.sd < 0.3
    monkeypatch.setattr(seasons, "growth", lambda steps: np.zeros((steps, 1)))
    mutant = given(1, 0.0, 0.2, growth=0.01).response
    assert mutant.elasticity > 3.0 * mutant.sd


def test_an_input_that_hardly_varied_says_nothing(given: Any) -> None:
    refusal = given(1, 0.6, 0.01)
    assert isinstance(refusal, Refusal) and refusal.value == "spend hardly varied"
    assert "vary the budget by lot" in refusal.remedy


def test_too_few_arrivals_say_nothing_rather_than_that_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    course, rows, spend = spending(1, 0.6, 0.4)
    monkeypatch.setattr(seasons, "measured", lambda *_: spend)
    rows.is_first = np.arange(rows.is_first.size) < rates.LEAST_ARRIVALS - 1
    refusal = response.answered(course, rows, frozenset())
    assert isinstance(refusal, Refusal) and refusal.value == "fewer than 10 arrivals"


def test_a_budget_outside_those_seen_is_refused(given: Any) -> None:
    found = given(2, 0.5, 0.4)
    low, high = found.budgets
    assert response.within(found, 1.0) is found and low < 1.0 < high
    for budget in (low * 0.9, high * 1.1):
        refusal = response.within(found, budget)
        assert isinstance(refusal, Refusal) and "within those seen" in refusal.rule


def test_a_response_may_be_stated() -> None:
    stated = parsed(levers=[CAMPAIGN]).levers[0]
    assert isinstance(stated.response, Response)  # type: ignore[union-attr]
    assert parsed(levers=[CAMPAIGN]).grade() is Grade.ASSUMPTION
    assert not parsed(levers=[REPS], desks=[DESK]).needs_estimate()
