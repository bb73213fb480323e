"""Rows: who was given what and when, and what came of it, from the log as known at a moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log, spine
from serving.effects import causes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from features.targets import Named
    from serving.effects.definition import Definition
    from serving.forecast.units import Course

DAY = 86_400_000_000  # microseconds
PPM = 1_000_000
NOBODY = -1


class Events(NamedTuple):
    """Events about rows, by row and time; one element each."""

    row: np.ndarray  # int64
    days: np.ndarray  # float64, from T of the row, below 0 before it
    number: np.ndarray  # float64, 0 where it tells none

    def first(self, rows: int, since: float = 0.0) -> np.ndarray:
        """Return when the first of each row after `since` was, and since then; inf for none."""
        found = np.full(rows, np.inf)
        there = self.days > since
        np.minimum.at(found, self.row[there], self.days[there] - since)
        return found

    def total(self, rows: int, since: float, h: float) -> np.ndarray:
        """Return the sum of the numbers of each row within h of `since`."""
        there = (self.days > since) & (self.days <= since + h)
        return np.bincount(self.row[there], self.number[there], minlength=rows)

    def before(self, rows: int, days: float) -> np.ndarray:
        """Return which rows had one in so many days before T."""
        found = np.zeros(rows, bool)
        found[self.row[(self.days < 0) & (self.days >= -days)]] = True
        return found

    def filter(self, keep: np.ndarray) -> Events:
        """Return those about the rows kept, (rows,) bool, with their new numbers."""
        number = np.cumsum(keep) - 1
        there = keep[self.row]
        return Events(number[self.row[there]], self.days[there], self.number[there])


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """One row per entity that was given an arm; (n,) arrays."""

    entity: np.ndarray  # object, its key
    time: np.ndarray  # int64, T in microseconds; features are those known then
    since: float  # days from T on which outcomes are counted
    arm: np.ndarray  # int64, 0 for control
    arms: tuple[str, ...]
    chance: np.ndarray  # (n, arms) float64, as logged; NaN where it was not
    cluster: np.ndarray  # int64, the account, or the entity where it has none
    followed: np.ndarray  # float64, days from T + since
    outcomes: Mapping[str, Events]
    before: Mapping[str, Events]
    causes: Mapping[str, np.ndarray]  # float64, days from T + since to each; inf for never
    names: tuple[str, ...] = ()  # of the columns of features
    features: np.ndarray | None = None  # (n, f) float32
    segments: Mapping[str, np.ndarray] | None = None  # object, words

    def __len__(self) -> int:
        return len(self.arm)

    def filter(self, keep: np.ndarray) -> Self:
        """Return the rows kept, (n,) bool."""
        told = {name: of.filter(keep) for name, of in self.outcomes.items()}
        before = {name: of.filter(keep) for name, of in self.before.items()}
        arrays = ("entity", "time", "arm", "chance", "cluster", "followed")
        found = {name: getattr(self, name)[keep] for name in arrays}
        return replace(
            self,
            **found,
            outcomes=told,
            before=before,
            causes={name: days[keep] for name, days in self.causes.items()},
            features=None if self.features is None else self.features[keep],
            segments={n: words[keep] for n, words in (self.segments or {}).items()},
        )

    @property
    def asked(self) -> pa.Table:
        """The rows as features are asked for: ASKED columns of a spine."""
        time = pa.array(self.time).cast(log.MICROSECONDS)
        return pa.table({"entity": pa.array(self.entity, pa.string()), "time": time},
                        schema=spine.ASKED)  # fmt: skip


class _Drawn(NamedTuple):
    entity: np.ndarray  # object
    time: np.ndarray
    arm: np.ndarray
    chance: np.ndarray  # (n, arms)
    account: np.ndarray  # object, None for none


def rows(
    definition: Definition, events: pa.Table, as_of: datetime, course: Course | None = None
) -> Rows:
    """Return the rows of a definition from rows of the log (COLUMNS of serving.forecast.units), as
    known at a moment; with the courses of its funnel, if it has one: then a row is of a unit that
    had begun by T and was open at T + since.
    """
    seen = log.visible(events, as_of)
    lots = definition.lots
    drawn = _drawn(definition, seen) if lots.anchor is None else _of_history(definition, seen)
    return _followed(definition, seen, as_of, drawn, course)


def pool(
    definition: Definition, events: pa.Table, as_of: datetime, course: Course | None = None
) -> Rows:
    """Return the rows of all for whom lots could have been drawn, from when they were born, as if
    all were control: what an experiment has to go by.
    """
    seen = log.visible(events, as_of)
    drawn = _born(definition, seen)
    return _followed(definition, seen, as_of, drawn, course)


def _followed(
    definition: Definition,
    seen: pa.Table,
    as_of: datetime,
    drawn: _Drawn,
    course: Course | None,
) -> Rows:
    lots, at = definition.lots, int(pa.scalar(as_of, log.MICROSECONDS).cast(pa.int64()).as_py())
    since = lots.within_days or 0.0
    followed = (at - drawn.time) / DAY - since - definition.settle_days
    found = Rows(
        entity=drawn.entity,
        time=drawn.time,
        since=since,
        arm=drawn.arm,
        arms=lots.names,
        chance=drawn.chance,
        cluster=_clusters(drawn),
        followed=followed,
        outcomes={o.name: _events(definition, seen, o.events, drawn) for o in definition.outcomes},
        before={o.name: _events(definition, seen, o.events, drawn)
                for o in definition.negative_controls},
        causes={},
    )  # fmt: skip
    keep = followed > 0
    if course is not None:
        begun, moved = causes.of(course, definition.entity, drawn.entity, drawn.time)
        found = replace(found, causes={n: days - since for n, days in moved.items()})
        keep &= begun & np.all([days > 0 for days in found.causes.values()], axis=0)
    return found.filter(keep)


def _drawn(definition: Definition, events: pa.Table) -> _Drawn:
    """Return the first lot of every entity."""
    lots, arms = definition.lots, definition.lots.names
    there = _told(events, lots.events, definition.entity)
    text = there["text"].cast(pa.string()).to_numpy(zero_copy_only=False)
    says = {said: n for n, arm in enumerate(arms) for said in lots.arms[arm]}
    arm = np.array([says.get(each, NOBODY) for each in text], np.int64)
    there, arm = there.filter(pa.array(arm >= 0)), arm[arm >= 0]
    first = _firsts(there, definition.entity)
    there, arm = there.take(pa.array(first)), arm[first]
    number = pc.fill_null(there["number"].cast(pa.float64()), np.nan).to_numpy() / PPM
    return _Drawn(
        entity=_words(there[definition.entity]),
        time=log.microseconds(there["event_time"]).copy(),
        arm=arm,
        chance=_chances(number, arm, len(arms), lots.chance),
        account=_words(there["account"]),
    )


def _chances(number: np.ndarray, arm: np.ndarray, arms: int, of: str | None) -> np.ndarray:
    """Return the chance of every arm; what is left by the arm that was drawn is shared alike."""
    found = np.full((len(arm), arms), np.nan)
    if of == "treated":
        found[:] = np.column_stack([1.0 - number, number])
    elif of == "drawn":
        found[:] = ((1.0 - number) / (arms - 1))[:, None]
        found[np.arange(len(arm)), arm] = number
    return found


def _of_history(definition: Definition, events: pa.Table) -> _Drawn:
    """Return each entity's anchor as T, treated when the event came within so many days."""
    lots, key = definition.lots, definition.entity
    assert lots.anchor is not None and lots.within_days is not None
    there = _told(events, lots.anchor, key)
    there = there.take(pa.array(_firsts(there, key)))
    time = log.microseconds(there["event_time"]) + round(lots.delay_days * DAY)
    none = np.full((len(time), 2), np.nan)
    drawn = _Drawn(_words(there[key]), time, np.zeros(len(time), np.int64), none,
                   _words(there["account"]))  # fmt: skip
    came = _events(definition, events, lots.events, drawn).first(len(time))
    return drawn._replace(arm=(came < lots.within_days).astype(np.int64))


def _born(definition: Definition, events: pa.Table) -> _Drawn:
    """Return each entity when it was born, a microsecond later, as control."""
    key, arms = definition.entity, len(definition.lots.names)
    there = _told(events, definition.born, key)
    there = there.take(pa.array(_firsts(there, key)))
    time = log.microseconds(there["event_time"]) + 1
    none = np.full((len(time), arms), np.nan)
    return _Drawn(_words(there[key]), time, np.zeros(len(time), np.int64), none,
                  _words(there["account"]))  # fmt: skip


def _told(events: pa.Table, named: Named, key: str) -> pa.Table:
    """Return the events of a kind and name that name an entity."""
    there = events.filter(log.named(events, named.kind, named.names))
    return there.filter(there[key].is_valid())


def _firsts(there: pa.Table, key: str) -> np.ndarray:
    """Return the place of the earliest event of each entity."""
    codes = there[key].combine_chunks().cast(pa.string()).dictionary_encode().indices.to_numpy()
    ids = log.halves(there["event_id"])
    order = np.lexsort((*reversed(ids), log.microseconds(there["event_time"]), codes))
    return np.asarray(order[np.unique(codes[order], return_index=True)[1]])


def _events(definition: Definition, events: pa.Table, named: Named, drawn: _Drawn) -> Events:
    """Return the events of a kind and name about the entities that drew a lot."""
    there = _told(events, named, definition.entity)
    keys = there[definition.entity].cast(pa.string())
    found = pc.fill_null(pc.index_in(keys, pa.array(drawn.entity, pa.string())), NOBODY)
    row = np.asarray(found.to_numpy(), np.int64)
    there, row = there.filter(pa.array(row >= 0)), row[row >= 0]
    days = (log.microseconds(there["event_time"]) - drawn.time[row]) / DAY
    number = pc.fill_null(there["number"].cast(pa.float64()), 0.0).to_numpy()
    order = np.lexsort((days, row))
    return Events(row[order], days[order], number[order])


def _clusters(drawn: _Drawn) -> np.ndarray:
    """Return the account of each row by number, its own where it has none."""
    names, code = np.unique([each or "" for each in drawn.account], return_inverse=True)
    alone = np.array([each is None for each in drawn.account], bool)
    return np.asarray(np.where(alone, len(names) + np.arange(len(code)), code))


def _words(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.string()).to_numpy(zero_copy_only=False), object)
