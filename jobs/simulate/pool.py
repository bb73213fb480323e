"""Spans of draws as Ray tasks: the experiment is stored once, every span is one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from jobs.simulate.finished import Outcomes
    from serving.forecast.experiment import Experiment
    from serving.forecast.kernel import Span


def run(
    simulate: Callable[[Experiment, Span], Outcomes],
    asked: Experiment,
    spans: Mapping[int, Span],
) -> Generator[tuple[int, Outcomes]]:
    """Simulate spans and yield each with its number when it is done; those that nobody waits for
    any longer are cancelled.
    """
    stored = ray.put(asked)
    task: Any = ray.remote(num_cpus=1)(simulate)
    numbers = {task.remote(stored, span): number for number, span in spans.items()}
    waiting = list(numbers)
    try:
        while waiting:
            (done, *_), waiting = ray.wait(waiting, num_returns=1)
            yield numbers[done], ray.get(done)
    finally:
        for task in waiting:
            ray.cancel(task)
