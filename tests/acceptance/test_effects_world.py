"""Effects in a company whose truth is known: the ladder of docs/effects.md, step by step. The
truth of a lot is its chance to qualify within six weeks in either arm.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from cluster.settings import validated
from features import compute, log
from features.plan import Plan
from features.sources.world import WorldConfig, generate
from serving.effects import encoded, learner, nuisances, rows, scores
from serving.effects.definition import Definition, load_definition
from serving.effects.learner import Learnt, Refused
from serving.forecast import units
from serving.forecast.evidence import Grade
from serving.forecast.funnels import load_funnel
from tests.drills import mostly

if TYPE_CHECKING:
    from serving.effects.rows import Rows

RUN = nuisances.inline(2)
DAYS = 42
KINDS = ("opportunity", "stage", "outcome", "lead", "intervention", "attribute", "touch", "usage")
SENIOR = ("seniority", "emails", "pricing", "web", "content", "account_", "hours", "ad_", "origin")


class World(NamedTuple):
    """What is to be learnt, from what, and what is true on average."""

    asked: Definition
    rows: Rows
    control: float
    treated: float

    @property
    def truth(self) -> float:
        """The difference of the risks."""
        return self.treated - self.control


@cache
def world(seed: int, effect: float, scale: float = 0.5) -> World:
    """Return the rows of a company where outreach changes the weekly hazard so many times."""
    config = WorldConfig(seed=seed, weeks=60, scale=scale, effect=effect, faults=0.0, late=0.0)
    told = generate(config)
    wanted = np.isin(told.events["kind"].to_numpy(zero_copy_only=False), KINDS)
    events = log.identified(told.events.filter(wanted))
    asked = definition()
    at = log.microseconds(events["known_at"]).max()
    moment = _moment(int(at))
    found = rows.rows(asked, events, moment, units.read(events, load_funnel("sales"), moment))
    plan = Plan(target=asked.target, purpose="given", as_of=moment, snapshot=0, asked=found.asked)
    given = encoded.encoded(found, plan.rows_of(events.select(compute.COLUMNS)), ())
    truth = told.truth["interventions"].set_index("lead").loc[list(given.entity)]
    return World(
        asked, given, float(truth["risk_control"].mean()), float(truth["risk_treated"].mean())
    )


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)


def definition(**more: Any) -> Definition:
    """Return the definition that ships, for six weeks and without what costs time."""
    given = load_definition("outreach").model_dump(
        mode="json", exclude={"outcomes", "segments", "funnel"}
    )
    change = {"horizons_days": [DAYS], "lasts_days": DAYS, "bands": 1, "funnel": "sales", **more}
    return validated(Definition, {**given, **change}, where="test")


def learnt(of: World, asked: Definition | None = None) -> Learnt | Refused:
    """Return what is learnt."""
    return learner.learn(asked or of.asked, of.rows, of.rows, RUN)


def risk(found: Learnt) -> scores.Average:
    """Return the difference of the risks to go forward."""
    (told,) = [f for f in found.figures if (f.outcome, f.measure) == ("forward", "happens")]
    return scores.Average(value=told.effect, sd=told.sd, n=told.n)


def hidden(of: World) -> World:
    """Return the world as if nobody had logged the chances."""
    return of._replace(rows=replace(of.rows, chance=np.full(of.rows.chance.shape, np.nan)))


@pytest.mark.parametrize(("effect", "runs"), mostly([(1.8, 3), (1.0, 60), (1.8, 60)]))
def test_intervals_hold_the_truth_as_often_as_they_say(effect: float, runs: int) -> None:
    """The null world, and the planted one: 90 % intervals of the difference of risks, and in the
    null world of the ratio of rates too.
    """
    off, held, refused = [], [], 0
    for seed in range(runs):
        of = world(seed, effect)
        found = learnt(of)
        if isinstance(found, Refused):
            refused += 1
            continue
        assert found.basis.grade is Grade.RANDOMISED
        told = risk(found)
        off.append((told.value - of.truth) / told.sd)
        low, high = found.arms["treated"]["forward"].interval
        held.append(low <= effect <= high)
    error = np.sqrt(0.09 / len(off))
    said = f"{np.mean(np.abs(off) < scores.Z90):.2f} of {len(off)}, ratios {np.mean(held):.2f}"
    assert np.mean(np.abs(off) < scores.Z90) > 0.9 - 3 * error, said
    assert np.mean(held) > 0.9 - 3 * error, said
    assert refused <= 0.1 * runs


def test_the_sign_is_right() -> None:
    found = learnt(world(1, 1.8, scale=1.0))
    assert isinstance(found, Learnt)
    assert risk(found).interval[0] > 0.0 and found.arms["treated"]["forward"].interval[0] > 1.0


@pytest.mark.parametrize("runs", mostly([2, 12]))
def test_a_confounded_world_is_refused_or_less_wrong(runs: int) -> None:
    """The logged chances are hidden: they have to be learnt from what marketing could see."""
    ours, naive = [], []
    for seed in range(runs):
        of = hidden(world(seed, 1.0))
        found = learnt(of)
        if isinstance(found, Refused):
            continue
        assert found.basis.grade is Grade.OBSERVATIONAL, "never E1 from fitted chances"
        ours.append(risk(found).value)
        naive.append(_naive(of.rows))
    assert naive, "all were refused"
    assert np.mean(naive) > 0.01, "the naive comparison is wrong"
    assert np.sqrt(np.mean(np.square(ours))) < 0.6 * np.sqrt(np.mean(np.square(naive)))


def _naive(of: Rows) -> float:
    mature = of.followed >= DAYS
    came = of.causes["forward"] <= DAYS
    return float(came[mature & (of.arm == 1)].mean() - came[mature & (of.arm == 0)].mean())


@pytest.mark.drill
def test_with_the_cause_hidden_too_it_is_refused_or_less_wrong() -> None:
    """What leads a lead to be treated is not among the features either."""
    ours, naive, refused = [], [], 0
    for seed in range(12):
        of = hidden(world(seed, 1.0))
        kept = [not name.startswith(SENIOR) for name in of.rows.names]
        blind = replace(of.rows, features=of.rows.features[:, kept], names=("some",) * sum(kept))
        found = learnt(of._replace(rows=blind))
        if isinstance(found, Refused):
            refused += 1
            continue
        ours.append(risk(found).value)
        naive.append(_naive(of.rows))
    assert refused or np.mean(np.abs(ours)) <= np.mean(np.abs(naive)) + 0.005, (ours, naive)
