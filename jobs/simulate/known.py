"""What is known of the levers of a question: effects that are to be estimated, from the log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from cluster.errors import FunnelcastError, Refusal, WrongUse, done
from serving.effects import known as effects
from serving.forecast import campaigning, effect
from serving.forecast.evidence import ESTIMATED
from serving.forecast.kinds import Campaign, Outreach
from serving.forecast.response import NeverSeen
from serving.forecast.scenario import evidence_of

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from jobs.simulate.basis import Basis
    from jobs.simulate.question import Question
    from serving.forecast.evidence import Effect, Response
    from serving.forecast.kinds import Lever
    from serving.forecast.scenario import Scenario

OUTREACH = "outreach"


class NotEnough(FunnelcastError):
    """The log says too little for this question."""


class Found(NamedTuple):
    """An estimate, and what is said of it."""

    value: Effect | Response
    said: str


def known(
    workspace: Workspace, question: Question, basis: Basis
) -> tuple[Question, tuple[str, ...]]:
    """Return the question with every effect known, and what is said of those that were estimated;
    NotEnough where the log does not say it, WrongUse for a budget that was never seen.
    """
    found: dict[str, Found | None] = {}
    scenarios = []
    for scenario in question.comparison.scenarios:
        keys = [lever.model_dump_json() for lever in scenario.levers]
        for key, lever in zip(keys, scenario.levers, strict=True):
            if key not in found:
                found[key] = _found(workspace, question, basis, lever)
        values = [each and each.value for each in map(found.__getitem__, keys)]
        scenarios.append(_spending(scenario.with_evidence(values), basis))
    comparison = question.comparison.model_copy(update={"scenarios": tuple(scenarios)})
    said = dict.fromkeys(each.said for each in found.values() if each)
    return replace(question, comparison=comparison), tuple(said)


def _found(workspace: Workspace, question: Question, basis: Basis, lever: Lever) -> Found | None:
    """Return what is estimated of a lever; None where nothing is to be."""
    if evidence_of(lever) != ESTIMATED:
        return None
    if isinstance(lever, Campaign):
        return _answered(basis, lever)
    learnt = _learnt(workspace, question, _action(lever))
    if learnt is not None:
        return learnt
    if _action(lever) == OUTREACH:
        course = basis.course
        of_lots = done(effect.estimate(effect.lots(course), course.at), NotEnough)
        said = f"effect of a contact, estimated: {of_lots}"
        return Found(of_lots.as_effect(question.funnel.step_days), said)
    return done(_nothing(lever), NotEnough)


def _learnt(workspace: Workspace, question: Question, action: str) -> Found | None:
    """Return what was learnt of an action, the newest from no more than is known at the time of the
    question; NotEnough where that learning was refused: nothing else may stand in for it.
    """
    learnt = effects.newest_at(workspace, question.funnel.name, action, question.as_of)
    if learnt is None:
        return None
    if learnt.grade is None:
        done(_refused(action, str(learnt.refused)), NotEnough)
    if "forward" not in learnt.causes:
        return None
    value = learnt.as_effect(question.funnel.step_days)
    forward = learnt.causes["forward"]
    low, high = forward.interval
    said = (
        f"effect of {action}, {learnt.grade} ({value.grade.code}): ratio of hazards"
        f" {value.ratio:.2f}, 90 % interval {low:.2f} to {high:.2f}, on being lost"
        f" {value.lost_ratio:.2f}; learnt by {learnt.method} from {forward.n:,} rows"
    )
    return Found(value, said)


def _action(lever: Lever) -> str:
    return lever.action if isinstance(lever, Outreach) else lever.kind


def _answered(basis: Basis, lever: Campaign) -> Found:
    """Return how arrivals answer to a budget; WrongUse if such a one was never seen."""
    found = campaigning.answered(basis.course, basis.rows, lever)
    known = done(found, WrongUse if isinstance(found, NeverSeen) else NotEnough)
    said = (
        f"arrivals answer to the budget with elasticity {known.elasticity:.2f}"
        f" \u00b1 {known.sd:.2f}, {known.lag_steps} steps later, estimated from history"
    )
    return Found(known, said)


def _spending(scenario: Scenario, basis: Basis) -> Scenario:
    """Return the scenario with what campaigns cost of late, where it does not say it."""
    levers = tuple(
        lever.model_copy(update={"spend_per_step_cents": _spent(lever, basis)})
        if isinstance(lever, Campaign) and lever.spend_per_step_cents is None
        else lever
        for lever in scenario.levers
    )
    return scenario.model_copy(update={"levers": levers})


def _spent(lever: Campaign, basis: Basis) -> int:
    return done(campaigning.spent(basis.course, basis.rows, lever), WrongUse)


def _refused(action: str, why: str) -> Refusal:
    return Refusal(
        rule="an effect that is 'estimated' must have been learnt from the log",
        value=f"'{action}', refused: {why}",
        remedy="do as it says, or state the effect with grade 'assumption'",
    )


def _nothing(lever: Lever) -> Refusal:
    action = _action(lever)
    return Refusal(
        rule="an effect that is 'estimated' must have been learnt from the log",
        value=f"'{action}'",
        remedy=f"run python -m jobs.effects --action {action}, or state it with grade 'assumption'",
    )
