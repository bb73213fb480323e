"""What was known at an origin, as the simple forecasts of the past need it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

UNIT_COLUMNS = ("back", "stage", "amount", "won_in", "won_amount")
COMMIT_COLUMNS = ("chance", "closes_in")  # may be missing


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """One series and measure as known at one origin; nothing that was learnt later may be in it.

    `units` has one row per unit that was open at a moment `back` steps before the origin, for every
    moment at which one looked; the origin is moment 0 and must be one. Columns: back (int64), stage
    (int64), amount (float64: 1 for a count), won_in (float64: in which step after the moment it was
    won, from 1; NaN if it was not, or was not by the origin), won_amount (float64: what `won` has
    of it; NaN likewise), and where a rep gives them chance (float64, 0 to 1, as said at the moment)
    and closes_in (float64, the step of the expected close, as won_in).
    """

    won: np.ndarray  # float64 [steps], of each whole step before the origin, oldest first
    units: pd.DataFrame
    period: int  # steps of a sales period, such as 13 weeks
    year: int  # steps of a year
    into: int  # steps of the current period that have passed, 0 at its start
    is_count: bool  # are units counted, or money?

    def __post_init__(self) -> None:
        missing = [name for name in UNIT_COLUMNS if name not in self.units]
        if missing:
            raise ValueError(f"units have the columns {UNIT_COLUMNS}, got none of {missing}")
        if len(self.units) and (self.units["won_in"] > self.units["back"]).any():
            raise ValueError("what was won after the origin was not known at it: won_in <= back")
        if not 0 <= self.into < self.period:
            raise ValueError(f"0 <= into < period must hold, got {self.into} of {self.period}")

    @property
    def steps(self) -> int:
        """The whole steps before the origin."""
        return len(self.won)

    def total(self, back: int, horizon: int) -> float:
        """Return what was won in the `horizon` steps from `back` steps before the origin on."""
        first = self.steps - back
        return float(self.won[first : first + horizon].sum())


class Tally(NamedTuple):
    """The units of `Known` by moment and stage, the oldest moment first."""

    back: np.ndarray  # int64 [moments], falling; the last is 0, the origin
    open: np.ndarray  # float64 [moments, stages], units
    amount: np.ndarray  # float64 [moments, stages]
    won: np.ndarray  # float64 [moments, stages], units won within the horizon
    won_amount: np.ndarray  # float64 [moments]


def tally(known: Known, horizon: int) -> Tally:
    """Count the units at each moment of which the steps are known, and those won within so many
    steps.
    """
    units = known.units[known.units["back"] <= known.steps]
    back, place = np.unique(-np.append(units["back"], 0), return_inverse=True)
    stage = units["stage"].to_numpy(np.int64)
    stages = int(stage.max(initial=0)) + 1
    cell, shape = place[:-1] * stages + stage, (len(back), stages)
    is_won = (units["won_in"] <= horizon).to_numpy()

    def by(weight: np.ndarray) -> np.ndarray:
        return np.bincount(cell, weight, len(back) * stages).reshape(shape)

    return Tally(
        back=-back,
        open=by(np.ones(len(units))),
        amount=by(units["amount"].to_numpy(float)),
        won=by(is_won.astype(float)),
        won_amount=by(np.where(is_won, units["won_amount"].to_numpy(float), 0.0)).sum(axis=1),
    )
