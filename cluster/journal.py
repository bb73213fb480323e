"""The journal: append-only entries in one hash chain per writer, acknowledged once durable.

A thread writes everything queued as one transaction (group commit), so that many appends share one
wait for the disk. How entries are chained is `cluster.chain`.
"""

from __future__ import annotations

import json
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cluster import canonical, chain, database, errors, groups, schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WAIT_MS = 3.0  # how long the first entry of a group waits for others
GROUP_LIMIT = 500  # entries in one transaction
PAGE = 1000  # entries read at once
TRIES = 20  # of one group, against other processes that write the same chain or the same ids

_TABLE = schema.journal
_LOST_RACES = {"40001", "40P01"}  # PostgreSQL: serialisation failure, deadlock


class JournalBroken(errors.FunnelcastError):
    """The entry could not be made durable; it may be appended again under the same id."""


class Conflict(errors.FunnelcastError):
    """The id already belongs to an entry of another content."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One durable entry."""

    writer: str
    seq: int  # 1, 2, 3 ... within the writer
    id: str  # unique in the whole journal
    kind: str
    at: datetime  # UTC, as said by the one who appended
    body: dict[str, Any]
    prev_hash: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class _Draft:
    id: str
    kind: str
    at: int
    body: str
    future: Future[Entry] = field(default_factory=Future)

    def linked(self, writer: str, after: chain.Head) -> chain.Link:
        return chain.link(writer, after, id=self.id, kind=self.kind, at=self.at, body=self.body)

    def resolve(self, outcome: Entry | Exception) -> None:
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Journal:
    """The journal of one database, written as `writer`. Safe to share between threads.

    Two processes may use the same writer name: they extend one chain and never fork it.
    """

    def __init__(self, db: database.Database, writer: str, wait_ms: float = WAIT_MS) -> None:
        self._database = db
        self._writer = schema.checked_name("the writer of a journal", writer)
        self._head = chain.GENESIS  # the newest entry that this object made durable
        self._groups = groups.Groups(
            self._settle, wait_s=wait_ms / 1000, limit=GROUP_LIMIT, name=f"journal {writer}"
        )

    def append(
        self, kind: str, body: dict[str, Any], *, id: str | None = None, now: datetime
    ) -> Future[Entry]:
        """Queue an entry; the future is done when it is durable, or failed if it is not.

        An id that is stored already with the same kind and body gives the stored entry, with
        another content Conflict. A failing database gives JournalBroken. Callbacks of the future
        run on the writing thread and must be short.
        """
        draft = _Draft(
            id=schema.checked_name("the id of an entry", uuid.uuid4().hex if id is None else id),
            kind=schema.checked_name("the kind of an entry", kind),
            at=schema.micros(now),
            body=_spelt(body),
        )
        self._groups.put(draft)
        return draft.future

    def record(
        self, kind: str, body: dict[str, Any], *, id: str | None = None, now: datetime
    ) -> Entry:
        """Append and wait until the entry is durable."""
        return self.append(kind, body, id=id, now=now).result()

    def get(self, id: str) -> Entry | None:
        """Return the entry of this id, whoever wrote it."""
        query = sa.select(_TABLE).where(_TABLE.c.id == id)
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        return _entry(chain.Link(*row)) if row else None

    def entries(self, kind: str | None = None, since: datetime | None = None) -> Iterator[Entry]:
        """Yield the entries at or after `since`, by (at, writer, seq), in pages of PAGE.

        What is appended meanwhile is included if it sorts behind the page being read.
        """
        start = -(2**63) if since is None else schema.micros(since)
        query = (
            sa.select(_TABLE) if kind is None else sa.select(_TABLE).where(_TABLE.c.kind == kind)
        )
        for row in self._pages(query, ("at", "writer", "seq"), (start, "", 0)):
            yield _entry(row)

    def verify(self) -> chain.Verified | errors.Refusal:
        """Check every chain; the Refusal names the first bad writer and seq, by (writer, seq)."""
        query = sa.select(*self._raw_columns())
        return chain.verify(map(_decoded, self._pages(query, ("writer", "seq"), ("", 0))))

    def close(self) -> None:
        """Write everything queued and stop; appending afterwards raises WrongUse."""
        self._groups.close()

    def _settle(self, queued: list[_Draft]) -> None:
        group = [draft for draft in queued if draft.future.set_running_or_notify_cancel()]
        outcomes: Sequence[Entry | Exception]
        try:
            outcomes = self._store(group)
        except Exception as error:  # whatever it was, every waiting caller must hear of it
            outcomes = [_broken(error) for _ in group]
        for draft, outcome in zip(group, outcomes, strict=True):
            draft.resolve(outcome)

    def _store(self, group: Sequence[_Draft]) -> list[Entry | Exception]:
        for _ in range(TRIES):
            try:
                with self._database.begin() as connection:
                    outcomes, head = self._write(connection, group)
            except sa.exc.DBAPIError as error:
                if not _lost_race(error):
                    raise
            else:
                self._head = head
                return outcomes
        raise JournalBroken(f"a group must win within {TRIES} tries, got none: append it again")

    def _write(
        self, connection: sa.Connection, group: Sequence[_Draft]
    ) -> tuple[list[Entry | Exception], chain.Head]:
        stored = sa.select(_TABLE).where(_TABLE.c.id.in_([draft.id for draft in group]))
        known = {row.id: chain.Link(*row) for row in connection.execute(stored)}
        head, fresh = self._stored_head(connection), []
        for draft in group:
            if draft.id not in known:
                row = draft.linked(self._writer, head)
                head = chain.head_of(row)
                known[row.id] = row
                fresh.append(row._asdict())
        if fresh:
            connection.execute(_TABLE.insert(), fresh)
        return [_outcome(draft, known[draft.id]) for draft in group], head

    def _stored_head(self, connection: sa.Connection) -> chain.Head:
        # Read every time: another process may have extended the chain, but never shortened it.
        mine = sa.select(_TABLE.c.seq, _TABLE.c.hash).where(_TABLE.c.writer == self._writer)
        row = connection.execute(mine.order_by(_TABLE.c.seq.desc()).limit(1)).first()
        head = chain.Head(seq=row.seq, hash=row.hash) if row else chain.GENESIS
        cut = head.seq < self._head.seq
        if cut or (head.seq == self._head.seq and head.hash != self._head.hash):
            raise JournalBroken(
                f"the chain of '{self._writer}' must only grow, got seq {head.seq} where "
                f"{self._head.seq} was durable: restore the database from a backup"
            )
        return head

    def _raw_columns(self) -> list[sa.ColumnElement[Any]]:
        # A damaged file may hold bytes that are no text, and SQLite's driver fails on those.
        if self._database.engine.dialect.name != "sqlite":
            return list(_TABLE.c)
        return [
            sa.cast(column, sa.LargeBinary).label(column.name)
            if isinstance(column.type, sa.Text)
            else column
            for column in _TABLE.c
        ]

    def _pages(
        self, query: sa.Select[Any], order: tuple[str, ...], after: tuple[Any, ...]
    ) -> Iterator[chain.Link]:
        # Pages by key, so that no connection stays open while the caller thinks.
        keys = [_TABLE.c[name] for name in order]
        ordered = query.order_by(*keys).limit(PAGE)
        while True:
            page = ordered.where(sa.tuple_(*keys) > sa.tuple_(*after))
            with self._database.connect() as connection:
                rows = [chain.Link(*row) for row in connection.execute(page)]
            yield from rows
            if len(rows) < PAGE:
                return
            last = _decoded(rows[-1])
            after = tuple(getattr(last, name) for name in order)


def _spelt(body: dict[str, Any]) -> str:
    try:
        return canonical.dumps(body).decode()
    except (TypeError, ValueError) as error:
        raise errors.WrongUse(
            f"a body must be JSON, got '{database.cause(error)}': pass text, numbers, lists, maps"
        ) from error


def _entry(row: chain.Link) -> Entry:
    return Entry(**{**row._asdict(), "at": schema.moment(row.at), "body": json.loads(row.body)})


def _outcome(draft: _Draft, row: chain.Link) -> Entry | Exception:
    if (row.kind, row.body) == (draft.kind, draft.body):
        return _entry(row)
    return Conflict(
        f"an id must name one content for ever, got '{draft.id}' again with another kind or body: "
        "choose a new id, or append what is stored"
    )


def _decoded(row: chain.Link) -> chain.Link:
    raw: Iterable[Any] = row
    values: list[Any] = [_text(value) if isinstance(value, bytes) else value for value in raw]
    return chain.Link(*values)


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def _lost_race(error: sa.exc.DBAPIError) -> bool:
    lost = getattr(error.orig, "sqlstate", None) in _LOST_RACES
    return lost or isinstance(error, sa.exc.IntegrityError)


def _broken(error: Exception) -> JournalBroken:
    if isinstance(error, JournalBroken):
        return error
    broken = JournalBroken(
        f"an entry must become durable, got '{database.cause(error)}': "
        "mend the database and append it again under the same id"
    )
    broken.__cause__ = error
    return broken
