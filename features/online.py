"""Features of one entity as of a moment, from the online store that ingestion fills.

The same kernel as in batch, over the events of one shard: given the same log the values are equal
to the bit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import select

from cluster import schema
from features import compute, log, spine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cluster.database import Database
    from features.targets import Target

ENTITIES = ("lead", "opportunity", "account")
_CHUNK = 5_000


class OnlineStore:
    """The newest events by shard, and which shard an entity lives in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fill(self, events: pa.Table) -> int:
        """Add events (SCHEMA columns) that are not there yet; returns how many were offered."""
        for batch in _plain(events).to_batches(max_chunksize=_CHUNK):
            rows = batch.to_pylist()
            with self._database.begin() as connection:
                self._database.insert_new(connection, schema.online_events, list(_event_rows(rows)))
                self._database.insert_new(connection, schema.online_keys, _key_rows(rows))
        return int(events.num_rows)

    def shard_of(self, kind: str, key: str) -> str | None:
        """Return the shard an entity lives in; None for one never seen."""
        keys = schema.online_keys
        query = select(keys.c.shard).where(keys.c.key == f"{kind}:{key}")
        with self._database.connect() as connection:
            return connection.execute(query).scalar()

    def events(self, shard: str) -> pa.Table:
        """Return all events of a shard: SCHEMA columns."""
        stored = schema.online_events
        query = select(stored.c.payload).where(stored.c.shard == shard)
        with self._database.connect() as connection:
            payloads = [row[0] for row in connection.execute(query)]
        return unpack(payloads)


def rows(target: Target, events: pa.Table, entities: list[str], at: datetime) -> pa.Table:
    """Return the feature rows of those `entities` whose anchor is known at `at`, given the events
    of their shard.
    """
    chosen = spine.chosen(target, events, entities, at)
    return compute.compute(target.features, events.select(compute.COLUMNS), chosen)


def pack(event: dict[str, object]) -> bytes:
    """Return an event (SCHEMA columns, times in microseconds) as the bytes the store keeps."""
    return json.dumps([event[name] for name in log.SCHEMA.names], ensure_ascii=False).encode()


def unpack(payloads: list[bytes]) -> pa.Table:
    """Return stored events as a table of SCHEMA columns."""
    events = json.loads(b"[" + b",".join(payloads) + b"]")
    columns: list[Any] = list(zip(*events, strict=True)) or [[] for _ in log.SCHEMA]
    return pa.table(
        {
            field.name: pa.array(values, _stored(field.type)).cast(field.type)
            for field, values in zip(log.SCHEMA, columns, strict=True)
        },
        schema=log.SCHEMA,
    )


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def _event_rows(events: list[dict[str, Any]]) -> Iterator[dict[str, object]]:
    for event in events:
        yield {
            "event_id": event["event_id"],
            "shard": event["shard"],
            "known_at": event["known_at"],
            "payload": pack(event),
        }


def _key_rows(events: list[dict[str, Any]]) -> list[dict[str, object]]:
    pairs = {
        f"{kind}:{event[kind]}": event["shard"]
        for event in reversed(events)
        for kind in ENTITIES
        if event[kind] is not None
    }
    return [{"key": key, "shard": shard} for key, shard in pairs.items()]


def _plain(events: pa.Table) -> pa.Table:
    fields = [pa.field(f.name, _stored(f.type)) for f in log.SCHEMA]
    return events.cast(pa.schema(fields))
