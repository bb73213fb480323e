"""Exploration: a share of the accounts by lot, with its propensity, and never against a rule."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from cluster.errors import WrongUse
from cluster.settings import validated
from serving import explored
from serving.decide import Case
from serving.policy import Policy, Verdict, apply_all, load_policy
from serving.releases import assignment, exploring
from serving.slots import document

AT = datetime(2026, 5, 4, tzinfo=UTC)
ROUTES = ("call", "mail", "wait")
DECLARED: dict[str, Any] = {
    "name": "test",
    "version": 1,
    "rules": [
        {
            "name": "consent",
            "when": {"feature": "consent", "op": "equals", "value": "withdrawn"},
            "route": "wait",
            "reason": "asked not to be contacted",
        }
    ],
    "routes": [
        {"route": "partner", "at_least": 0.9, "reason": "best"},
        {"route": "call", "at_least": 0.5, "reason": "hot"},
        {"route": "mail", "at_least": 0.1, "reason": "warm"},
        {"route": "wait", "at_least": 0, "reason": "cold"},
    ],
    "review": {"route": "human", "interval_wider_than": 0.6, "reason": "unsure"},
    "explore": {"share": 0.05, "routes": ROUTES, "salt": "s"},
}
POLICY = Policy.model_validate(DECLARED)
PLAIN = POLICY.model_copy(update={"explore": None})
GIVEN = {"consent": "given"}


def _case(number: int, features: dict[str, Any] = GIVEN, at: datetime = AT) -> Case:
    account = f"account-{number:06d}"
    return Case(entity=f"lead-{number}", account=account, time=at, features=features)


def _made(
    cases: list[Case], probability: float = 0.6, width: float = 0.1, policy: Policy = POLICY
) -> list[Verdict]:
    chance = np.full(len(cases), probability)
    chances = chance, chance - width / 2, chance + width / 2
    verdicts = apply_all(policy, *chances, [each.features for each in cases])
    return explored.drawn(policy, verdicts, cases, chances)


def _told(verdict: Verdict) -> exploring.Explored:
    assert verdict.exploration is not None
    return verdict.exploration


def test_each_route_comes_as_often_as_its_propensity_says() -> None:
    """Over 40,000 accounts, by the chi-squared test; the shares of all routes add up to one."""
    made = _made([_case(n) for n in range(40_000)])
    said = {each.route: _told(each).propensity for each in made}
    assert said == pytest.approx({"call": 0.95 + 0.05 / 3, "mail": 0.05 / 3, "wait": 0.05 / 3})
    found = Counter(each.route for each in made)
    off = sum((found[r] - 40_000 * p) ** 2 / (40_000 * p) for r, p in said.items())
    assert chi2.sf(off, df=2) > 0.001
    by_lot = Counter(each.route for each in made if _told(each).explored)
    third = by_lot.total() / 3
    assert chi2.sf(sum((by_lot[r] - third) ** 2 / third for r in ROUTES), df=2) > 0.001


def test_weights_by_propensity_give_what_all_routes_alike_would() -> None:
    """The mean outcome of a route, though the policy gives it to few; without weights it is off."""
    cases = [_case(n) for n in range(40_000)]
    chance = np.where(np.arange(40_000) % 2, 0.6, 0.2)  # call half of them, mail the others
    chances = chance, chance - 0.05, chance + 0.05
    verdicts = apply_all(POLICY, *chances, [each.features for each in cases])
    made = explored.drawn(POLICY, verdicts, cases, chances)
    mailed = np.array([each.route == "mail" for each in made])
    weight = exploring.weights(np.array([_told(each).propensity for each in made]), heaviest=np.inf)
    assert np.average(chance[mailed], weights=weight[mailed]) == pytest.approx(0.4, abs=0.02)
    assert abs(chance[mailed].mean() - 0.4) > 0.15


@pytest.mark.parametrize(
    ("features", "probability", "width", "why"),
    [
        ({"consent": "withdrawn"}, 0.6, 0.1, explored.RULE),
        ({"consent": None}, 0.6, 0.1, explored.UNASKED),
        (GIVEN, 0.6, 0.7, explored.REVIEW),
        (GIVEN, 0.95, 0.1, "partner is not among its routes"),
    ],
)
def test_what_must_stand_is_never_drawn(
    features: dict[str, Any], probability: float, width: float, why: str
) -> None:
    """Its propensity is 1, whatever the account's place; without the check some would be drawn."""
    cases = [_case(n, features) for n in range(500)]
    made = _made(cases, probability, width)
    plain = _made(cases, probability, width, PLAIN)
    assert [each.route for each in made] == [each.route for each in plain]
    assert {(_told(each).explored, _told(each).propensity) for each in made} == {(False, 1.0)}
    assert all(each.trace[-1] == f"exploration: nothing is drawn, {why}: False" for each in made)
    drawn = [_told(each).explored for each in _made([_case(n) for n in range(500)])]
    assert any(drawn)


def test_no_draw_without_a_model() -> None:
    """The fallback decides for all; a policy that explores nothing says nothing of it."""
    verdict = Verdict(route="human", confidence="low", reason="", trace=())
    assert explored.fallen_back(PLAIN, verdict) is verdict
    assert _told(explored.fallen_back(POLICY, verdict)) == exploring.untouched("human")


def test_a_draw_holds_for_its_period_and_for_every_version() -> None:
    """Of every lead of an account; the next period, another name and another salt draw anew."""
    cases = [_case(n) for n in range(2_000)]
    routes = [each.route for each in _made(cases)]
    later = [_case(n, at=AT.replace(month=6, day=30, hour=23)) for n in range(2_000)]
    assert [each.route for each in _made(later)] == routes
    second = POLICY.model_copy(update={"version": 2})
    assert [each.route for each in _made(cases, policy=second)] == routes
    next_one = [_case(n, at=AT.replace(month=7, day=1)) for n in range(2_000)]
    assert [each.route for each in _made(next_one)] != routes
    salted = POLICY.explore.model_copy(update={"salt": "t"})  # type: ignore[union-attr]
    for other in ({"name": "other"}, {"explore": salted}):
        assert [v.route for v in _made(cases, policy=POLICY.model_copy(update=other))] != routes


def test_the_trace_says_what_was_drawn() -> None:
    """The place, the bound, and what the lot fell on; the reason names the policy's own route."""
    made = next(each for each in _made([_case(n) for n in range(500)]) if each.route == "mail")
    assert made.trace[-2] == "call: 0.6000 >= 0.5: True"
    assert made.trace[-1].startswith("exploration 2026-quarter-2: place ")
    assert made.trace[-1].endswith("< 500: True; mail: by lot among call, mail, wait: True")
    assert made.reason == "by lot, to learn from it; the policy's own route is call"
    still = next(v for v in _made([_case(n) for n in range(500)]) if not _told(v).explored)
    assert still.trace[-1].endswith("< 500: False")


def test_places_do_not_depend_on_the_process() -> None:
    """They are those of assignment, under a name that any process can spell."""
    name = "explore/test/2026-quarter-2"
    for number, each in enumerate(_made([_case(n) for n in range(300)])):
        place = assignment.place("s", name, f"account-{number:06d}")
        assert _told(each).explored == (place < 500)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"share": 0.2}, "less than or equal to 0.05"),
        ({"share": 0.005}, "greater than or equal to 0.01"),
        ({"share": 0.012345}, "whole ten thousandths"),
        ({"routes": ["call"]}, "at least 2"),
        ({"routes": ["call", "call"]}, "named once"),
        ({"routes": ["call", "human"]}, "must have a threshold, got 'human'"),
        ({"salt": "A b"}, "pattern"),
        ({"period": "week"}, "month"),
    ],
)
def test_a_policy_that_explores_wrongly_is_refused(changed: dict[str, Any], told: str) -> None:
    """With what it breaks."""
    declared = {**DECLARED, "explore": {**DECLARED["explore"], **changed}}
    with pytest.raises(WrongUse, match=told):
        validated(Policy, declared, where="p.yaml")


def test_policies_of_old_keep_their_ids() -> None:
    """What explores nothing does not say so; what does comes back from its blob."""
    assert load_policy("lead_routing").id == "lead_routing@1-963f048ff883"
    assert "explore" not in PLAIN.document
    assert PLAIN.id != POLICY.id
    assert document.parse(document.canonical.dumps(POLICY.document)) == POLICY


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.5])
def test_a_weight_needs_a_chance(wrong: float) -> None:
    """Unknown is 1; what few say is bounded."""
    assert exploring.weights(np.array([np.nan, 1.0, 0.5, 1e-6])).tolist() == [1, 1, 2, 10]
    with pytest.raises(ValueError, match="above 0 and be 1 at most"):
        exploring.weights(np.array([wrong]))
