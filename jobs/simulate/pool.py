"""Spans of draws as Ray tasks: the experiment is stored once, every span is one task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ray

from serving.forecast import experiment

if TYPE_CHECKING:
    from jobs.console import Progress
    from serving.forecast.experiment import Experiment
    from serving.forecast.funnel import Outcome, Span


def run(asked: Experiment, spans: list[Span], progress: Progress) -> list[tuple[Outcome, ...]]:
    """Simulate all spans and return their outcomes in the order of `spans`."""
    stored = ray.put(asked)
    simulate = ray.remote(num_cpus=1)(experiment.run)
    tasks = [simulate.remote(stored, span) for span in spans]
    waiting = tasks
    while waiting:
        _, waiting = ray.wait(waiting, num_returns=1)
        progress(len(tasks) - len(waiting), len(tasks), "chunks")
    outcomes: list[tuple[Outcome, ...]] = ray.get(tasks)
    return outcomes
