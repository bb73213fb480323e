"""Spines: which entities at which moments. Pure functions from the events of a bucket to rows to be
given features.

A training spine has the label and its maturity; a scoring spine has every entity that is open now,
a backfill spine every one that was open at each of several moments. A row of these is of an entity
that was eligible at its T. A given spine has the rows that somebody asks for, open or not.

What is known at T decides whether an entity is there, closed and eligible at T; labels are those
known at `as_of`. An entity is in the bucket that holds its anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import eligible, log
from features.targets import Named

if TYPE_CHECKING:
    from features.targets import Target

DAY = 86_400_000_000  # microseconds
ASKED = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        pa.field("time", log.MICROSECONDS, nullable=False),
    ]
)
SCORING = ASKED.insert(1, pa.field("account", pa.string()))
TRAINING = pa.schema([*SCORING, pa.field("label", pa.bool_()), pa.field("mature", pa.bool_())])

type Ints = np.ndarray  # int64, one-dimensional
type Flags = np.ndarray  # bool


def training(target: Target, events: pa.Table, as_of: datetime) -> pa.Table:
    """Return the labelled rows of `target` that the events give, as known at `as_of`: those of
    entities whose anchor was known at T, as in scoring.
    """
    facts, at = _Facts(target, events), _micros(as_of)
    rows = facts.known(_repeated(target, facts.versions(target.anchor).standing(at).first()))
    return eligible.only(target, events, facts.labelled(rows, at))


def outcomes(target: Target, events: pa.Table, asked: pa.Table, as_of: datetime) -> pa.Table:
    """Return those of the rows asked for (ASKED columns) that were open at T, with what is known at
    `as_of` of what became of them: TRAINING columns.
    """
    facts = _Facts(target, events)
    return facts.labelled(facts.asked(asked), _micros(as_of))


def scoring(target: Target, events: pa.Table, at: datetime) -> pa.Table:
    """Return one row per entity of `target` that is open at `at`."""
    return backfill(target, events, [at])


def backfill(target: Target, events: pa.Table, moments: Sequence[datetime]) -> pa.Table:
    """Return the scoring spines of several moments, each as known then, as one."""
    facts, times = _Facts(target, events), np.sort([_micros(moment) for moment in moments])
    count = len(facts.entities)
    every = np.repeat(np.arange(count), len(times))
    rows = facts.known(_Rows(entity=every, time=np.tile(times, count), anchor=_none(every)))
    closings = facts.versions(*target.closings)
    is_open = closings.known_before(rows) < 0
    return eligible.only(target, events, facts.table(rows.filter(is_open)))


def given(target: Target, events: pa.Table, asked: pa.Table) -> pa.Table:
    """Return those of the rows asked for (ASKED columns) whose entity's anchor is known at T."""
    facts = _Facts(target, events)
    return facts.table(facts.asked(asked))


def chosen(target: Target, events: pa.Table, entities: list[str], at: datetime) -> pa.Table:
    """Return one row as of `at` per entity asked for whose anchor is known by then, open or not."""
    names = sorted(set(entities))
    asked = pa.table({"entity": names, "time": [at] * len(names)}, schema=ASKED)
    return given(target, events, asked)


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Rows in the making; (rows,) arrays."""

    entity: Ints  # place in the entities
    time: Ints  # T in microseconds
    anchor: Ints  # place of the anchor in the events, -1 while it is not known

    def filter(self, keep: Flags | Ints) -> _Rows:
        return _Rows(entity=self.entity[keep], time=self.time[keep], anchor=self.anchor[keep])


@dataclass(frozen=True, kw_only=True)
class _Versions:
    """Versions of events by entity, then moment, known_at and event id; (versions,) arrays."""

    count: int  # of entities
    entity: Ints
    place: Ints  # in the events
    moment: Ints  # event_time
    known: Ints
    replaced: Ints  # when a later version was known

    def filter(self, keep: Flags | Ints) -> _Versions:
        return _Versions(
            count=self.count,
            entity=self.entity[keep],
            place=self.place[keep],
            moment=self.moment[keep],
            known=self.known[keep],
            replaced=self.replaced[keep],
        )

    def standing(self, at: int) -> _Versions:
        """Those that are known at a moment and not replaced by then, whenever they happen."""
        return self.filter((self.known <= at) & (at < self.replaced))

    def first(self) -> _Versions:
        """The earliest of each entity."""
        return self.filter(np.unique(self.entity, return_index=True)[1])

    def firsts(self) -> Ints:
        """When the earliest of each entity is, NEVER for none: (entities,)."""
        moments = np.full(self.count, log.NEVER)
        first = self.first()
        moments[first.entity] = first.moment
        return moments

    def known_before(self, rows: _Rows, *, last: bool = False) -> Ints:
        """The earliest (or the last) before T, of those that stand at T, by its number here; -1
        for none.
        """
        row, version = self.beside(rows)
        time = rows.time[row]
        holds = (self.moment[version] < time) & (self.known[version] <= time)
        holds &= time < self.replaced[version]
        row, version = row[holds][:: -1 if last else 1], version[holds][:: -1 if last else 1]
        found = np.full(len(rows.entity), -1)
        of, first = np.unique(row, return_index=True)
        found[of] = version[first]
        return found

    def beside(self, rows: _Rows) -> tuple[Ints, Ints]:
        """Every row with every version of its entity, by their numbers."""
        starts = np.searchsorted(self.entity, rows.entity)
        counts = np.searchsorted(self.entity, rows.entity, side="right") - starts
        row = np.repeat(np.arange(len(starts)), counts)
        version = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts - starts, counts)
        return row, version


class _Facts:
    """What the events say of the entities of a target, those that have an anchor."""

    def __init__(self, target: Target, events: pa.Table) -> None:
        self._target = target
        self._events = events
        self._keys = events[target.entity].cast(pa.string())
        anchors = self._keys.filter(log.named(events, target.anchor.kind, target.anchor.names))
        self.entities = pc.unique(anchors).drop_null().sort()

    @cached_property
    def _replaced(self) -> Ints:
        return log.retracted_at(self._events)

    def versions(self, *named: Named) -> _Versions:
        """Return every version of some events."""
        masks = [log.named(self._events, each.kind, each.names).to_numpy() for each in named]
        place = np.flatnonzero(np.any(masks, axis=0)) if masks else np.empty(0, np.int64)
        entity = pc.index_in(self._keys.take(pa.array(place)), self.entities)
        is_ours = entity.is_valid().to_numpy()
        place, entity = place[is_ours], entity.drop_null().to_numpy().astype(np.int64)
        events = self._events.take(pa.array(place))
        moment, known = (log.microseconds(events[name]) for name in ("event_time", "known_at"))
        order = np.lexsort((*reversed(log.halves(events["event_id"])), known, moment, entity))
        return _Versions(
            count=len(self.entities),
            entity=entity,
            place=place,
            moment=moment,
            known=known,
            replaced=self._replaced[place],
        ).filter(order)

    def known(self, rows: _Rows) -> _Rows:
        """Return the rows whose entity's anchor lies before T and is known then."""
        anchors = self.versions(self._target.anchor)
        found = anchors.known_before(rows)
        is_there = found >= 0
        rows = rows.filter(is_there)
        return _Rows(entity=rows.entity, time=rows.time, anchor=anchors.place[found[is_there]])

    def asked(self, asked: pa.Table) -> _Rows:
        """Return those of the rows asked for whose anchor is known at T, by entity and time."""
        found = pc.fill_null(pc.index_in(asked["entity"], self.entities), -1).to_numpy()
        rows = _Rows(entity=found, time=log.microseconds(asked["time"]), anchor=_none(found))
        ordered = np.lexsort((rows.time, found))
        return self.known(rows.filter(ordered[found[ordered] >= 0]))

    def labelled(self, rows: _Rows, at: int) -> pa.Table:
        """Return the rows that were open at T, with label and maturity as known at a moment."""
        target = self._target
        label = self._labels(rows, at)
        closings = self.versions(*target.closed_by)
        is_open = (rows.time <= label) & (closings.known_before(rows) < 0) & (rows.time < at)
        end = rows.time + _days(target.horizon_days)
        is_positive = (rows.time <= label) & (label < end)
        mature = end + _days(target.settle_days) <= at
        if target.among_closed:
            closed = closings.standing(at).firsts()[rows.entity]
            mature &= is_positive | ((rows.time <= closed) & (closed < end))
        table = self.table(rows).append_column(TRAINING.field("label"), pa.array(is_positive))
        table = table.append_column(TRAINING.field("mature"), pa.array(mature))
        return table.filter(pa.array(is_open))

    def _labels(self, rows: _Rows, at: int) -> Ints:
        """When the label of each row is, as known at a moment; NEVER for none."""
        if self._target.label_moves:
            return self._moved(rows, at)
        first: Ints = self.versions(self._target.label).standing(at).firsts()[rows.entity]
        return first

    def _moved(self, rows: _Rows, at: int) -> Ints:
        """When each row's entity next enters a stage beyond the one in which it stood at T; before
        any it stands in the first.
        """
        order = pa.array(self._target.order)
        stages = self.versions(Named(kind=self._target.label.kind, names=self._target.order))
        names = self._events["name"].take(pa.array(stages.place)).cast(pa.string())
        rank: Ints = pc.index_in(names, order).to_numpy().astype(np.int64)
        last = stages.known_before(rows, last=True)
        stood = np.append(rank, 0)[last]  # -1 finds the 0
        row, version = stages.beside(rows)
        further = rank[version] - stood[row]
        if self._target.label_moves == "backward":
            further = -further
        counts = (further > 0) & (stages.moment[version] >= rows.time[row])
        counts &= (stages.known[version] <= at) & (at < stages.replaced[version])
        found = np.full(len(rows.entity), log.NEVER)
        np.minimum.at(found, row[counts], stages.moment[version][counts])
        return found

    def table(self, rows: _Rows) -> pa.Table:
        """Return rows as a table, in their order: SCORING columns."""
        columns = {
            "entity": self.entities.take(pa.array(rows.entity)),
            "account": self._events["account"].take(pa.array(rows.anchor)).cast(pa.string()),
            "time": pa.array(rows.time).cast(log.MICROSECONDS),
        }
        return pa.table(columns).cast(SCORING)


def _repeated(target: Target, anchors: _Versions) -> _Rows:
    """Return the rows of each anchor: at T, and again every so many days; T sees the anchor."""
    offsets = max(_days(target.delay_days), 1) + np.arange(target.times) * _days(target.every_days)
    entity = np.repeat(anchors.entity, target.times)
    time = (anchors.moment[:, None] + offsets).ravel()
    return _Rows(entity=entity, time=time, anchor=_none(entity))


def _none(entity: Ints) -> Ints:
    return np.full(len(entity), -1)


def _days(days: float) -> int:
    return round(days * DAY)


def _micros(moment: datetime) -> int:
    return pa.scalar(moment, log.MICROSECONDS).cast(pa.int64()).as_py()  # type: ignore[no-any-return]
