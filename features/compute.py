"""Compute a view: events and a spine in, the spine with its feature columns out. Pure.

The same function runs in a batch job, in the service and in a replay. It does not depend on the
order of its input or on how entities are spread over calls, because every aggregate is an integer
sum or the latest event under a total order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import kernel, log
from features.spine import DAY
from features.views.language import Count, HoursSince, LastName, LastNumber, LastText, Mean, Sum

if TYPE_CHECKING:
    from collections.abc import Callable

    from features.views.language import Events, Feature, View

MICROSECONDS_PER_HOUR = 3_600_000_000
COLUMNS = (
    *("event_id", "row_key", "kind", "name", "event_time", "known_at"),
    *("account", "lead", "opportunity", "number", "text"),
)


def compute(view: View, events: pa.Table, spine: pa.Table) -> pa.Table:
    """Return `spine` (columns entity, account, time and any other) with one column per feature of
    `view`.
    """
    order = pc.sort_indices(spine, [("entity", "ascending"), ("time", "ascending")])
    rows = spine.take(order)
    prepared = _Prepared(events)
    groups = {of: _Groups.of(rows, of, view.entity) for of in {f.events.of for f in view.features}}
    for feature in view.features:
        column = _column(feature, prepared, groups[feature.events.of])
        rows = rows.append_column(pa.field(feature.name, feature.type), column)
    return rows


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Rows sorted by (group, T), where a group is the rows that share one key value."""

    key: str  # event column that names the group
    values: pa.Array  # key value per group
    starts: np.ndarray  # (groups + 1,) first sorted row of each group
    times: np.ndarray  # (rows,) T, sorted within its group
    back: np.ndarray  # (rows,) sorted position of each original row

    @classmethod
    def of(cls, rows: pa.Table, of: str, entity: str) -> _Groups:
        """Group rows by their `entity` column, or by the key column `of`."""
        encoded = pc.dictionary_encode(rows[of or "entity"].combine_chunks())
        codes = pc.fill_null(encoded.indices, len(encoded.dictionary)).to_numpy(
            zero_copy_only=False
        )
        times = log.microseconds(rows["time"])
        order = np.lexsort((times, codes))
        counts = np.bincount(codes, minlength=len(encoded.dictionary) + 1)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return cls(
            key=of or entity,
            values=encoded.dictionary,
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            times=times[order],
            back=back,
        )


class _Prepared:
    """The events of one call as arrays, newest first, each with the moment it was replaced."""

    def __init__(self, events: pa.Table) -> None:
        replaced = log.retracted_at(events)
        times = log.microseconds(events["event_time"])
        known = log.microseconds(events["known_at"])
        row, content = log.halves(events["event_id"])
        newest_first = np.lexsort((content, row, known, times))[::-1]
        self.events = events.take(pa.array(newest_first)).combine_chunks()
        self.times = times[newest_first]
        self.enter = np.maximum(self.times + 1, known[newest_first])
        self.replaced = replaced[newest_first]
        self._chosen: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}
        self._groups: dict[str, np.ndarray] = {}

    @cached_property
    def numbers(self) -> np.ndarray:
        """Numbers with 0 where there is none: (events,) int64."""
        numbers: np.ndarray = pc.fill_null(self.events["number"], 0).to_numpy()
        return numbers

    def chosen(self, events: Events) -> np.ndarray:
        """Return which events a feature looks at: (events,) bool."""
        key = (events.kind, events.names)
        if key not in self._chosen:
            wanted = log.named(self.events, events.kind, events.names)
            self._chosen[key] = wanted.to_numpy(zero_copy_only=False)
        return self._chosen[key]

    def group(self, groups: _Groups) -> np.ndarray:
        """Return the group of each event, or -1: (events,) int64."""
        if groups.key not in self._groups:
            found = pc.index_in(self.events[groups.key], value_set=groups.values)
            known = pc.fill_null(found, -1).to_numpy(zero_copy_only=False)
            self._groups[groups.key] = known.astype(np.int64)
        return self._groups[groups.key]


@dataclass(frozen=True, kw_only=True)
class _Cover:
    """Which events of a feature cover which rows."""

    chosen: np.ndarray  # (k,) index into the prepared events, newest first
    first: np.ndarray  # (k,) first sorted row covered
    last: np.ndarray  # (k,) one past the last
    rows: int

    def total(self, weight: np.ndarray) -> np.ndarray:
        """Sum of weights per sorted row."""
        return kernel.accumulated(self.first, self.last, weight, self.rows)

    def latest(self) -> np.ndarray:
        """Index of the latest prepared event per sorted row, or -1."""
        colour = kernel.painted(self.first, self.last, np.arange(len(self.chosen)), self.rows)
        if not len(self.chosen):
            return colour
        return np.where(colour < 0, -1, self.chosen[colour])


def _cover(feature: Feature, prepared: _Prepared, groups: _Groups) -> _Cover:
    group = prepared.group(groups)
    chosen = np.flatnonzero(prepared.chosen(feature.events) & (group >= 0))
    leave = prepared.replaced[chosen]
    if feature.window_days is not None:
        leave = np.minimum(leave, prepared.times[chosen] + feature.window_days * DAY + 1)
    first, last = kernel.runs(
        group[chosen],
        prepared.enter[chosen],
        leave,
        groups.starts,
        groups.times,
    )
    return _Cover(chosen=chosen, first=first, last=last, rows=len(groups.times))


def _column(feature: Feature, prepared: _Prepared, groups: _Groups) -> pa.Array:
    aggregate = _AGGREGATES[type(feature)]
    values = aggregate(_cover(feature, prepared, groups), prepared, groups)
    return values.take(pa.array(groups.back)).cast(feature.type)


def _count(cover: _Cover, prepared: _Prepared, groups: _Groups) -> pa.Array:
    return pa.array(cover.total(np.ones(len(cover.chosen), np.int64)))


def _sum(cover: _Cover, prepared: _Prepared, groups: _Groups) -> pa.Array:
    return pa.array(cover.total(prepared.numbers[cover.chosen]))


def _mean(cover: _Cover, prepared: _Prepared, groups: _Groups) -> pa.Array:
    valid = pc.is_valid(prepared.events["number"]).to_numpy(zero_copy_only=False)
    count = cover.total(valid[cover.chosen].astype(np.int64))
    total = cover.total(prepared.numbers[cover.chosen])
    return pa.array(total / np.maximum(count, 1), mask=count == 0)


def _last_number(cover: _Cover, prepared: _Prepared, groups: _Groups) -> pa.Array:
    return _of_latest(cover, prepared.events["number"])


def _last_text(cover: _Cover, prepared: _Prepared, groups: _Groups) -> pa.Array:
    return _of_latest(cover, prepared.events["text"])


def _last_name(cover: _Cover, prepared: _Prepared, groups: _Groups) -> pa.Array:
    return _of_latest(cover, prepared.events["name"])


def _hours_since(cover: _Cover, prepared: _Prepared, groups: _Groups) -> pa.Array:
    latest = cover.latest()
    if not len(prepared.times):
        return pa.nulls(len(latest), pa.float64())
    return pa.array(
        (groups.times - prepared.times[latest]) / MICROSECONDS_PER_HOUR, mask=latest < 0
    )


def _of_latest(cover: _Cover, column: pa.ChunkedArray) -> pa.Array:
    latest = cover.latest()
    return column.combine_chunks().take(pa.array(latest, mask=latest < 0))


_AGGREGATES: dict[type[Feature], Callable[[_Cover, _Prepared, _Groups], pa.Array]] = {
    Count: _count,
    Sum: _sum,
    Mean: _mean,
    LastNumber: _last_number,
    LastText: _last_text,
    LastName: _last_name,
    HoursSince: _hours_since,
}
