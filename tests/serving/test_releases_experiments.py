"""Experiments: an honest reading at any time, and an estimate of how long it takes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from serving.releases import experiments, judge, odds
from serving.releases.evidence import Evidence
from serving.releases.judge import Action
from serving.releases.plan import Experiment, Plan, load_plan
from serving.releases.release import Release, State
from serving.releases.sighting import Matured
from tests.serving.simulated_releases import BEGAN, release, sightings

if TYPE_CHECKING:
    from numpy.random import Generator

PLAN = load_plan("experiment")
AT = BEGAN + timedelta(days=2)
ASKED = Experiment(alpha=0.05, ratio=1.25, power=0.8, most_days=120)


def _outcomes(rng: Generator, count: int, ratio: float, share: float = 0.5) -> list[Matured]:
    chance = share * ratio / (share * ratio + 1 - share)
    arms = rng.random(count) < chance
    return [
        Matured(account=f"a{n}", is_candidate=bool(arm), share=share, outcome=True)
        for n, arm in enumerate(arms)
    ]


def _running() -> Release:
    return release("experiment", step=1)


def _seen(rng: Generator, count: int, ratio: float) -> Evidence:
    found = Evidence()
    found.saw(PLAN, sightings(rng, 300, share=0.5, rates=(0.0, 0.0), per_s=0.003, step=1))
    found.matured(_outcomes(rng, count, ratio))
    found.last_at = AT
    return found


def test_the_interval_covers_at_every_time() -> None:
    """Read after each outcome; the mutant, an interval for one time, is left far more often."""
    rng = np.random.default_rng(1)
    left, naive = 0, 0
    for _ in range(60):
        found, counts = Evidence(), [0, 0]
        inside, fixed = True, True
        for each in np.array_split(np.array(_outcomes(rng, 1_000, 1.25), object), 100):
            found.matured(each.tolist())
            _, low, high = odds.interval(found.ratio.logs, 0.05)
            inside &= low <= 1.25 <= high
            counts[0] += sum(m.is_candidate for m in each)
            counts[1] += sum(not m.is_candidate for m in each)
            apart = np.log((counts[0] + 0.5) / (counts[1] + 0.5)) - np.log(1.25)
            fixed &= abs(apart) < 1.96 * np.sqrt(sum(1 / (c + 0.5) for c in counts))
        left += not inside
        naive += not fixed
    assert left <= 60 * 0.1  # 5 %, and what chance adds in 60 runs
    assert naive > 60 * 0.2


def test_it_is_read_until_it_speaks() -> None:
    """Then a person is asked; business as usual goes on where the candidate is no better."""
    rng, at = np.random.default_rng(2), AT
    few = judge.verdict(_running(), _seen(rng, 40, 1.25), at)
    assert few.action == Action.WAIT
    assert few.why.startswith("not enough evidence yet: the rate of the outcome is")
    better = judge.verdict(_running(), _seen(rng, 3_000, 1.5), at)
    assert better.action == Action.ADVANCE, better.why
    waits = _running().advanced(better.why, at)
    assert isinstance(waits, Release)
    assert (waits.state, waits.places) == (State.AWAITING, 5_000)
    done = waits.approved("yes", at)
    assert isinstance(done, Release)
    assert done.state == State.PROMOTED


def test_it_ends_where_nothing_is_found() -> None:
    """And says so; one that is worse is held sooner, by its guard."""
    rng = np.random.default_rng(3)
    late = BEGAN + timedelta(days=121)
    even = _seen(rng, 400, 1.0)
    even.last_at = late
    said = judge.verdict(_running(), even, late)
    assert said.action == Action.HOLD
    assert said.why.startswith("not enough evidence in 120 days")
    worse = judge.verdict(_running(), _seen(rng, 3_000, 0.6), AT)
    assert worse.action == Action.HOLD
    assert worse.why.startswith("outcomes come less often to the candidate's accounts")


def test_the_estimate_of_its_length_holds() -> None:
    """Of runs of that length as many speak as the power says, and a smaller effect takes longer."""
    rng = np.random.default_rng(4)
    said: Any = {"share": 0.5, "rate": 0.1, "accounts_per_day": 300.0, "horizon_days": 30.0}
    told = experiments.duration(ASKED, rng=rng, **said)
    assert told.days == pytest.approx(told.accounts / 300 + 30)
    spoke = 0
    for _ in range(100):
        found = Evidence()
        found.matured(_outcomes(rng, told.outcomes, 1.25))
        spoke += found.ratio.exceeds(ASKED.alpha)
    assert 70 <= spoke <= 90
    small = experiments.duration(ASKED.model_copy(update={"ratio": 1.15}), rng=rng, **said)
    assert small.outcomes > 2 * told.outcomes
    assert small.power < told.power


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"experiment": None}, "must have experiment"),
        ({"kind": "canary"}, "must have experiment"),
        ({"steps": [{"weight": 100}]}, "must end with a share"),
    ],
)
def test_a_plan_that_is_none_is_refused(changes: dict[str, Any], why: str) -> None:
    """An experiment compares, so it ends with a share."""
    with pytest.raises(ValidationError, match=why):
        Plan.model_validate(PLAN.model_dump() | changes)
