"""What is known of the levers of a question: effects that are to be estimated, from the log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.errors import FunnelcastError, WrongUse, done
from serving.forecast import campaigning
from serving.forecast.evidence import ESTIMATED
from serving.forecast.kinds import Campaign, Outreach, Price
from serving.forecast.response import NeverSeen
from serving.forecast.scenario import evidence_of
from serving.simulations import estimates
from serving.simulations.estimates import Found

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from jobs.simulate.basis import Basis
    from jobs.simulate.question import Question
    from serving.forecast.kinds import Lever
    from serving.forecast.scenario import Scenario


class NotEnough(FunnelcastError):
    """The log says too little for this question."""


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
    if not isinstance(lever, Outreach | Price):
        return None
    found = estimates.learnt(workspace, question.funnel, question.as_of, lever)
    return done(estimates.of_lots(basis.course) if found is None else found, NotEnough)


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
