"""An experiment: arms on the same luck, in chunks of draws that may run anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import kernel, learning
from serving.forecast.given import Outcome
from serving.forecast.kernel import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.forecast.desks import Desks
    from serving.forecast.given import Arrivals, Frame, Start
    from serving.forecast.learning import Learnt
    from serving.forecast.levers import Levers


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """One way to do it."""

    name: str
    levers: Levers
    desks: Desks


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
    parameters = learning.sample(experiment.learnt, span.seed, span.first_draw, span.draws)
    return tuple(
        kernel.simulate(
            experiment.start,
            experiment.arrivals,
            experiment.frame,
            parameters,
            levers=arm.levers,
            desks=arm.desks,
            span=span,
        )
        for arm in experiment.arms
    )


def joined(parts: Sequence[tuple[Outcome, ...]]) -> tuple[Outcome, ...]:
    """Put the outcomes of consecutive spans together, arm by arm."""
    return tuple(
        Outcome(*(np.concatenate(arrays) for arrays in zip(*arm, strict=True)))
        for arm in zip(*parts, strict=True)
    )
