"""A bucket of too many events to hold: cut into slices of time, and computed slice by slice. Pure,
given what reads it.

The bucket is read several times, but never is more of it held than a slice, the events that rows
and labels are made of, and the ids of corrected versions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster.rowgroups import Span, filtered
from features import compute, fingerprint, log
from features.compute.slices import REPLACED, Slice, compute_slices

if TYPE_CHECKING:
    from features.plan import Plan
    from features.targets import Target

SHIFTS = (32, 16, 0)  # bits: times are counted by 71 minutes, 65 milliseconds, a microsecond
BEGIN = np.iinfo(np.int64).min

type Read = Callable[[Sequence[str], Span | None], Iterator[pa.Table]]  # see Tables.read_groups
type Flags = np.ndarray  # bool


def rows_of(plan: Plan, read: Read, events: int, limit: int) -> pa.Table:
    """Return the feature rows of a bucket of so many events like `Plan.rows_of`, in slices of at
    most `limit` events, unless more happen in one microsecond.
    """
    rows = plan.spine_of(told(plan.target, read))
    view = plan.target.features
    replaced = replaced_in(read, -(-events // limit))
    ends = ends_of(read, limit)
    slices = slices_of(read, compute.columns_of(view), ends, replaced)
    return compute_slices(view, slices, rows)


def slices_of(
    read: Read, columns: Sequence[str], ends: Sequence[int], replaced: pa.Table
) -> Iterator[Slice]:
    """Yield the slices of a bucket, the earliest first."""
    for begin, end in zip([BEGIN, *ends], ends, strict=False):
        events = _together(read(columns, Span(column="event_time", low=begin, high=end)))
        yield Slice(events=events, end=end, replaced=replaced)
        del events  # before the next one is read


def ends_of(read: Read, limit: int) -> list[int]:
    """Return where slices of at most `limit` events end, in microseconds; NEVER for the last."""
    ends, held = [], 0
    for start, count in _counts(read, limit, None, SHIFTS):
        if held and held + count > limit:
            ends.append(start)
            held = 0
        held += count
    return [*ends, log.NEVER]


def _counts(
    read: Read, limit: int, span: Span | None, shifts: tuple[int, ...]
) -> Iterator[tuple[int, int]]:
    """Yield periods in order, the start and how many events there are; more than `limit` only in
    the shortest ones.
    """
    shift, *finer = shifts
    counts: Counter[int] = Counter()
    for events in read(["event_time"], span):
        periods = log.microseconds(events["event_time"]) >> shift
        found, several = np.unique(periods, return_counts=True)
        counts.update(dict(zip(found.tolist(), several.tolist(), strict=True)))
    for number, count in sorted(counts.items()):
        low = number << shift
        if count > limit and finer:
            inner = Span(column="event_time", low=low, high=low + (1 << shift))
            yield from _counts(read, limit, inner, tuple(finer))
        else:
            yield low, count


def replaced_in(read: Read, parts: int) -> pa.Table:
    """Return when versions of a bucket were replaced by others: REPLACED columns.

    All versions of a row are in the same one of the parts, of which one at a time is held.
    """
    return pa.concat_tables([_replaced(read, part, parts) for part in range(parts)])


def _replaced(read: Read, part: int, parts: int) -> pa.Table:
    def is_here(events: pa.Table) -> Flags:
        row = log.halves(events["event_id"])[0] >> np.uint64(32)
        here: Flags = row % np.uint64(parts) == part
        return here

    ids = _only(read(["event_id", "known_at"], None), is_here)
    ids = ids.filter(pa.array(fingerprint.recurring(log.halves(ids["event_id"])[0])))
    replaced = pa.table([ids["event_id"], pa.array(log.retracted_at(ids))], schema=REPLACED)
    # an event that is there twice replaces itself: what counts is when the last of them goes
    last = replaced.group_by("event_id").aggregate([("replaced", "max")])
    last = last.rename_columns(REPLACED.names)
    return last.filter(pa.array(last["replaced"].to_numpy() < log.NEVER))


def told(target: Target, read: Read) -> pa.Table:
    """Return the events that a target speaks of, with every version of their rows."""
    columns, kinds = ["event_id", "kind", "name"], [named for _, named, _ in target.events]

    def is_named(events: pa.Table) -> Flags:
        named = [log.named(events, each.kind, each.names).to_numpy() for each in kinds]
        found: Flags = np.any(named, axis=0)
        return found

    rows = np.unique(log.halves(_only(read(columns, None), is_named)["event_id"])[0])

    def is_of_these(events: pa.Table) -> Flags:
        row = log.halves(events["event_id"])[0]
        place = np.minimum(np.searchsorted(rows, row), len(rows) - 1)
        found: Flags = rows[place] == row if len(rows) else np.zeros(len(row), bool)
        return found

    return _only(read(compute.COLUMNS, None), is_of_these)


def _only(parts: Iterator[pa.Table], is_wanted: Callable[[pa.Table], Flags]) -> pa.Table:
    return _together(filtered(part, is_wanted(part)) for part in parts)


def _together(parts: Iterator[pa.Table]) -> pa.Table:
    return pa.concat_tables(list(parts), promote_options="permissive").unify_dictionaries()
