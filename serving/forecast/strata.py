"""Strata: units banded by the score that was the latest when a step began.

Only the order of the scores counts: the chances of each band are learnt from what became of its
units. So a model that is wrong does no harm, and one that ranks at random tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from serving.forecast import standing

if TYPE_CHECKING:
    from serving.forecast.standing import Versions
    from serving.forecast.units import Course

SCORES = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        pa.field("time", log.MICROSECONDS, nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
NO_SCORE = 0  # the stratum of units without one


@dataclass(frozen=True, kw_only=True, eq=False)
class Strata:
    """Scores by unit, and where they are cut."""

    count: int
    edges: np.ndarray  # float64 [bands - 1], rising
    scores: np.ndarray  # float64, those of `versions`
    versions: Versions | None  # by unit, the place in the scores

    def at(self, unit: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """Return the stratum of each unit at each moment: NO_SCORE, or 1 for the lowest scores."""
        if self.versions is None:
            return np.full(len(unit), NO_SCORE)
        place = standing.latest(self.versions, unit, moment)
        band = np.searchsorted(self.edges, self.scores[np.maximum(place, 0)], side="right")
        return np.where(place >= 0, 1 + band, NO_SCORE)


def strata(
    course: Course,
    scores: tuple[Literal["lead", "opportunity"], pa.Table] | None,
    at: tuple[np.ndarray, np.ndarray],
    bands: int = 5,
) -> Strata:
    """Cut scores (SCORES columns, of leads or of deals) into bands that hold as many of some units
    at some moments each; without scores all are in one stratum.
    """
    if scores is None:
        return Strata(count=1, edges=np.empty(0), scores=np.empty(0), versions=None)
    versions, values = _by_unit(course, *scores)
    place = standing.latest(versions, *at)
    found = values[place[place >= 0]]
    inner = np.arange(1, bands) / bands
    edges = np.quantile(found, inner) if len(found) else np.full(bands - 1, np.inf)
    return Strata(count=1 + bands, edges=edges, scores=values, versions=versions)


def _by_unit(course: Course, entity: str, scores: pa.Table) -> tuple[Versions, np.ndarray]:
    keys = course.keys
    is_lead = entity == "lead"
    known = keys.leads if is_lead else keys.opportunities
    of_key = keys.unit_of_lead if is_lead else keys.unit_of_opportunity
    code = pc.fill_null(pc.index_in(scores["entity"].cast(pa.string()), known), -1).to_numpy()
    unit = np.append(of_key, -1)[code]  # the code -1 finds the last
    time = log.microseconds(scores["time"])
    unit = np.where(time <= course.at, unit, -1)
    never = np.full(len(time), log.NEVER)
    # a score made at a moment may be used at it
    times = (time - 1, time, never)
    values = scores["score"].to_numpy().astype(np.float64)
    return standing.versions(len(course.names), unit, np.arange(len(time)), times), values
