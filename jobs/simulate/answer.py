"""The answer to a question: both arms simulated on the same luck, on Ray or in this process."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cluster import runner, session
from cluster.errors import FunnelcastError, done
from serving.forecast import effect, experiment, hazards, scenario, start, summary

if TYPE_CHECKING:
    from cluster.settings import Settings
    from jobs.console import Progress
    from jobs.simulate.question import Question
    from serving.forecast.effect import Estimate
    from serving.forecast.experiment import Experiment
    from serving.forecast.funnel import Outcome, Span
    from serving.forecast.history import History
    from serving.forecast.summary import Payoff

CHUNKS_PER_CORE = 4
MOST_DRAWS_PER_CHUNK = 250  # bounds the tables of a chunk to some tens of MB
STEPS_PER_ROW = 1000  # weeks of one lead or deal that cost as much as a row of a feature job


class NotEnough(FunnelcastError):
    """The log says too little for this question."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """The outcome of every arm, and what it rests on."""

    question: Question  # with every effect known
    asked: Experiment
    outcomes: dict[str, Outcome]
    estimate: Estimate | None
    choice: runner.Choice

    @property
    def payoff(self) -> Payoff | None:
        """The levers against the baseline; None without a lever."""
        levers = self.question.scenario.levers
        if not levers:
            return None
        baseline, pulled = self.outcomes.values()
        cost = np.array([lever.cost_per_contact_cents for lever in levers], np.int64)
        return summary.payoff(baseline, pulled, cost)


def answer(
    settings: Settings, question: Question, past: History, *, asked_runner: str, progress: Progress
) -> Answer:
    """Learn from the history and simulate; NotEnough when it says too little."""
    estimate = (
        done(effect.estimate(past), NotEnough) if question.scenario.needs_estimate() else None
    )
    pulled = question.scenario.with_effect(estimate.as_effect()) if estimate else question.scenario
    arms = (pulled.baseline(), pulled) if pulled.levers else (pulled,)
    asked = experiment.Experiment(
        start=start.at(past),
        hazards=done(hazards.fit(past), NotEnough),
        arms=tuple(scenario.levers(arm) for arm in arms),
        seed=pulled.seed,
        draws=pulled.draws,
        weeks=pulled.horizon_weeks,
    )
    choice = runner.choose(asked_runner, asked.steps() // STEPS_PER_ROW, settings)
    simulate = _on_ray if choice.runner == "ray" else _inline
    outcomes = simulate(settings, asked, progress)
    return Answer(
        question=replace(question, scenario=pulled),
        asked=asked,
        outcomes={arm.name: outcome for arm, outcome in zip(arms, outcomes, strict=True)},
        estimate=estimate,
        choice=choice,
    )


def _spans(settings: Settings, asked: Experiment) -> list[Span]:
    even = math.ceil(asked.draws / (CHUNKS_PER_CORE * session.cores(settings)))
    return experiment.spans(asked, min(even, MOST_DRAWS_PER_CHUNK))


def _inline(settings: Settings, asked: Experiment, progress: Progress) -> tuple[Outcome, ...]:
    spans = _spans(settings, asked)
    parts = []
    with ThreadPoolExecutor(session.cores(settings)) as pool:
        for part in pool.map(lambda span: experiment.run(asked, span), spans):
            parts.append(part)
            progress(len(parts), len(spans), "chunks")
    return experiment.joined(parts)


def _on_ray(settings: Settings, asked: Experiment, progress: Progress) -> tuple[Outcome, ...]:
    session.connect(settings)
    from jobs.simulate import pool

    return experiment.joined(pool.run(asked, _spans(settings, asked), progress))
