"""An experiment: arms on the same luck, in chunks of draws that may run anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import funnel, hazards, tables
from serving.forecast.funnel import Outcome, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.forecast.hazards import Hazards
    from serving.forecast.scenario import Levers
    from serving.forecast.start import Start


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """Everything that a chunk needs, as plain arrays, so that it can travel to a worker."""

    start: Start
    hazards: Hazards
    arms: tuple[Levers, ...]
    seed: int
    draws: int
    weeks: int

    def steps(self) -> int:
        """Return about how many weeks of one lead or deal there are to simulate, in all arms."""
        arriving = self.hazards.arrival_shape.sum() / self.hazards.arrival_weeks.mean()
        units = self.start.leads.size + self.start.deals.size + arriving * self.weeks / 2
        return int(self.draws * self.weeks * len(self.arms) * units)


def spans(experiment: Experiment, chunk: int) -> list[Span]:
    """Cut the draws into spans of at most `chunk`."""
    firsts = range(0, experiment.draws, chunk)
    sizes = [min(chunk, experiment.draws - first) for first in firsts]
    return [
        Span(experiment.seed, first, size, experiment.weeks)
        for first, size in zip(firsts, sizes, strict=True)
    ]


def run(experiment: Experiment, span: Span) -> tuple[Outcome, ...]:
    """Simulate one span of draws in every arm, with the same parameters and the same luck."""
    parameters = hazards.sample(experiment.hazards, span.seed, span.first_draw, span.draws)
    return tuple(
        funnel.simulate(experiment.start, tables.tabulate(parameters, arm, span), arm, span)
        for arm in experiment.arms
    )


def joined(parts: Sequence[tuple[Outcome, ...]]) -> tuple[Outcome, ...]:
    """Put the outcomes of consecutive spans together, arm by arm."""
    return tuple(
        Outcome(*(np.concatenate(arrays) for arrays in zip(*arm, strict=True)))
        for arm in zip(*parts, strict=True)
    )
