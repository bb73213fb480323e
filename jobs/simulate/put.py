"""A question as an experiment: every scenario is an arm beside business as usual."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from cluster.errors import Refusal, WrongUse, done
from jobs.simulate.ways import Ground
from serving.forecast import crowds, hours, learning, planned, reaching
from serving.forecast.cells import Terms
from serving.forecast.experiment import Arm, Experiment
from serving.forecast.pulled import Names
from serving.forecast.scenario import BASELINE, PLAN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.workspace import Workspace
    from jobs.simulate.basis import Basis
    from jobs.simulate.question import Question
    from jobs.simulate.ways import Way
    from serving.forecast.planned import Planned
    from serving.forecast.scenario import Scenario


@dataclass(frozen=True, kw_only=True, eq=False)
class Put:
    """The experiment, what its numbers stand for, and the arms in words, in its order."""

    asked: Experiment
    names: Names
    ways: tuple[Way, ...]
    longer: tuple[tuple[str, int], ...]  # the further arms: whose desk has more hours, its place
    plan: Planned | None


def put(workspace: Workspace, question: Question, basis: Basis) -> Put:
    """Return the question as an experiment, and what its numbers stand for."""
    scenario, course, learnt = question.scenario, basis.course, basis.learnt
    names = Names(
        stages=tuple(stage.name for stage in question.funnel.stages),
        strata=learnt.strata.count,
        labels=pd.DataFrame(learnt.groups.names, columns=["segment", "team", "owner"]),
        bands=_bands(learnt.strata.names),
    )
    base = Ground(
        workspace=workspace,
        question=question,
        course=course,
        rows=basis.rows,
        names=names,
        strata=learnt.strata,
        scores=basis.scores,
        begins=question.funnel.begins,
    )
    ways = tuple(base.way(each) for each in arms(question.comparison.scenarios))
    names_of = [way.scenario.name for way in ways]
    against = question.comparison.against
    asked = Experiment(
        start=learning.start(course, learnt),
        arrivals=learning.arrivals(learnt),
        frame=learning.frame(learnt),
        learnt=learnt,
        arms=tuple(base.arm(way) for way in ways),
        seed=scenario.seed,
        draws=scenario.draws,
        steps=scenario.horizon,
        against=names_of.index(against) if against in names_of else 0,
    )
    found = _with_plan(question, Put(asked=asked, names=names, ways=ways, longer=(), plan=None))
    return _with_hours(found) if question.comparison.hour_price else found


def _bands(targets: tuple[str, ...]) -> tuple[int, ...]:
    """Return the band of each stratum among those of its target, 1 the lowest; 0 without score."""
    seen: Counter[str] = Counter()
    found = []
    for target in targets:
        seen[target] += 1
        found.append(seen[target] if target else 0)
    return tuple(found)


def arms(scenarios: tuple[Scenario, ...]) -> tuple[Scenario, ...]:
    """Return the scenarios, behind business as usual if it is none of them and there is anything
    to compare.
    """
    is_there = any(each.name == BASELINE for each in scenarios)
    is_alone = len(scenarios) == 1 and not scenarios[0].levers
    return scenarios if is_there or is_alone else (scenarios[0].baseline(), *scenarios)


def _with_plan(question: Question, found: Put) -> Put:
    """Add the arm that pulls the levers of a scenario as the plan says."""
    wanted = question.comparison.plan
    if wanted is None:
        return found
    place = [way.scenario.name for way in found.ways].index(wanted.scenario)
    way, arm = found.ways[place], found.asked.arms[place]
    if not way.pasts:
        done(_nothing_to_plan(wanted.scenario), WrongUse)
    among = crowds.blocs(found.names.labels)
    budget = float(wanted.budget_cents)
    plan = planned.plan(
        found.asked, arm.levers, arm.desks, terms(way, arm), budget=budget, among=among
    )
    chosen = replace(arm, name=PLAN, levers=arm.levers._replace(share=plan.share))
    scenario = way.scenario.model_copy(update={"name": PLAN})
    return replace(
        found,
        asked=replace(found.asked, arms=(*found.asked.arms, chosen)),
        ways=(*found.ways, replace(way, scenario=scenario)),
        plan=plan,
    )


def terms(way: Way, arm: Arm) -> list[Terms]:
    """Return what each lever that reaches units costs and whose hours it takes."""
    assert arm.desk_of is not None
    return [Terms(cost=int(cost), desk_of=arm.desk_of) for cost in way.costs.per_contact]


def _with_hours(found: Put) -> Put:
    """Add an arm for each desk of each arm, with more hours."""
    longer = tuple(_longer(found.ways))
    more = [_with_more(found.asked.arms, *each) for each in longer]
    asked = replace(found.asked, arms=(*found.asked.arms, *more))
    return replace(found, asked=asked, longer=longer)


def _longer(ways: tuple[Way, ...]) -> Iterator[tuple[str, int]]:
    """Give the desks that make contacts: the arm, and their place in it."""
    for way in ways:
        if any(map(reaching.is_by_reps, way.scenario.levers)):
            yield from ((way.scenario.name, place) for place in range(len(way.scenario.desks)))


def _with_more(arms: tuple[Arm, ...], name: str, place: int) -> Arm:
    arm = next(each for each in arms if each.name == name)
    desks = hours.longer(arm.desks, place)
    return replace(arm, name=f"{name} with more hours at desk {place}", desks=desks)


def _nothing_to_plan(name: str) -> Refusal:
    return Refusal(
        rule="a plan says whom levers of outreach or price reach",
        value=f"no such lever in '{name}'",
        remedy="plan another scenario",
    )
