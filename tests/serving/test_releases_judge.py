"""The judge: undoes what is worse, goes on with what is well, and holds when it does not know."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from serving.releases import judge
from serving.releases.evidence import Evidence
from serving.releases.judge import Action
from serving.releases.plan import Guard
from serving.releases.sighting import Sighting
from tests.serving.simulated_releases import (
    BEGAN,
    leads,
    matured,
    overrides,
    release,
    sightings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.releases.release import Release
    from serving.releases.sighting import Overridden

AT_FIVE = release(step=2)
LATER = BEGAN + timedelta(hours=2)


def _judged(of: Release, seen: list[Sighting], after: timedelta) -> judge.Verdict:
    found = Evidence()
    found.saw(of.plan, seen)
    return judge.verdict(of, found, BEGAN + after)


def _decided_s(rates: tuple[float, float], seed: int) -> float | None:
    """Return after how many seconds a canary at 5 % is undone, looking once a second."""
    seen = sightings(np.random.default_rng(seed), 12_000, share=0.05, rates=rates, step=2)
    found = Evidence()
    for second in range(60):
        found.saw(AT_FIVE.plan, seen[second * 200 : second * 200 + 200])
        now = BEGAN + timedelta(seconds=second + 1)
        if judge.verdict(AT_FIVE, found, now).action == Action.ROLLBACK:
            return second + 1.0
    return None


def test_a_bad_canary_is_undone_in_seconds() -> None:
    """Ten times the errors, 200 requests a second, 5 % of the accounts."""
    found = [_decided_s((0.01, 0.10), seed) for seed in range(6)]
    assert None not in found
    assert float(np.percentile([each or 60 for each in found], 95)) <= 20


def test_an_equal_one_is_not() -> None:
    """With one account that makes a third of the errors; counted each time it would be undone."""
    assert [_decided_s((0.01, 0.01), seed) for seed in range(3)] == [None] * 3
    loud = sightings(
        np.random.default_rng(1), 12_000, share=0.05, rates=(0.01, 0.01), loud=0.3, step=2
    )
    assert _judged(AT_FIVE, loud, timedelta(minutes=1)).action == Action.WAIT


def test_a_step_is_over_when_all_it_asks_is_there() -> None:
    """Time and accounts; until then it says what is missing."""
    rng = np.random.default_rng(2)
    seen = sightings(rng, 12_000, share=0.05, rates=(0.01, 0.01), per_s=2.0, step=2)
    early = _judged(AT_FIVE, seen[:6_000], timedelta(minutes=50))
    assert (early.action, early.why) == (Action.WAIT, "the step lasts 10.0 minutes more")
    few = _judged(AT_FIVE, seen[-400:], timedelta(minutes=100))
    assert few.action == Action.WAIT
    assert few.why.endswith("of 100 accounts met the candidate")
    enough = _judged(AT_FIVE, seen, timedelta(minutes=100))
    assert (enough.action, enough.why) == (Action.ADVANCE, "step 3 is passed")


def _copy(at: datetime) -> tuple[Sighting, Sighting]:
    """Return a decision, and what the candidate made of it unseen."""
    one = Sighting(account="a", is_candidate=False, share=0.0, step=0, at=at, chance=0.2)
    return one, replace(one, is_candidate=True)


def test_pairs_must_have_matured() -> None:
    """The first step asks for 200 outcomes."""
    first, found = release(), Evidence()
    found.mirrored(first.plan, [_copy(LATER)])
    assert judge.verdict(first, found, LATER).why == "0 of 200 pairs of scores have an outcome"
    told = zip(*leads(np.random.default_rng(3), 200, noise=0.1), strict=True)
    found.paired(first.plan, matured(told))
    assert judge.verdict(first, found, LATER).action == Action.ADVANCE


@pytest.mark.parametrize("seen", [0, 50], ids=["never any", "none any more"])
def test_without_data_it_holds(seen: int) -> None:
    """Nothing of the candidate for a quarter of an hour is no reason to go on."""
    told = sightings(np.random.default_rng(4), 50, share=1.0, rates=(0.0, 0.0), step=2)[:seen]
    found = _judged(AT_FIVE, told, timedelta(hours=3))
    assert found.action == Action.HOLD
    assert found.why.startswith("no decision of the candidate since 2026-03-01 00:00:0")
    assert judge.unknown("the database is away").action == Action.HOLD


def test_a_model_that_predicts_worse_is_undone() -> None:
    """By pairs, with not one account in its hands."""
    first, found = release(), Evidence()
    told = zip(*leads(np.random.default_rng(5), 8_000, noise=0.7), strict=True)
    found.paired(first.plan, matured(told))
    said = judge.verdict(first, found, BEGAN)
    assert said.action == Action.ROLLBACK
    assert said.why.startswith("the candidate predicts worse than what answers (8,000 events")


def test_an_alarm_may_ask_for_a_person() -> None:
    """Scores that lie otherwise hold; who has heard it may go on all the same."""
    found = Evidence()
    low, high = [0] * 50, [0] * 50
    low[3], high[20] = 5_000, 5_000
    found.scores = {2: {"stable": low, "candidate": high}}
    found.last_at = LATER
    said = judge.verdict(AT_FIVE, found, LATER)
    assert (said.action, said.why.split(",")[0]) == (Action.HOLD, _shifted(found))
    held = AT_FIVE.held(said.why)
    waived = held.resumed("it is meant to", LATER, waived=("shift",))  # type: ignore[union-attr]
    assert judge.verdict(waived, found, LATER).action == Action.WAIT  # type: ignore[arg-type]


def _shifted(found: Evidence) -> str:
    told = next(f for f in judge.verdict(AT_FIVE, found, LATER).findings if f.guard == "shift")
    return f"scores are at least {told.strength:.3f} apart"


def test_it_says_what_each_guard_rests_on() -> None:
    """Every guard has a finding, and none is an alarm at the beginning."""
    findings = judge.verdict(AT_FIVE, Evidence(), BEGAN).findings
    named = {each.guard.removesuffix(" (ceiling)") for each in findings}
    assert named == set(type(AT_FIVE.plan.guards).model_fields)
    assert not any(each.is_alarm for each in findings)


def test_it_says_how_many_outcomes_it_would_need() -> None:
    """More at a small share than at half; none once it has spoken."""
    few, many = (judge.more_outcomes(AT_FIVE.plan, Evidence(), share) for share in (0.5, 0.05))
    assert few is not None and many is not None
    assert 200 < few < many
    assert judge.more_outcomes(AT_FIVE.plan, Evidence(), 1.0) is None


def test_the_shipped_plans_do_not_hold_while_all_goes_well() -> None:
    """The first step has no account of the candidate's; what is mirrored is a sign of life."""
    for name in ("canary", "blue_green"):
        first, found = release(name), Evidence()
        for minute in range(0, 31, 5):
            found.mirrored(first.plan, [_copy(BEGAN + timedelta(minutes=minute))])
        said = judge.verdict(first, found, BEGAN + timedelta(minutes=31))
        assert said.action in (Action.WAIT, Action.ADVANCE), said.why


def test_a_waived_guard_is_waived_with_its_ceiling() -> None:
    """A person hears of errors once."""
    seen = sightings(np.random.default_rng(6), 400, share=1.0, rates=(0.0, 0.9), step=5)
    found, last = Evidence(), release(step=5)
    found.saw(last.plan, seen)
    assert judge.verdict(last, found, BEGAN).action == Action.ROLLBACK
    waived = last.model_copy(update={"waived": ("errors",)})
    assert judge.verdict(waived, found, BEGAN).action == Action.WAIT


def _overridden(of: Release, said: Sequence[Overridden]) -> judge.Verdict:
    found = Evidence()
    found.overridden(said)
    return judge.verdict(of, found, BEGAN)


def test_who_is_overridden_more_often_is_held() -> None:
    """Five times as often, at 5 % of the accounts, within 300 overrides: each of twenty. It is not
    undone: a person looks.
    """
    for seed in range(20):
        rng = np.random.default_rng([7, seed])
        found = _overridden(AT_FIVE, overrides(rng, 300, share=0.05, ratio=5.0))
        assert found.action == Action.HOLD
        assert found.why.startswith("overrides more often in the candidate (300 events")


def test_who_is_overridden_as_often_is_seldom_held() -> None:
    """In at most alpha of 200 releases, however often one looks: what is held stays held."""
    alpha, plan = 0.05, AT_FIVE.plan
    guards = plan.guards.model_copy(update={"overrides": Guard(alpha=alpha, then="hold")})
    of = AT_FIVE.model_copy(update={"plan": plan.model_copy(update={"guards": guards})})
    rngs = [np.random.default_rng([8, seed]) for seed in range(200)]
    ended = [_overridden(of, overrides(rng, 400, share=0.05, ratio=1.0)).action for rng in rngs]
    assert ended.count(Action.HOLD) <= 200 * alpha
    assert set(ended) <= {Action.HOLD, Action.WAIT}


def test_an_override_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Persons look at decisions long after: a candidate that is silent is held all the same, and no
    step is passed by it. The mutant counts overrides as decisions.
    """
    late, said = (
        BEGAN + timedelta(minutes=16),
        overrides(np.random.default_rng(9), 40, share=0.05, ratio=1.0),
    )

    def judged() -> judge.Verdict:
        found = Evidence()
        found.overridden(said)
        return judge.verdict(AT_FIVE, found, late)

    assert (judged().action, judged().why[:28]) == (Action.HOLD, "no decision of the candidate")

    def as_decisions(self: Evidence, seen: Sequence[Overridden]) -> None:
        of = {"step": 2, "at": late, "chance": None, "bad": frozenset({"overrides"})}
        each = [(one.account, one.is_candidate, one.share) for one in seen]
        told = [Sighting(account=a, is_candidate=c, share=s, **of) for a, c, s in each]  # type: ignore[arg-type]
        self.saw(AT_FIVE.plan, told)

    monkeypatch.setattr(Evidence, "overridden", as_decisions)
    assert (judged().action, "of 100 accounts met" in judged().why) == (Action.WAIT, True)
