"""The answer to a question: all arms simulated on the same luck, on Ray or in this process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cluster import canonical, runner, session
from cluster.errors import FunnelcastError, WrongUse, done
from jobs.simulate import question as questions
from jobs.simulate.finished import Finished
from serving import scored
from serving.forecast import answers, effect, experiment, learning, payoff, person, pulled, tested
from serving.forecast.experiment import Arm
from serving.forecast.pulled import Names

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from cluster.settings import Settings
    from cluster.workspace import Workspace
    from jobs.console import Progress
    from jobs.simulate.question import Question
    from serving.forecast.effect import Estimate
    from serving.forecast.experiment import Experiment
    from serving.forecast.given import Outcome
    from serving.forecast.kernel import Span
    from serving.forecast.payoff import Payoff
    from serving.forecast.scenario import Scenario
    from serving.forecast.tested import Held
    from serving.forecast.units import Course

FORMAT = 1  # of what is on record of a run; another one is not gone on with
LEAST_CHUNKS = 16  # of draws, so that there is something to share out and to resume
MOST_DRAWS_PER_CHUNK = 250  # bounds the memory of a chunk
WORTH_A_RECORD = 500_000_000  # steps of one unit: some seconds
STEPS_PER_ROW = 10_000  # steps of one unit that cost as much as a row of a feature job


class NotEnough(FunnelcastError):
    """The log says too little for this question."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """The outcome of every arm, and what it rests on."""

    question: Question  # with every effect known
    course: Course
    asked: Experiment
    names: Names
    outcomes: dict[str, Outcome]
    estimate: Estimate | None
    ran: str
    coverage: tuple[str, ...]  # how often such intervals held in the past, in words
    held: tuple[Held, ...]  # business as usual, as recalibrated by that

    @property
    def keys(self) -> list[str]:
        """The keys of the units open at the start, in its order: of the deal, or of the lead."""
        unit = learning.opened(self.course)
        deals, deal = self.course.keys.opportunities, self.course.members.opportunity[unit]
        names = self.course.names[unit]
        return [
            str(deals[code]) if stage >= self.asked.frame.deals_from and code >= 0 else str(name)
            for code, stage, name in zip(deal, self.asked.start.stage, names, strict=True)
        ]

    @property
    def payoff(self) -> Payoff | None:
        """The levers against the baseline; None without a lever."""
        levers = self.question.scenario.levers
        if not levers:
            return None
        baseline, with_levers = self.outcomes.values()
        cost = np.array([lever.cost_per_contact_cents for lever in levers], np.int64)
        return payoff.payoff(baseline, with_levers, cost)

    @property
    def told(self) -> dict[str, Outcome]:
        """The outcomes, and the difference that the levers make."""
        if len(self.outcomes) < 2:
            return self.outcomes
        return {**self.outcomes, "difference": answers.difference(*self.outcomes.values())}


def answer(
    workspace: Workspace, question: Question, *, asked_runner: str, progress: Progress
) -> Answer:
    """Learn from the log and simulate; NotEnough when it says too little, WrongUse for a scenario
    that names what the funnel does not have.
    """
    course = questions.course(workspace, question)
    found = _estimate(question, course)
    scenario = question.scenario
    if found is not None:
        scenario = scenario.with_effect(found.as_effect(question.funnel.step_days))
    known = replace(question, scenario=scenario)
    asked, names = put(workspace, known, course)
    outcomes, ran = _simulated(workspace, known, asked, asked_runner, progress)
    coverage, held = _tested(workspace, known, outcomes[0])
    return Answer(
        question=known,
        course=course,
        asked=asked,
        names=names,
        outcomes={arm.name: found for arm, found in zip(asked.arms, outcomes, strict=True)},
        estimate=found,
        ran=ran,
        coverage=coverage,
        held=held,
    )


def put(workspace: Workspace, question: Question, course: Course) -> tuple[Experiment, Names]:
    """Return the question as an experiment, and what its numbers stand for."""
    scenario = question.scenario
    scores = scored.known(workspace.tables, question.funnel)
    learnt = done(learning.fit(course, scenario.horizon, scores=scores), NotEnough)
    names = Names(
        stages=tuple(stage.name for stage in question.funnel.stages),
        strata=learnt.strata.count,
        labels=pd.DataFrame(learnt.groups.names, columns=["segment", "team", "owner"]),
    )
    desk_of = pulled.desk_of(done(pulled.fitting(scenario, names), WrongUse), names)
    start, arrivals = learning.start(course, learnt), learning.arrivals(learnt)
    arms = [scenario.baseline(), scenario] if scenario.levers else [scenario]
    return experiment.Experiment(
        start=start._replace(desk=desk_of[start.group]),
        arrivals=arrivals._replace(desk_of=desk_of),
        frame=learning.frame(learnt),
        learnt=learnt,
        arms=tuple(_arm(question, each, course, names) for each in arms),
        seed=scenario.seed,
        draws=scenario.draws,
        steps=scenario.horizon,
    ), names


def under_way(workspace: Workspace, question: Question) -> Finished:
    """Return the record of what is finished of an answer."""
    spans = [FORMAT, _chunk(question.scenario.draws)]
    return Finished(workspace, canonical.digest([questions.pins(workspace, question), spans]))


def _estimate(question: Question, course: Course) -> Estimate | None:
    if not question.scenario.needs_estimate():
        return None
    return done(effect.estimate(effect.lots(course), course.at), NotEnough)


def _tested(
    workspace: Workspace, question: Question, usual: Outcome
) -> tuple[tuple[str, ...], tuple[Held, ...]]:
    """Return what the newest backtest of the funnel says of such intervals, and of these."""
    ref = workspace.refs.get(tested.ref(question.funnel.name))
    if ref is None:
        return (), ()
    rows = workspace.tables.read(tested.TABLE).to_pandas()
    rows = rows[(rows["run"] == ref.target) & (rows["funnel"] == question.funnel.name)]
    step = timedelta(days=question.funnel.step_days)
    found = tested.said(rows, "won", step, question.as_of)
    if found is None:
        return (), ()
    so_far = usual.won.sum(axis=(2, 3)).cumsum(axis=1)
    return tuple(found[1]), tuple(tested.held(found[0], so_far))


def _arm(question: Question, scenario: Scenario, course: Course, names: Names) -> Arm:
    rows = person.table(course) if scenario.levers else None
    stages = {names.stages.index(s) for lever in scenario.levers for s in lever.stages}
    share = effect.contacted(course, rows, frozenset(stages)) if rows is not None else 0.0
    days = question.funnel.step_days
    return Arm(
        name=scenario.name,
        levers=pulled.pulled(scenario, names, share),
        desks=pulled.desks(scenario, names, question.as_of.date(), days_per_step=days),
    )


def _simulated(
    workspace: Workspace, question: Question, asked: Experiment, runs: str, progress: Progress
) -> tuple[tuple[Outcome, ...], str]:
    """Simulate the spans that are not on record, put each on record, and return them all."""
    # what takes a moment is not worth a record of what is done of it
    finished = under_way(workspace, question) if asked.unit_steps >= WORTH_A_RECORD else None
    there = finished.there() if finished else {}
    spans = dict(enumerate(_spans(asked)))
    missing = {number: span for number, span in spans.items() if number not in there}
    choice = runner.choose(runs, asked.unit_steps // STEPS_PER_ROW, workspace.settings)
    simulate = _on_ray if choice.runner == "ray" else _inline
    with closing(simulate(workspace.settings, asked, missing)) as parts:
        for number, outcomes in parts:
            if finished:
                finished.add(number, outcomes)
            there[number] = outcomes
            progress(len(there), len(spans), "chunks")
    resumed = len(spans) - len(missing)
    said = f"{choice}" + (f"; {resumed} of {len(spans)} chunks were done before" if resumed else "")
    return experiment.joined([there[number] for number in spans]), said


def _spans(asked: Experiment) -> list[Span]:
    return experiment.spans(asked, _chunk(asked.draws))


def _chunk(draws: int) -> int:
    return min(-(-draws // LEAST_CHUNKS), MOST_DRAWS_PER_CHUNK)


def _inline(
    settings: Settings, asked: Experiment, spans: Mapping[int, Span]
) -> Generator[tuple[int, tuple[Outcome, ...]]]:
    with ThreadPoolExecutor(session.cores(settings)) as pool:
        tasks = {pool.submit(experiment.run, asked, span): n for n, span in spans.items()}
        try:
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_ray(
    settings: Settings, asked: Experiment, spans: Mapping[int, Span]
) -> Generator[tuple[int, tuple[Outcome, ...]]]:
    session.connect(settings)
    from jobs.simulate import pool

    yield from pool.run(asked, spans)
