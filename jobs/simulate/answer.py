"""The answer to a question: all arms simulated on the same luck, on Ray or in this process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cluster import canonical, runner, runs, session
from jobs.simulate import bounds
from jobs.simulate import known as knowing
from jobs.simulate import question as questions
from jobs.simulate.basis import Bases
from jobs.simulate.finished import Finished
from jobs.simulate.put import put
from jobs.simulate.sums import Sums, sums
from serving.forecast import (
    answers,
    evidence,
    experiment,
    hours,
    learning,
    payoff,
    reaching,
    tested,
)
from serving.forecast.folded import Folded
from serving.forecast.whole import Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from cluster.settings import Settings
    from cluster.workspace import Workspace
    from jobs.console import Progress
    from jobs.simulate.finished import Outcomes
    from jobs.simulate.put import Put
    from jobs.simulate.question import Question
    from jobs.simulate.ways import Way
    from serving.forecast.evidence import Grade
    from serving.forecast.experiment import Experiment
    from serving.forecast.given import Outcome
    from serving.forecast.hours import HourPrice
    from serving.forecast.kernel import Span
    from serving.forecast.payoff import Payoff
    from serving.forecast.planned import Planned
    from serving.forecast.pulled import Names
    from serving.forecast.tested import Held
    from serving.forecast.units import Course

    type Simulate = Callable[[Experiment, Span], Outcomes]

DIFFERENCE, JOB = "difference", "jobs/simulate"
LEAST_CHUNKS = 16  # of draws, so that there is something to share out and to resume
MOST_DRAWS_PER_CHUNK = 250  # fewer where they would take too much memory: bounds.draws
WORTH_A_RECORD = 3_000_000_000  # steps of one unit: half a minute; a record takes a third more
STEPS_PER_ROW = 10_000  # steps of one unit that cost as much as a row of a feature job


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """The outcome of every arm, and what it rests on."""

    question: Question  # with every effect known
    course: Course
    asked: Experiment
    names: Names
    ways: dict[str, Way]  # the arms in words
    outcomes: dict[str, Outcome]  # with one group, where they were folded
    by_group: dict[str, tuple[np.ndarray, np.ndarray]]  # units and cents, where they were: Folded
    estimates: tuple[str, ...]  # what is said of effects that were estimated
    ran: str
    coverage: tuple[str, ...]  # how often such intervals held in the past, in words
    held: tuple[Held, ...]  # business as usual, as recalibrated by that
    hours: Mapping[str, list[HourPrice]]  # of each arm, what more hours would bring
    plan: Planned | None

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
    def against(self) -> str:
        """The arm that the others are compared with."""
        asked = self.question.comparison.against
        return asked if asked in self.outcomes else next(iter(self.outcomes))

    @cached_property
    def payoffs(self) -> dict[str, Payoff]:
        """Every other arm against that one."""
        other = self.way(self.against)
        names = [name for name in self.outcomes if name != self.against]
        return {name: payoff.payoff(other, self.way(name)) for name in names}

    def way(self, name: str) -> payoff.Way:
        """Return what came of an arm, and what it costs."""
        return payoff.Way(self.outcomes[name], self.ways[name].costs)

    def measured(self, name: str) -> tuple[Sums, Sums]:
        """Return what an arm won, summed up: units and cents."""
        outcome, by_group = self.outcomes[name], self.by_group.get(name)
        won, value = sums(outcome.won), sums(outcome.cents)
        if by_group is None:
            return won, value
        return won._replace(by_group=by_group[0]), value._replace(by_group=by_group[1])

    def capacity(self, name: str) -> np.ndarray:
        """Return the contacts that the desks of an arm can make: int64 [desks, steps]."""
        return self.asked.arms[list(self.ways).index(name)].desks.capacity

    def made(self, name: str) -> np.ndarray:
        """Return the contacts that the desks of an arm made, int64 [draws, steps, desks]: without
        those of a system.
        """
        arm = self.asked.arms[list(self.ways).index(name)]
        return np.asarray(self.outcomes[name].contacts @ (~arm.levers.at_once).astype(np.int64))

    @property
    def told(self) -> dict[str, Outcome]:
        """The outcomes, and the differences to that which the others are compared with."""
        other, said = self.outcomes[self.against], dict(self.outcomes)
        several = len(self.payoffs) > 1
        for name in self.payoffs:
            title = f"{name} less {self.against}" if several else DIFFERENCE
            said[title] = answers.difference(other, self.outcomes[name])
        return said

    @property
    def grade(self) -> Grade | None:
        """The lowest grade of evidence of all arms."""
        grades = (way.scenario.grade() for way in self.ways.values())
        return evidence.lowest(each for each in grades if each is not None)


def answer(
    workspace: Workspace,
    question: Question,
    *,
    asked_runner: str,
    progress: Progress,
    folded: bool = False,
    bases: Bases | None = None,
) -> Answer:
    """Learn from the log and simulate; NotEnough when it says too little, WrongUse for a scenario
    that names what the funnel does not have.

    `folded` keeps as much as a document needs (result.told), in a small part of the memory; `bases`
    may know what the question rests on.
    """
    basis = (bases or Bases()).get(workspace, question)
    known, estimates = knowing.known(workspace, question, basis)
    there = put(workspace, known, basis)
    bounds.look(workspace, known, there, folded=folded)
    found, ran = _simulated(workspace, known, there, asked_runner, progress=progress, folded=folded)
    outcomes = [each.outcome if isinstance(each, Folded) else each for each in found]
    names = [way.scenario.name for way in there.ways]
    ways = dict(zip(names, there.ways, strict=True))
    shown = dict(zip(names, outcomes, strict=False))
    coverage, held = _tested(workspace, known, outcomes[0])
    return Answer(
        question=known,
        course=basis.course,
        asked=there.asked,
        names=there.names,
        ways=ways,
        outcomes=shown,
        by_group={
            name: (each.won_by_group, each.cents_by_group)
            for name, each in zip(names, found, strict=False)
            if isinstance(each, Folded)
        },
        estimates=estimates,
        ran=ran,
        coverage=coverage,
        held=held,
        plan=there.plan,
        hours=_hours(there, shown, outcomes[len(names) :]),
    )


def _hours(
    there: Put, shown: Mapping[str, Outcome], more: Sequence[Outcome]
) -> dict[str, list[HourPrice]]:
    """Return of each arm what more hours of its desks would bring."""
    found: dict[str, list[HourPrice]] = {}
    ways = {way.scenario.name: way for way in there.ways}
    desks = {arm.name: arm.desks for arm in there.asked.arms}
    for (name, place), outcome in zip(there.longer, more, strict=True):
        way = ways[name]
        both = payoff.Way(shown[name], way.costs), payoff.Way(outcome, way.costs)
        minutes = reaching.minutes(way.scenario)
        desk = way.scenario.desks[place].name
        each = hours.price(desk, place, desks[name], both, minutes)
        found.setdefault(name, []).append(each)
    return found


def under_way(workspace: Workspace, question: Question, *, folded: bool = False) -> Finished:
    """Return the record of what this code has finished of an answer."""
    # how many draws fit into memory follows from the question
    code, chunk = runs.code_version(JOB), _chunk(question.scenario.draws)
    work = [questions.pins(workspace, question), code, chunk, bounds.CHUNK_BYTES, folded]
    return Finished(workspace, canonical.digest(work))


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


def _simulated(
    workspace: Workspace,
    question: Question,
    placed: Put,
    asked_runner: str,
    *,
    progress: Progress,
    folded: bool,
) -> tuple[Outcomes, str]:
    """Simulate the spans that are not on record, put each on record, and return them all."""
    asked = placed.asked
    # what takes a moment is not worth a record of what is done of it
    is_long = asked.unit_steps >= WORTH_A_RECORD
    finished = under_way(workspace, question, folded=folded) if is_long else None
    there = finished.there() if finished else {}
    most = bounds.draws(question, placed, folded=folded)
    spans = dict(enumerate(experiment.spans(asked, min(_chunk(asked.draws), most))))
    missing = {number: span for number, span in spans.items() if number not in there}
    choice = runner.choose(asked_runner, asked.unit_steps // STEPS_PER_ROW, workspace.settings)
    simulate = experiment.run_folded if folded else experiment.run
    on = _on_ray if choice.runner == "ray" else _inline
    whole: Whole[Outcome | Folded] = Whole(asked.draws)
    resumed = len(there)
    for number, outcomes in there.items():
        whole.put(spans[number], outcomes)
    with closing(on(workspace.settings, simulate, asked, missing)) as parts:
        for done, (number, outcomes) in enumerate(parts, start=resumed + 1):
            if finished:
                finished.add(number, outcomes)
            whole.put(spans[number], outcomes)
            progress(done, len(spans), "chunks")
    said = f"{choice}" + (f"; {resumed} of {len(spans)} chunks were done before" if resumed else "")
    return whole.outcomes, said


def _chunk(draws: int) -> int:
    return min(-(-draws // LEAST_CHUNKS), MOST_DRAWS_PER_CHUNK)


def _inline(
    settings: Settings, simulate: Simulate, asked: Experiment, spans: Mapping[int, Span]
) -> Generator[tuple[int, Outcomes]]:
    with ThreadPoolExecutor(session.cores(settings)) as pool:
        tasks = {pool.submit(simulate, asked, span): n for n, span in spans.items()}
        try:
            for task in as_completed(tasks):
                yield tasks.pop(task), task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_ray(
    settings: Settings, simulate: Simulate, asked: Experiment, spans: Mapping[int, Span]
) -> Generator[tuple[int, Outcomes]]:
    session.connect(settings)
    from jobs.simulate import pool

    yield from pool.run(simulate, asked, spans)
