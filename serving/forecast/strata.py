"""Strata: units banded by the score that was the latest when a step began.

Only the order of the scores counts, among those made of units of the same stage: the chances of
each band are learnt from what became of its units. So a model that is wrong does no harm, and one
that ranks at random tells nothing. Scores of several models, such as one of leads and one of deals,
have bands of their own; the latest score of a unit counts, whichever model made it.

A simulated unit keeps the stratum that it has at T, or when it arrives, over all steps ahead, while
scores rise and fall. So chances are learnt from rows whose stratum is as old: that of a landmark up
to as many steps before (van Houwelingen, "Dynamic prediction by landmarking in event history
analysis", Scandinavian Journal of Statistics 34, 2007). With the stratum of the day, the units of
the highest band would soon be used up, and nobody would follow them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from serving.forecast import standing

if TYPE_CHECKING:
    from serving.forecast.person import Person
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


class Scored(NamedTuple):
    """The scores of one target, of leads or of deals."""

    name: str
    entity: Literal["lead", "opportunity"]
    rows: pa.Table  # of SCORES
    bands: int = 5  # of equal size


@dataclass(frozen=True, kw_only=True, eq=False)
class Strata:
    """The stratum of every score, and the scores by unit."""

    count: int
    # int64, by place in the scores: 1 for the lowest of the first model, NO_SCORE for scores of
    # nobody known, or made later
    of_score: np.ndarray
    versions: Versions | None  # by unit, the place in the scores; None: there are none
    names: tuple[str, ...] = ("",)  # of the targets, by stratum; empty where there is no score
    told: np.ndarray | None = None  # float64 [stages], 0 to 1: how much they tell of the stage

    def at(self, unit: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """Return the stratum of each unit at each moment: NO_SCORE, or that of its latest score."""
        if self.versions is None:
            return np.full(len(unit), NO_SCORE)
        place = standing.latest(self.versions, unit, moment)
        return np.asarray(np.append(self.of_score, NO_SCORE)[place])  # -1 finds the last


class _Several(NamedTuple):
    """The scores of all models, one element each."""

    model: np.ndarray  # int64
    unit: np.ndarray  # int64, -1 where none is known, or the score was made after the course
    time: np.ndarray  # int64, microseconds
    score: np.ndarray  # float64


def strata(course: Course, scored: tuple[Scored, ...], at: tuple[np.ndarray, np.ndarray]) -> Strata:
    """Cut the scores of each model, stage by stage, into bands that hold as many of some units at
    some moments each; without scores all are in one stratum. Scores made after the time of the
    course are left out; where no others are left there are none.
    """
    several = _several(course, scored) if scored else None
    if several is None or not (several.unit >= 0).any():
        return Strata(count=1, of_score=np.empty(0, np.int64), versions=None)
    versions = _versions(course, several)
    stage = standing.latest(course.moves, several.unit, several.time)
    used = standing.latest(versions, *at)
    used = used[used >= 0]
    first = 1 + np.cumsum([0, *(each.bands for each in scored)])
    found, is_there = np.full(len(several.score), NO_SCORE), several.unit >= 0
    for model, each in enumerate(scored):
        for place in np.unique(stage):
            mine = np.flatnonzero(is_there & (several.model == model) & (stage == place))
            seen = several.score[used[(several.model[used] == model) & (stage[used] == place)]]
            found[mine] = first[model] + _banded(several.score[mine], seen, each.bands)
    names = [each.name for each in scored for _ in range(each.bands)]
    return Strata(count=len(names) + 1, of_score=found, versions=versions, names=("", *names))


def landmarks(rows: Person, steps: int) -> np.ndarray:
    """Return the moment whose scores tell each row apart, int64: 0 to `steps` - 1 steps before it
    begins, as the unit's lot has it, but not before the unit was known.
    """
    known = np.zeros(int(rows.unit.max(initial=-1)) + 1, np.int64)
    known[rows.unit[rows.is_first]] = rows.begins[rows.is_first]
    age = (rows.step + rows.unit) % steps
    return np.asarray(np.maximum(rows.begins - age * rows.funnel.step, known[rows.unit]))


def _banded(scores: np.ndarray, seen: np.ndarray, bands: int) -> np.ndarray:
    """Return the band of each score, from 0, by the quantiles of those that were seen."""
    inner = np.arange(1, bands) / bands
    edges = np.quantile(seen, inner) if len(seen) else np.full(bands - 1, np.inf)
    return np.asarray(np.searchsorted(edges, scores, side="right"))


def _several(course: Course, scored: tuple[Scored, ...]) -> _Several:
    parts = [_of(course, model, each) for model, each in enumerate(scored)]
    return _Several(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _of(course: Course, model: int, each: Scored) -> _Several:
    keys = course.keys
    is_lead = each.entity == "lead"
    known = keys.leads if is_lead else keys.opportunities
    of_key = keys.unit_of_lead if is_lead else keys.unit_of_opportunity
    entity = each.rows["entity"].cast(pa.string())
    code = pc.fill_null(pc.index_in(entity, known), -1).to_numpy()
    unit = np.append(of_key, -1)[code]  # the code -1 finds the last
    time = log.microseconds(each.rows["time"])
    return _Several(
        model=np.full(len(time), model),
        unit=np.where(time <= course.at, unit, -1),
        time=time,
        score=each.rows["score"].to_numpy().astype(np.float64),
    )


def _versions(course: Course, several: _Several) -> Versions:
    """Return by unit the place of its scores; one that was made at a moment may be used at it."""
    never = np.full(len(several.time), log.NEVER)
    times = (several.time - 1, several.time, never)
    places = np.arange(len(several.time))
    return standing.versions(len(course.names), several.unit, places, times)
