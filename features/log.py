"""The event log: one envelope for every fact, append-only and bitemporal.

`event_time` is when it happened, `known_at` when we learnt of it. The event id is 16 bytes: the
fingerprint of the row's identity, then that of its content. So the same row read twice is one
event, a corrected row is a new version of the same `row_key`, and the versions of a row are found
by the first half of their ids.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import WrongUse
from features import fingerprint

if TYPE_CHECKING:
    from cluster.tables import Tables

TABLE = "events"
QUARANTINE = "quarantine"
MICROSECONDS = pa.timestamp("us", tz="UTC")
NEVER = np.iinfo(np.int64).max  # a time that does not come
MADE_FROM = "funnelcast.events"  # property of a derived snapshot: the snapshot of the log
SHARD_KEYS = ("account", "person", "lead", "opportunity", "campaign", "rep")
KEYS = ("account", "person", "lead", "opportunity", "campaign", "product", "rep")
SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.binary(16), nullable=False),
        pa.field("ingest", pa.string(), nullable=False),  # where the row came from: see origin.py
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
    [pa.field(f.name, f.type) for f in SCHEMA if f.name not in {"event_id", "ingest", "shard"}]
)
# the id must not depend on where in a file the row stood
CONTENT = tuple(name for name in CANDIDATE.names if name not in {"row_key", "source_row"})
RETRACTION = "retraction"  # kind of the mark that a row's version in another shard is out of date


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


def identified(candidates: pa.Table, ingest: str = "") -> pa.Table:
    """Give rows that passed their contract an id, a shard and their origin: CANDIDATE columns in,
    SCHEMA out.

    Events that are not kept, such as those of a scoring request, have no `ingest`.
    """
    shard = pc.coalesce(*(candidates[key] for key in SHARD_KEYS), candidates["row_key"])
    columns = {name: candidates[name] for name in CANDIDATE.names}
    columns |= {"shard": shard, "event_id": packed(*ids_of(candidates))}
    columns["ingest"] = pa.repeat(ingest, candidates.num_rows)
    return pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)


def ids_of(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the two halves of the event ids of CANDIDATE columns: row and content, (n,) uint64."""
    row = fingerprint.of_cells(rows["row_key"])
    return row, fingerprint.of_rows([rows[name] for name in CONTENT])


def packed(row: np.ndarray, content: np.ndarray) -> pa.Array:
    """Return event ids from their halves, big-endian: their order is that of the numbers."""
    data = np.column_stack([row, content]).astype(">u8")
    return pa.Array.from_buffers(pa.binary(16), len(row), [None, pa.py_buffer(data.tobytes())])


def halves(event_ids: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return row and content fingerprints of a column of event ids without nulls: (n,) uint64."""
    words = _as_they_lie(event_ids)
    return words[:, 0].byteswap(), words[:, 1].byteswap()


def _as_they_lie(event_ids: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return the halves of event ids, their bytes in the order of the ids: (n, 2) uint64."""
    whole = event_ids if isinstance(event_ids, pa.Array) else event_ids.combine_chunks()
    if not len(whole):
        return np.empty((0, 2), np.uint64)
    words = np.frombuffer(whole.buffers()[1], "<u8").reshape(-1, 2)
    return words[whole.offset : whole.offset + len(whole)]


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

    Versions have the first half of their ids in common. Those known at the same moment are ordered
    by id, so that the answer does not depend on row order.
    """
    return replaced_at(microseconds(events["known_at"]), events["event_id"])


def replaced_at(known: np.ndarray, event_ids: pa.ChunkedArray) -> np.ndarray:
    """Return the same from when versions were known, (n,) in microseconds, and their ids."""
    words = _as_they_lie(event_ids)
    replaced = np.full(len(words), NEVER)
    several = np.flatnonzero(fingerprint.recurring(words[:, 0]))
    row, content = words[several].byteswap().T
    order = np.lexsort((content, known[several], row))
    same = row[order[1:]] == row[order[:-1]]
    replaced[several[order[:-1][same]]] = known[several[order[1:][same]]]
    return replaced


def microseconds(column: pa.ChunkedArray) -> np.ndarray:
    """Return a timestamp column without nulls as int64 microseconds since 1970, read-only."""
    return fingerprint.fixed(column.cast(pa.int64()).to_numpy())
