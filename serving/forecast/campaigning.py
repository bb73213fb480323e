"""The campaigns of a scenario: what the log says of them, and the arrays that the kernel takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import Refusal
from serving.forecast import response
from serving.forecast.evidence import ESTIMATED, Response
from serving.forecast.growth import Growth
from serving.forecast.kinds import Campaign
from serving.forecast.pulled import last_step
from serving.forecast.reaching import groups

if TYPE_CHECKING:
    from serving.forecast.person import Person
    from serving.forecast.pulled import Names
    from serving.forecast.scenario import Scenario
    from serving.forecast.units import Course


def asks_the_log(lever: Campaign) -> bool:
    """Does the log have to say how arrivals answer, or what is spent?"""
    return lever.response == ESTIMATED or lever.spend_per_step_cents is None


def answered(course: Course, rows: Person, lever: Campaign) -> Response | Refusal:
    """Return how arrivals answer to a budget, as stated or estimated, if such a one was seen."""
    if isinstance(lever.response, Response):
        return lever.response
    names = [stage.name for stage in course.funnel.stages]
    stages = frozenset(names.index(stage) for stage in lever.stages if stage in names)
    found = response.answered(course, rows, stages)
    if isinstance(found, Refusal):
        return found
    within = response.within(found, lever.budget)
    return within if isinstance(within, Refusal) else within.response


def spent(course: Course, rows: Person, lever: Campaign) -> int | Refusal:
    """Return what is spent in a step of late on what a campaign is for, as stated or in the log."""
    if lever.spend_per_step_cents is not None:
        return lever.spend_per_step_cents
    found = response.spent(course, rows)
    if found and not (lever.segments or lever.teams or lever.stages):
        return found
    return Refusal(
        rule="the spend of a campaign must be known",
        value="a part of the company" if found else "none in the log",
        remedy="give `spend_per_step_cents`",
    )


def grown(scenario: Scenario, names: Names, begins: tuple[int, ...]) -> Growth | Refusal:
    """Return the campaigns, for kinds of arrivals that begin in these stages; a Refusal for a stage
    in which nothing begins. ValueError where a response is still to be estimated.

    What is spent in a step brings units `lag_steps` later.
    """
    given = [lever for lever in scenario.levers if isinstance(lever, Campaign)]
    there = [names.stages[stage] for stage in begins]
    for lever in given:
        for stage in lever.stages:
            if stage not in there:
                return Refusal(
                    rule="a campaign brings units to a stage in which they begin",
                    value=f"'{stage}'",
                    remedy=f"valid are: {', '.join(there)}",
                )
    responses = [_response(lever) for lever in given]
    lags = np.array([each.lag_steps for each in responses], np.int64)
    kinds = [[not lever.stages or stage in lever.stages for stage in there] for lever in given]
    return Growth(
        kinds=np.array(kinds, bool).reshape(len(given), len(begins)),
        groups=np.array([groups(lever, names.labels) for lever in given], bool).reshape(
            len(given), len(names.labels)
        ),
        first=np.array([lever.first_step for lever in given], np.int64) + lags,
        last=np.array([last_step(lever, scenario.horizon) for lever in given], np.int64) + lags,
        budget=np.array([lever.budget for lever in given], float),
        elasticity=np.array([each.elasticity for each in responses], float),
        elasticity_sd=np.array([each.sd for each in responses], float),
    )


def _response(lever: Campaign) -> Response:
    if not isinstance(lever.response, Response):
        raise ValueError(f"every response must be known, got '{lever.response}'")
    return lever.response
