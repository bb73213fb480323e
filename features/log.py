"""The event log: one envelope for every fact, append-only and bitemporal.

`event_time` is when it happened, `known_at` when we learnt of it. The event id is a hash over the
identity of the source row and its content, so the same row read twice is one event, and a corrected
row is a new version of the same `row_key`.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import WrongUse

if TYPE_CHECKING:
    from cluster.tables import Tables

TABLE = "events"
QUARANTINE = "quarantine"
MICROSECONDS = pa.timestamp("us", tz="UTC")
NEVER = np.iinfo(np.int64).max  # a time that does not come
SHARD_KEYS = ("account", "person", "lead", "opportunity", "campaign", "rep")
KEYS = ("account", "person", "lead", "opportunity", "campaign", "product", "rep")
SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("row_key", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_row", pa.int64()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("event_time", MICROSECONDS, nullable=False),
        pa.field("known_at", MICROSECONDS, nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        *(pa.field(key, pa.string()) for key in KEYS),
        pa.field("number", pa.int64()),
        pa.field("text", pa.string()),
    ]
)
# what a source hands over: the envelope before it has an id and a shard, every column nullable
CANDIDATE = pa.schema(
    [pa.field(f.name, f.type) for f in SCHEMA if f.name not in {"event_id", "shard"}]
)
# the id must not depend on where in a file the row stood
_NOT_CONTENT = {"event_id", "source_row", "shard"}
_BETWEEN = "\x1f"
_ABSENT = "\x00"


def create(tables: Tables, buckets: int) -> None:
    """Make the log's table, bucketed by the shard key."""
    tables.create(TABLE, SCHEMA, bucket_by="shard", buckets=buckets)


def pinned(tables: Tables) -> int:
    """Return the newest snapshot of the log; WrongUse when nothing was ingested yet."""
    head = tables.head(TABLE)
    if head is None:
        raise WrongUse(
            "the event log must hold events, got none: run `python -m jobs.ingest` first"
        )
    return head


def as_of(asked: str | None, tables: Tables, snapshot: int) -> datetime:
    """Return the moment asked for, by default the first at which all of the log is known."""
    if asked is None:
        return latest(tables, snapshot)
    try:
        moment = datetime.fromisoformat(asked)
    except ValueError as error:
        raise WrongUse(f"--as-of must be an ISO 8601 time with its zone, got '{asked}'") from error
    if moment.tzinfo is None:
        raise WrongUse(f"--as-of must name its time zone, got '{asked}': add Z for UTC")
    return moment


def latest(tables: Tables, snapshot: int) -> datetime:
    """Return the first moment at which everything in the log is known, in UTC."""
    known = tables.read(TABLE, snapshot, columns=["known_at"])["known_at"]
    last: datetime = pc.max(known).as_py()
    return last.astimezone(UTC)


def identified(candidates: pa.Table) -> pa.Table:
    """Give rows that passed their contract an event id and a shard: CANDIDATE columns in, SCHEMA
    out.
    """
    shard = pc.coalesce(*(candidates[key] for key in SHARD_KEYS), candidates["row_key"])
    columns = {name: candidates[name] for name in CANDIDATE.names}
    columns |= {"shard": shard, "event_id": _event_ids(candidates)}
    return pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)


def new_events(events: pa.Table, known_ids: pa.ChunkedArray) -> pa.Table:
    """Return the rows that are neither in `known_ids` nor earlier in `events` itself."""
    fresh = events.filter(pc.invert(pc.is_in(events["event_id"], value_set=known_ids)))
    ids = fresh["event_id"].to_numpy(zero_copy_only=False)
    _, first = np.unique(ids, return_index=True)
    return fresh.take(np.sort(first))


def visible(events: pa.Table, at: datetime) -> pa.Table:
    """Return the events as known at `at`: `known_at <= at`, and of each row its latest known
    version.

    Events that happen at or after `at` are kept; whoever asks about a moment filters by `event_time
    < at`.
    """
    known = events.filter(pc.less_equal(events["known_at"], pa.scalar(at, MICROSECONDS)))
    return known.filter(pa.array(retracted_at(known) == NEVER))


def named(events: pa.Table, kind: str, names: tuple[str, ...]) -> pa.ChunkedArray:
    """Return which events are of a kind and, if names are given, have one of them: (n,) bool."""
    wanted = pc.equal(events["kind"], kind)
    if not names:
        return wanted
    return pc.and_(wanted, pc.is_in(events["name"], pa.array(names)))


def retracted_at(events: pa.Table) -> np.ndarray:
    """Return per row when a later known version of the same row replaced it, in microseconds, or
    NEVER.

    Versions known at the same moment are ordered by event id, so that the answer does not depend on
    row order.
    """
    row = pc.dictionary_encode(events["row_key"]).combine_chunks().indices.to_numpy()
    known = microseconds(events["known_at"])
    order = np.lexsort((events["event_id"].to_numpy(zero_copy_only=False), known, row))
    replaced = np.full(len(order), NEVER)
    same = row[order[1:]] == row[order[:-1]]
    replaced[order[:-1][same]] = known[order[1:][same]]
    return replaced


def microseconds(column: pa.ChunkedArray) -> np.ndarray:
    """Return a timestamp column without nulls as int64 microseconds since 1970."""
    values: np.ndarray = column.cast(pa.int64()).to_numpy()
    return values


def _event_ids(rows: pa.Table) -> pa.Array:
    texts = [
        pc.fill_null(_text(rows[name]), _ABSENT)
        for name in SCHEMA.names
        if name not in _NOT_CONTENT
    ]
    joined = pc.binary_join_element_wise(*texts, _BETWEEN)
    return pa.array(
        [hashlib.sha256(text.encode()).hexdigest()[:32] for text in joined.to_pylist()], pa.string()
    )


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.cast(pa.string())
