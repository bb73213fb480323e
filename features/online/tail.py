"""The tail of the online store: events that its base does not hold yet, in SQL.

Lookups are in `look`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa

from cluster import schema
from features import log
from features.online import keys, payload

if TYPE_CHECKING:
    from cluster.database import Database

PART_ROWS = 5_000  # of one transaction: others wait for it no longer than some 100 ms
SHARDS_AT_ONCE = 500  # that one statement names
_EVENTS, _KEYS = schema.online_events, schema.online_keys


def add(database: Database, connection: sa.Connection, events: pa.Table) -> None:
    """Add events (SCHEMA columns) that are not there yet, and their keys."""
    found = keys.pairs(events)
    database.insert_new(connection, _KEYS, found.to_pylist())
    database.insert_new(connection, _EVENTS, _rows(events))


def fill(database: Database, events: pa.Table) -> None:
    """Add events in transactions of some thousand rows; a repeat adds nothing."""
    for start in range(0, events.num_rows, PART_ROWS):
        with database.begin() as connection:
            add(database, connection, events.slice(start, PART_ROWS))


def count(database: Database) -> int:
    """Return how many events the tail holds."""
    with database.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(_EVENTS)) or 0


def newest(database: Database) -> int | None:
    """Return when the newest of them was known, in microseconds since 1970; None without any."""
    with database.connect() as connection:
        found = connection.scalar(sa.select(sa.func.max(_EVENTS.c.known_at)))
    return None if found is None else int(found)


def count_landed(database: Database) -> int:
    """Return how many of them are in the log, and so can leave the tail for a base."""
    waiting = sa.select(sa.func.count()).select_from(schema.arrivals)
    with database.connect() as connection:
        return count(database) - (connection.scalar(waiting) or 0)


def landed(database: Database) -> pa.Array:
    """Return the ids of the events that are no pending arrivals."""
    pending = sa.select(schema.arrivals.c.event_id)
    query = sa.select(_EVENTS.c.event_id).where(_EVENTS.c.event_id.not_in(pending))
    with database.connect() as connection:
        found = connection.execute(query).scalars().all()
    return pa.array([bytes.fromhex(each) for each in found], pa.binary(16))


def counts(database: Database) -> dict[str, int]:
    """Return how many events it holds of each shard: the index alone is read."""
    columns = (_EVENTS.c.shard, sa.func.count())
    with database.connect() as connection:
        found = connection.execute(sa.select(*columns).group_by(_EVENTS.c.shard)).all()
    return {row.shard: row[1] for row in found}


def events_of(database: Database, shards: list[str]) -> pa.Table:
    """Return all events of some shards: SCHEMA columns."""
    found: list[bytes] = []
    with database.connect() as connection:
        for start in range(0, len(shards), SHARDS_AT_ONCE):
            mine = _EVENTS.c.shard.in_(shards[start : start + SHARDS_AT_ONCE])
            found += connection.execute(sa.select(_EVENTS.c.payload).where(mine)).scalars().all()
    return payload.unpack(found)


def pairs(database: Database) -> pa.Table:
    """Return all keys: PAIRS columns."""
    with database.connect() as connection:
        found = connection.execute(sa.select(_KEYS.c.key, _KEYS.c.shard)).mappings().all()
    return pa.Table.from_pylist([dict(row) for row in found], schema=keys.PAIRS)


def drop_events(database: Database, ids: list[str]) -> None:
    """Take events away that the base holds."""
    _drop(database, _EVENTS.delete().where(_EVENTS.c.event_id == sa.bindparam("id")),
          [{"id": each} for each in ids])  # fmt: skip


def drop_pairs(database: Database, rows: list[dict[str, str]]) -> None:
    """Take pairs of "key" and "shard" away that the base holds."""
    is_pair = (_KEYS.c.key == sa.bindparam("a_key")) & (_KEYS.c.shard == sa.bindparam("a_shard"))
    given = [{"a_key": row["key"], "a_shard": row["shard"]} for row in rows]
    _drop(database, _KEYS.delete().where(is_pair), given)


def _drop(database: Database, delete: sa.Delete, rows: list[dict[str, str]]) -> None:
    for start in range(0, len(rows), PART_ROWS):
        with database.begin() as connection:
            connection.execute(delete, rows[start : start + PART_ROWS])


def _rows(events: pa.Table) -> list[dict[str, object]]:
    ids = [each.hex() for each in events["event_id"].to_pylist()]
    known = log.microseconds(events["known_at"]).tolist()
    columns = (ids, events["shard"].to_pylist(), known, payload.pack(events))
    return [
        {"event_id": id, "shard": shard, "known_at": at, "payload": data}
        for id, shard, at, data in zip(*columns, strict=True)
    ]
