"""The arms of a question in words: each a scenario, with what history says of its levers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import WrongUse, done
from serving.forecast import campaigning, costs, history, pulled, reaching, routing
from serving.forecast.experiment import Arm
from serving.forecast.kinds import Outreach
from serving.simulations import routed as policies
from serving.simulations.levers import never_contacted

if TYPE_CHECKING:
    import numpy as np

    from cluster.workspace import Workspace
    from jobs.simulate.question import Question
    from serving.forecast.costs import Costs
    from serving.forecast.history import Past
    from serving.forecast.kinds import Routed
    from serving.forecast.person import Person
    from serving.forecast.pulled import Names
    from serving.forecast.reaching import Reaching
    from serving.forecast.scenario import Scenario
    from serving.forecast.strata import Scored, Strata
    from serving.forecast.units import Course


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """An arm in words: its scenario, what history says of its levers, and what they cost."""

    scenario: Scenario
    pasts: tuple[Past, ...]  # of each lever that reaches units
    routed: tuple[np.ndarray | None, ...]  # of each: the share of each stratum that is sent there
    costs: Costs


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What the arms of a question stand on."""

    workspace: Workspace
    question: Question
    course: Course
    rows: Person
    names: Names
    strata: Strata
    scores: tuple[Scored, ...]
    begins: tuple[int, ...]  # stages in which units begin

    def way(self, scenario: Scenario) -> Way:
        """Return a scenario as an arm in words; WrongUse for what the funnel does not have."""
        done(pulled.fitting(scenario, self.names), WrongUse)
        reached = reaching.reached(scenario)
        return Way(
            scenario=scenario,
            pasts=tuple(self._past(lever) for lever in reached),
            routed=tuple(self._routed(lever.routed) for lever in reached),
            costs=costs.costs(scenario),
        )

    def arm(self, way: Way) -> Arm:
        """Return an arm as the kernel takes it."""
        scenario, days = way.scenario, self.question.funnel.step_days
        first = self.question.as_of.date()
        return Arm(
            name=scenario.name,
            levers=reaching.pulled(scenario, self.names, way.pasts, way.routed),
            desks=pulled.desks(scenario, self.names, first, days_per_step=days),
            desk_of=pulled.desk_of(scenario, self.names),
            growth=done(campaigning.grown(scenario, self.names, self.begins), WrongUse),
        )

    def _past(self, lever: Reaching) -> Past:
        stages = frozenset(self.names.stages.index(stage) for stage in lever.stages)
        lasts = reaching.effect_of(lever).lasts
        if not isinstance(lever, Outreach):
            return history.NOTHING
        past = history.past(self.course, self.rows, lever.action, stages=stages, lasts=lasts)
        if lever.more is not None and not past.per_step:
            done(never_contacted(lever.stages), WrongUse)
        return past

    def _routed(self, routed: Routed | None) -> np.ndarray | None:
        if routed is None:
            return None
        sent = done(policies.sent(self.workspace, self.question.funnel, routed), WrongUse)
        return done(routing.shares(self.strata, self.scores, sent), WrongUse)
