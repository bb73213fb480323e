"""Groups: segment, team and owner of units, as known at a moment.

An attribute of the deal says it, else one of the lead, else one of the account; an attribute
without a text takes back what was said. A key, such as that of the rep, is the one that the newest
of the funnel's events names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.targets import Named
from serving.forecast import standing

if TYPE_CHECKING:
    from serving.forecast.funnels import Told
    from serving.forecast.standing import Versions
    from serving.forecast.units import Course

UNKNOWN = ""


class _Level(NamedTuple):
    versions: Versions
    of_unit: np.ndarray  # int64, the key of each unit


@dataclass(frozen=True, kw_only=True, eq=False)
class Property:
    """What is told of units: words, of which the first is unknown, and who says them."""

    words: tuple[str, ...]
    levels: tuple[_Level, ...]  # the first that tells anything is believed

    def at(self, unit: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """Return the place of the word that holds for each unit at each moment: int64."""
        found = np.full(len(unit), standing.NOTHING)
        for versions, of_unit in self.levels:
            here = standing.latest(versions, of_unit[unit], moment)
            found = np.where(found >= 0, found, here)
        return np.asarray(np.maximum(found, 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """The groups of some units: segment, team and owner of each, and whose capacity they share."""

    names: tuple[tuple[str, str, str], ...]
    segments: tuple[str, ...]
    desks: tuple[str, ...]  # a team each, or all together
    segment_of: np.ndarray  # int64 [groups]
    desk_of: np.ndarray  # int64 [groups]
    of_unit: np.ndarray  # int64 [units], -1 for those that were not asked about


def told(course: Course, what: Told | None) -> Property:
    """Return what the events tell of a property; without one nothing is known."""
    if what is None:
        return Property(words=(UNKNOWN,), levels=())
    return _key(course, what.key) if what.key else _attribute(course, str(what.attribute))


def groups(course: Course, units: np.ndarray, segment: Property) -> Groups:
    """Return the groups of some units as known at T; there is one at least."""
    properties = (segment, *(told(course, each) for each in course.funnel.told[1:]))
    now = np.full(len(units), course.at)
    codes = np.stack([each.at(units, now) for each in properties], axis=1)
    found, place = np.unique(codes, axis=0, return_inverse=True)
    if not len(found):
        found = np.zeros((1, len(properties)), np.int64)
    of_unit = np.full(len(course.names), -1)
    of_unit[units] = place.ravel()
    words = [each.words for each in properties]
    names = tuple((words[0][s], words[1][t], words[2][o]) for s, t, o in found.tolist())
    teams, desk_of = np.unique(found[:, 1], return_inverse=True)
    return Groups(
        names=names,
        segments=segment.words,
        desks=tuple(words[1][team] for team in teams.tolist()),
        segment_of=found[:, 0].copy(),  # the kernel is compiled for arrays without gaps
        desk_of=desk_of.ravel(),
        of_unit=of_unit,
    )


def _key(course: Course, key: str) -> Property:
    places = course.told([event for _, event in course.funnel.declared])
    said = course.events[key].take(pa.array(places))
    there = said.is_valid().to_numpy()
    words, codes = _worded(said.filter(pa.array(there)))
    places = places[there]
    units = len(course.names)
    versions = course.versions(places, course.units(places), units, codes)
    return Property(words=words, levels=(_Level(versions, np.arange(units)),))


def _attribute(course: Course, name: str) -> Property:
    places = course.told([Named(kind="attribute", names=(name,))])
    rows = course.events.take(pa.array(places))
    words, codes = _worded(rows["text"])
    keys, members = course.keys, course.members
    deal, lead, account = (
        pc.fill_null(pc.index_in(rows[column].cast(pa.string()), known), -1).to_numpy()
        for column, known in (
            ("opportunity", keys.opportunities),
            ("lead", keys.leads),
            ("account", keys.accounts),
        )
    )
    alone = rows["opportunity"].is_null().to_numpy() & rows["lead"].is_null().to_numpy()
    several = (
        (deal, len(keys.opportunities), members.opportunity),
        (lead, len(keys.leads), members.lead),
        (np.where(alone, account, -1), len(keys.accounts), members.account),
    )
    levels = (
        _Level(course.versions(places, key, count, codes), of_unit)
        for key, count, of_unit in several
    )
    return Property(words=words, levels=tuple(levels))


def _worded(said: pa.ChunkedArray) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the distinct words in order behind UNKNOWN, and the place of each; null is
    unknown."""
    plain = said.cast(pa.string())
    distinct = pc.unique(plain).drop_null().sort()
    codes = pc.fill_null(pc.index_in(plain, distinct), -1).to_numpy()
    return (UNKNOWN, *distinct.to_pylist()), codes.astype(np.int64) + 1
