"""An experiment: arms on the same luck, in chunks of draws that may run anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.forecast import folded, kernel, learning, timing
from serving.forecast.given import Outcome
from serving.forecast.kernel import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from serving.forecast.desks import Desks
    from serving.forecast.folded import Folded
    from serving.forecast.given import Arrivals, Frame, Start
    from serving.forecast.growth import Growth
    from serving.forecast.learning import Learnt
    from serving.forecast.levers import Levers


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """One way to do it."""

    name: str
    levers: Levers
    desks: Desks
    desk_of: np.ndarray | None = None  # int64 [groups]; none: the desks of start and arrivals
    growth: Growth | None = None  # of arrivals; none: as usual


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """Everything that a chunk needs, so that it can travel to a worker."""

    start: Start
    arrivals: Arrivals
    frame: Frame
    learnt: Learnt
    arms: tuple[Arm, ...]
    seed: int
    draws: int
    steps: int
    against: int = 0  # the arm that the timing of others is compared with

    @property
    def unit_steps(self) -> int:
        """About how many steps of one unit there are to simulate, in all arms."""
        arriving = float(learning.mean(self.learnt).rates.sum())
        units = self.start.name.size + arriving / 2
        return int(self.draws * self.steps * len(self.arms) * units)


def spans(experiment: Experiment, chunk: int) -> list[Span]:
    """Cut the draws into spans of at most `chunk`."""
    firsts = range(0, experiment.draws, chunk)
    return [
        Span(experiment.seed, first, min(chunk, experiment.draws - first), experiment.steps)
        for first in firsts
    ]


def run(experiment: Experiment, span: Span) -> tuple[Outcome, ...]:
    """Simulate one span of draws in every arm, with the same parameters and the same luck."""
    return _timed(experiment, list(_each(experiment, span, lambda outcome: outcome)))


def run_folded(experiment: Experiment, span: Span) -> tuple[Folded, ...]:
    """Simulate the same, and fold each arm before the next is there: two of them are large."""
    return _timed(experiment, list(_each(experiment, span, folded.folded)))


def _each[T](experiment: Experiment, span: Span, kept: Callable[[Outcome], T]) -> Iterator[T]:
    """Give what is kept of each arm; nothing else of one is there when the next begins."""
    parameters = learning.sample(experiment.learnt, span.seed, span.first_draw, span.draws)
    for arm in experiment.arms:
        yield kept(
            kernel.simulate(
                *_served(experiment, arm),
                experiment.frame,
                parameters,
                levers=arm.levers,
                desks=arm.desks,
                growth=arm.growth,
                span=span,
            )
        )


def _timed[T: (Outcome, Folded)](experiment: Experiment, arms: Sequence[T]) -> tuple[T, ...]:
    """Count the timing, and drop the steps of winning: they are many."""
    there = arms[experiment.against].won_at
    return tuple(
        arm._replace(timing=timing.counts(there, arm.won_at), won_at=arm.won_at[:, :0])
        for arm in arms
    )


def _served(experiment: Experiment, arm: Arm) -> tuple[Start, Arrivals]:
    """Return units and arrivals at the desks of an arm."""
    start, arrivals = experiment.start, experiment.arrivals
    if arm.desk_of is None:
        return start, arrivals
    served = start._replace(desk=arm.desk_of[start.group])
    return served, arrivals._replace(desk_of=arm.desk_of)
