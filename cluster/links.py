"""Links in the database: a group is appended by one statement, which is a transaction of its own.

On SQLite that statement takes the write lock when it begins, as BEGIN IMMEDIATE does, and returns
when its log is synced: the caller gives up Python's lock once for a whole group. It appends only
behind the head that the caller knows, so that one chain never forks. Who lost that race holds the
chain, and looks and appends while nobody else can: two processes on one chain never starve.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cluster import chain, schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cluster.database import Database

PAGE = 1000  # links read at once

_TABLE = schema.journal
_LOST_RACES = {"40001", "40P01"}  # PostgreSQL: serialisation failure, deadlock
_BEHIND = (
    "CASE ? WHEN 0 THEN NOT EXISTS (SELECT 1 FROM journal WHERE writer = ?)"
    " ELSE EXISTS (SELECT 1 FROM journal WHERE writer = ? AND seq = ? AND hash = ?) END"
)
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"
_POSTGRESQL = """
INSERT INTO journal (writer, seq, id, kind, at, body, prev_hash, hash)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::text[],
    %s::text[], %s::text[])
WHERE CASE WHEN pg_try_advisory_xact_lock(hashtextextended(%s, 0)) THEN {behind} ELSE false END
""".format(behind=_BEHIND.replace("?", "%s").replace("CASE %s", "CASE %s::bigint"))


class Links:
    """The links of one database. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_sqlite = database.engine.dialect.name == "sqlite"

    def extend(self, rows: Sequence[chain.Link], after: chain.Head) -> bool:
        """Append links of one writer behind `after`; True once they are durable.

        False, and nothing is stored, if the chain does not end there or an id is taken.
        """
        extend = self._extend_sqlite if self._is_sqlite else self._extend_postgresql
        return extend(rows, after)

    def _extend_sqlite(self, rows: Sequence[chain.Link], after: chain.Head) -> bool:
        with closing(self._database.engine.raw_connection()) as connection:
            try:
                return extend_sqlite(connection.driver_connection, rows, after) > 0
            except sqlite3.IntegrityError:
                return False

    def _extend_postgresql(self, rows: Sequence[chain.Link], after: chain.Head) -> bool:
        try:
            with self._database.begin() as connection:
                return _extend_postgresql(connection, rows, after) > 0
        except sa.exc.DBAPIError as error:
            if not lost_race(error):
                raise
            return False

    @contextmanager
    def held(self, writer: str) -> Iterator[Held]:
        """Yield a writer's chain, which nobody else extends before this transaction ends.

        The DBAPIError of an id that another chain takes meanwhile is a `lost_race`.
        """
        with self._database.begin() as connection:
            if not self._is_sqlite:  # whose write transactions exclude each other anyway
                connection.exec_driver_sql(_LOCK, (writer,))
            yield Held(writer, connection)

    def get(self, id: str) -> chain.Link | None:
        """Return the link of this id, whoever wrote it."""
        with self._database.connect() as connection:
            row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == id)).first()
        return chain.Link(*row) if row else None

    def by_time(self, kind: str | None, since: int) -> Iterator[chain.Link]:
        """Yield links at or after `since`, by (at, writer, seq), in pages of PAGE.

        Pages by key, so that no connection stays open while the caller thinks.
        """
        keys = sa.tuple_(_TABLE.c.at, _TABLE.c.writer, _TABLE.c.seq)
        query = sa.select(_TABLE).order_by(*keys.clauses).limit(PAGE)
        if kind is not None:
            query = query.where(_TABLE.c.kind == kind)
        after: tuple[Any, ...] = (since, "", 0)
        while True:
            with self._database.connect() as connection:
                found = connection.execute(query.where(keys > sa.tuple_(*after)))
                rows = [chain.Link(*row) for row in found]
            yield from rows
            if len(rows) < PAGE:
                return
            after = (rows[-1].at, rows[-1].writer, rows[-1].seq)


@dataclass(frozen=True)
class Held:
    """One chain within a transaction that holds it."""

    writer: str
    connection: sa.Connection

    def state(self, ids: Sequence[str]) -> tuple[chain.Head, dict[str, chain.Link]]:
        """Return the head of the chain, and which of the ids are stored anywhere, as they are."""
        mine = sa.select(_TABLE.c.seq, _TABLE.c.hash).where(_TABLE.c.writer == self.writer)
        stored = sa.select(_TABLE).where(_TABLE.c.id.in_(ids))
        row = self.connection.execute(mine.order_by(_TABLE.c.seq.desc()).limit(1)).first()
        known = {found.id: chain.Link(*found) for found in self.connection.execute(stored)}
        return (chain.Head(seq=row.seq, hash=row.hash) if row else chain.GENESIS), known

    def extend(self, rows: Sequence[chain.Link], after: chain.Head) -> bool:
        """Append links behind `after`; they are durable when the transaction has ended."""
        if self.connection.dialect.name == "sqlite":
            return extend_sqlite(self.connection.connection.driver_connection, rows, after) > 0
        return _extend_postgresql(self.connection, rows, after) > 0


def extend_sqlite(connection: Any, rows: Sequence[chain.Link], after: chain.Head) -> int:
    """Append links of one writer behind `after`; return how many: all, or 0 elsewhere.

    `connection` is one of the driver; outside a transaction, they are durable on return.
    """
    values = ", ".join([_ROW] * len(rows))
    statement = f"INSERT INTO journal SELECT * FROM (VALUES {values}) WHERE {_BEHIND}"
    given = [value for row in rows for value in row]
    cursor = connection.execute(statement, (*given, *_guard(rows[0].writer, after)))
    changed: int = cursor.rowcount
    return changed


def _extend_postgresql(
    connection: sa.Connection, rows: Sequence[chain.Link], after: chain.Head
) -> int:
    columns = [list(column) for column in zip(*rows, strict=True)]
    writer = rows[0].writer
    given = (*columns, writer, *_guard(writer, after))
    return connection.exec_driver_sql(_POSTGRESQL, given).rowcount


def _guard(writer: str, after: chain.Head) -> tuple[Any, ...]:
    return (after.seq, writer, writer, after.seq, after.hash)


def lost_race(error: sa.exc.DBAPIError) -> bool:
    """Did another transaction take an id or a place first, so that this one may be tried again?"""
    lost = getattr(error.orig, "sqlstate", None) in _LOST_RACES
    return lost or isinstance(error, sa.exc.IntegrityError)
