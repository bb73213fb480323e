"""Arrivals on their way to the log: rows of the tail that are not there yet, and refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc
import sqlalchemy as sa

from cluster import schema
from features import fingerprint, log
from features.consent import arrived
from features.ingest import quarantine
from features.online import payload, tail

if TYPE_CHECKING:
    from cluster.database import Database

PART = 500  # ids in one question
_TURN = 0x415252495645  # any fixed number: the key of PostgreSQL's advisory lock
_EVENTS, _ARRIVALS, _REFUSED = schema.online_events, schema.arrivals, schema.refused_arrivals


@dataclass(frozen=True, kw_only=True)
class Pending:
    """What waits to be folded into the tables."""

    events: pa.Table  # log.SCHEMA columns
    refused: pa.Table  # quarantine.SCHEMA columns


def take_turn(connection: sa.Connection) -> None:
    """Wait for others who take arrivals in; until the transaction ends, none of them goes on."""
    # On SQLite every write transaction has waited for the others already.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURN)))


def there(connection: sa.Connection, ids: pa.ChunkedArray) -> set[bytes]:
    """Return which ids the tail holds."""
    names = [each.hex() for each in ids.to_pylist()]
    found: set[bytes] = set()
    for start in range(0, len(names), PART):
        part = names[start : start + PART]
        query = sa.select(_EVENTS.c.event_id).where(_EVENTS.c.event_id.in_(part))
        found |= {bytes.fromhex(id) for id in connection.execute(query).scalars()}
    return found


def add(database: Database, connection: sa.Connection, events: pa.Table, at: int) -> None:
    """Add events (SCHEMA columns), each once, to the tail and to what waits for the log."""
    tail.add(database, connection, events)
    arrived.add(connection, events)
    ids = [each.hex() for each in events["event_id"].to_pylist()]
    database.insert_new(connection, _ARRIVALS, [{"event_id": id, "arrived_at": at} for id in ids])


def add_refused(database: Database, connection: sa.Connection, rows: pa.Table, at: int) -> None:
    """Add refusals (quarantine.SCHEMA columns) to what waits for quarantine."""
    ids = [each.hex() for each in rows["quarantine_id"].to_pylist()]
    kept = [
        {"id": id, "arrived_at": at, "payload": _bytes(rows.slice(place, 1))}
        for place, id in enumerate(ids)
    ]
    database.insert_new(connection, _REFUSED, kept)


def waiting(database: Database, most: int) -> Pending:
    """Return what waits, oldest first, at most so many of each."""
    is_pending = _EVENTS.join(_ARRIVALS, _EVENTS.c.event_id == _ARRIVALS.c.event_id)
    events = sa.select(_EVENTS.c.payload).select_from(is_pending)
    events = events.order_by(_ARRIVALS.c.arrived_at, _ARRIVALS.c.event_id).limit(most)
    refused = sa.select(_REFUSED.c.payload).order_by(_REFUSED.c.arrived_at, _REFUSED.c.id)
    with database.connect() as connection:
        payloads = connection.execute(events).scalars().all()
        tables = connection.execute(refused.limit(most)).scalars().all()
    read = [pa.ipc.open_stream(data).read_all() for data in tables]
    return Pending(
        events=payload.unpack(payloads),
        refused=pa.concat_tables([quarantine.SCHEMA.empty_table(), *read]),
    )


def folded(database: Database, done: Pending) -> None:
    """Take off the list what is in the tables now; the events themselves stay in the tail."""
    events = [each.hex() for each in done.events["event_id"].to_pylist()]
    refused = [each.hex() for each in done.refused["quarantine_id"].to_pylist()]
    for delete, ids in (
        (_ARRIVALS.delete().where(_ARRIVALS.c.event_id == sa.bindparam("an_id")), events),
        (_REFUSED.delete().where(_REFUSED.c.id == sa.bindparam("an_id")), refused),
    ):
        if ids:
            with database.begin() as connection:
                connection.execute(delete, [{"an_id": id} for id in ids])
                arrived.drop(connection, ids)


def ids_of_bytes(raw: pa.ChunkedArray, reasons: pa.ChunkedArray) -> pa.Array:
    """Return quarantine ids for bytes that are no row: of the bytes, then of the reasons."""
    return log.packed(fingerprint.of_cells(raw), fingerprint.of_cells(reasons))


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data
