"""The person-period table: one row per step in which a unit was open, as known when it was.

Steps are those of the calendar that ends at T: [T - 7 d, T), the one before, and so on. They are
the steps that a simulation from T makes, so that a unit that is open at T is learnt from units seen
at just such moments, a shock that all feel in a step falls into one step of everybody's, and T cuts
no step short. On each unit's own clock, from its creation on, a common shock would be spread over
two steps, and lose half its variance.

The stage of a row is what was known at the beginning of the step, its destination what was known
at the end. So a late entry is a move of the step in which it was learnt, a correction may be a move
back, and what was learnt after a moment never changes a row that ends by then. In its first step a
unit becomes known at some moment within it: such a row counts half, as a unit that arrives in a
simulated step takes part in it with chance one half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from serving.forecast import standing

if TYPE_CHECKING:
    from serving.forecast.funnels import Funnel
    from serving.forecast.units import Course

FIRST_EXPOSURE = 0.5
OUTCOMES = ("stay", "advance", "regress", "won", "lost")


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """The rows, one element each; times are microseconds since 1970."""

    funnel: Funnel
    bounds: np.ndarray  # int64 [steps + 1], where the steps begin; the last is T
    unit: np.ndarray  # int64, place in the course
    step: np.ndarray  # int64, place in the bounds
    begins: np.ndarray  # int64, when the row begins: its step, or when the unit became known
    stage: np.ndarray  # int64
    stayed: np.ndarray  # int64, whole steps in the stage
    then: np.ndarray  # int64, the state at the end
    is_first: np.ndarray  # bool

    def __len__(self) -> int:
        return len(self.unit)

    @property
    def exposure(self) -> np.ndarray:
        """How much of a step each row is: float64."""
        return np.where(self.is_first, FIRST_EXPOSURE, 1.0)

    @property
    def is_forward(self) -> np.ndarray:
        """Did the row end in a later stage, or won?"""
        return (self.then > self.stage) & (self.then <= self.funnel.won_state)

    @property
    def outcome(self) -> np.ndarray:
        """The place of what happened in OUTCOMES: int64."""
        won, lost = self.funnel.won_state, self.funnel.lost_state
        conditions = [
            *(self.then == won, self.then == lost),
            *(self.then > self.stage, self.then < self.stage),
        ]
        return np.select(conditions, [3, 4, 1, 2], 0)

    def frame(self, names: np.ndarray) -> pd.DataFrame:
        """Return the rows in words, with the names of the units."""
        states = np.array(self.funnel.states, object)
        return pd.DataFrame(
            {
                "unit": names[self.unit],
                "step_start": pd.to_datetime(self.bounds[self.step], unit="us", utc=True),
                "stage": states[self.stage],
                "steps_in_stage": self.stayed,
                "destination": states[self.then],
                "outcome": np.array(OUTCOMES, object)[self.outcome],
                "exposure": self.exposure,
            }
        )


def table(course: Course) -> Person:
    """Build the table of all steps that ended by the time of the course."""
    funnel = course.funnel
    bounds = _bounds(course)
    rows = standing.walk(course.moves, bounds, funnel.won_state)
    start = bounds[rows.step]
    begun = np.where(rows.state < funnel.first_deal, 0, funnel.first_deal)
    stayed = np.where(rows.is_first, 0, (start - rows.since) // funnel.step)
    return Person(
        funnel=funnel,
        bounds=bounds,
        unit=rows.unit,
        step=rows.step,
        begins=np.where(rows.is_first, rows.since, start),
        # a unit that was first seen further on began where all do
        stage=np.where(rows.is_first, begun, rows.state),
        stayed=stayed,
        then=rows.then,
        is_first=rows.is_first,
    )


def _bounds(course: Course) -> np.ndarray:
    """Return where steps begin, from before the first event that was known on, to T."""
    step, holds = course.funnel.step, course.moves.holds
    past = int(course.at - holds.min()) if len(holds) else 0
    return course.at - step * np.arange(max(past, 0) // step + 1, -1, -1)
