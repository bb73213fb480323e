"""The chains as they are stored: read raw, by (writer, seq), and never written.

Opens the database for itself: SQLite as a file that it cannot write, PostgreSQL in read-only
transactions. Neither makes nor upgrades a table. Pages are read by key, so that no transaction
stays open while the caller computes.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote

import psycopg
import sqlalchemy as sa

from cluster import chain, database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = 1000  # links read at once

type Key = tuple[Any, ...]  # (writer, seq)

START: Key = ("", 0)

_COLUMNS = "writer, seq, id, kind, at, body, prev_hash, hash"
# The newest link of every writer, found by one look into the index for each.
HEADS = """
WITH RECURSIVE each(writer) AS (
    SELECT min(writer) FROM journal
    UNION ALL
    SELECT (SELECT min(writer) FROM journal WHERE writer > each.writer)
    FROM each WHERE each.writer IS NOT NULL
)
SELECT each.writer, newest.seq, newest.hash FROM each
JOIN journal AS newest ON newest.writer = each.writer
    AND newest.seq = (SELECT max(seq) FROM journal WHERE writer = each.writer)
ORDER BY each.writer
"""


class _Driver(Protocol):
    """One connection that can only read."""

    def rows(self, query: str, given: Sequence[object]) -> list[tuple[Any, ...]]:
        """Return what a query finds; its parameters are written as question marks."""

    def close(self) -> None:
        """Let go of the connection."""


class Chains:
    """The chains of one database. For one thread."""

    def __init__(self, url: sa.URL) -> None:
        self._url = url
        try:
            is_sqlite = url.drivername == "sqlite"
            self._driver: _Driver = _Sqlite(url) if is_sqlite else _Postgresql(url)
        except (sqlite3.Error, psycopg.Error) as error:
            raise self._broken(error) from error

    def pages(self, after: Key = START, until: Key | None = None) -> Iterator[list[chain.Link]]:
        """Yield links behind `after`, up to and with `until`, by (writer, seq)."""
        bound, end = ("", ()) if until is None else (" AND (writer, seq) <= (?, ?)", until)
        order = f"{bound} ORDER BY writer, seq LIMIT {PAGE}"
        first = f"SELECT {_COLUMNS} FROM journal WHERE (writer, seq) > (?, ?){order}"
        # Again from the last one on: a key that was made to stand twice must not hide here.
        others = f"SELECT {_COLUMNS} FROM journal WHERE (writer, seq) >= (?, ?){order}"
        page = self._links(first, (*after, *end))
        while page:
            yield page
            if len(page) < PAGE - 1:
                return
            last = page[-1]
            page = self._links(others, (last.writer, last.seq, *end))
            if page and page[0] == last:
                page = page[1:]

    def heads(self) -> dict[str, chain.Head]:
        """Return the newest link of every writer."""
        found = self._rows(HEADS, ())
        return {writer: chain.Head(seq=seq, hash=hash) for writer, seq, hash in found}

    def hash_at(self, writer: str, seq: int) -> str | None:
        """Return the hash that is stored at a place; None where nothing is."""
        query = "SELECT hash FROM journal WHERE writer = ? AND seq = ?"
        found = self._rows(query, (writer, seq))
        return found[0][0] if found else None

    def _links(self, query: str, given: Key) -> list[chain.Link]:
        return [chain.Link(*row) for row in self._rows(query, given)]

    def _rows(self, query: str, given: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            return self._driver.rows(query, given)
        except (sqlite3.Error, psycopg.Error) as error:
            raise self._broken(error) from error

    def _broken(self, error: BaseException) -> database.DatabaseBroken:
        shown = self._url.render_as_string(hide_password=True)
        return database.DatabaseBroken(
            f"the journal must be readable, got '{database.cause(error)}' at {shown}: "
            "check the address, or restore the database from a backup"
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_chains(url: str) -> Chains:
    """Open the chains of the database at `url`; DatabaseBroken if there is none to read."""
    there = Chains(sa.make_url(database.driver_url(url)))
    there.hash_at("", 0)
    return there


class _Sqlite:
    def __init__(self, url: sa.URL) -> None:
        name = f"file:{quote(str(Path(url.database or '')))}?mode=ro"
        self._connection = sqlite3.connect(
            name, uri=True, isolation_level=None, timeout=database.BUSY_TIMEOUT_S
        )
        self._connection.execute("PRAGMA query_only = ON")

    def rows(self, query: str, given: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, given).fetchall()
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
        # A damaged file may hold bytes that are no text.
        self._connection.text_factory = _text
        try:
            return self._connection.execute(query, given).fetchall()
        finally:
            self._connection.text_factory = str

    def close(self) -> None:
        self._connection.close()


class _Postgresql:
    def __init__(self, url: sa.URL) -> None:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(plain, autocommit=True)
        self._connection.execute("SET default_transaction_read_only = on")

    def rows(self, query: str, given: Sequence[object]) -> list[tuple[Any, ...]]:
        named = re.sub(r"\?", "%s", query)
        return self._connection.execute(named.encode(), given).fetchall()

    def close(self) -> None:
        self._connection.close()


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")
