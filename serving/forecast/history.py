"""What history says of contacts: how often units were contacted, and how long they were under it.

Contacts are the treated lots of an action; where the log holds none, the activities of reps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.targets import Named
from serving.forecast import standing

if TYPE_CHECKING:
    from serving.forecast.person import Person
    from serving.forecast.units import Course

CONTROL = "control"


class Past(NamedTuple):
    """Of the steps that units spent in some stages."""

    contacted: float = 0.0  # share under a contact
    per_step: float = 0.0  # contacts made in a step
    counted: str = "nothing"  # what was counted as a contact


NOTHING = Past()


def past(course: Course, rows: Person, action: str, *, stages: frozenset[int], lasts: int) -> Past:
    """Return what history says of an action in some stages, a contact being in force for so many
    steps.
    """
    chosen = np.isin(rows.stage, sorted(stages))
    exposure = rows.exposure[chosen]
    counted, places = _contacts(course, action)
    if not len(places) or not exposure.sum():
        return NOTHING
    unit = course.units(places)
    time = log.microseconds(course.events["event_time"].take(pa.array(places)))
    last = course.versions(places, unit, len(course.names), time)
    when = standing.latest(last, rows.unit[chosen], rows.begins[chosen], none=-log.NEVER)
    under = rows.begins[chosen] - lasts * rows.funnel.step <= when
    made = _within(rows, chosen, unit, time)
    whole = float(exposure.sum())
    return Past(float(exposure @ under) / whole, made / whole, counted)


def _contacts(course: Course, action: str) -> tuple[str, np.ndarray]:
    """Return what is counted as contacts, and the places of those that stand at T."""
    places = _standing(course, Named(kind="intervention", names=(action,)))
    text = pc.fill_null(course.events["text"].take(pa.array(places)), "").to_numpy()
    places = places[text != CONTROL]
    if len(places):
        return f"treated lots of '{action}'", places
    return "activities of reps", _standing(course, Named(kind="activity"))


def _standing(course: Course, named: Named) -> np.ndarray:
    places = course.told([named])
    places = places[course.replaced[places] == log.NEVER]
    time = log.microseconds(course.events["event_time"].take(pa.array(places)))
    return np.asarray(places[time < course.at])


def _within(rows: Person, chosen: np.ndarray, unit: np.ndarray, time: np.ndarray) -> int:
    """Return how many contacts fall into the chosen rows."""
    steps = len(rows.bounds)
    step = np.searchsorted(rows.bounds, time, side="right") - 1
    asked = rows.unit[chosen] * steps + rows.step[chosen]
    return int(np.isin(unit * steps + step, asked)[(unit >= 0) & (step >= 0)].sum())
