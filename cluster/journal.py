"""The journal: append-only entries in one hash chain per writer, acknowledged once durable.

A thread writes everything queued as one transaction (group commit), so that many appends share one
wait for the disk. How entries are chained is `cluster.chain`, how links are stored `cluster.links`.
"""

from __future__ import annotations

import itertools
import json
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from cluster import canonical, chain, chains, database, errors, groups, links, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    type _Stored = tuple[chain.Head, list[Entry | Exception]]

WAIT_MS = 1.0  # how long the first entry of a group waits for others, if others are about
GROUP_LIMIT = 500  # entries in one transaction
TRIES = 20  # of one group, against other chains that write the same ids


class JournalBroken(errors.FunnelcastError):
    """The entry could not be made durable; it may be appended again under the same id."""


class Conflict(errors.FunnelcastError):
    """The id already belongs to an entry of another content: `stored`."""

    def __init__(self, stored: Entry) -> None:
        self.stored = stored
        super().__init__(
            f"an id must name one content for ever, got '{stored.id}' again with another kind or "
            "body: choose a new id, or append what is stored"
        )

    def __reduce__(self) -> tuple[type[Conflict], tuple[Entry]]:
        """Return how to make it again in another process."""
        return Conflict, (self.stored,)


@dataclass(frozen=True)
class Spelt:
    """A body that is canonical JSON already: stored as it is, neither read nor spelt again."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One durable entry."""

    writer: str
    seq: int  # 1, 2, 3 ... within the writer
    id: str  # unique in the whole journal
    kind: str
    at: datetime  # UTC, as said by the one who appended
    text: str  # the body, as it was spelt
    prev_hash: str
    hash: str

    @cached_property
    def body(self) -> dict[str, Any]:
        """The body, read when it is first asked for."""
        read: dict[str, Any] = json.loads(self.text)
        return read


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An entry that is to be appended; `future` is done when it is durable, or failed."""

    id: str
    kind: str
    at: int
    body: str
    future: Future[Entry] = field(default_factory=Future)

    @classmethod
    def of(
        cls, kind: str, body: dict[str, Any] | Spelt, *, id: str | None = None, now: datetime
    ) -> Self:
        """Return the draft of an entry, of a new id if none is given."""
        return cls(
            id=schema.checked_name("the id of an entry", uuid.uuid4().hex if id is None else id),
            kind=schema.checked_name("the kind of an entry", kind),
            at=schema.micros(now),
            body=_spelt(body),
        )

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
        self._links = links.Links(db)
        self._writer = schema.checked_name("the writer of a journal", writer)
        self._head = chain.GENESIS  # the newest entry that this object made durable
        self._groups = groups.Groups(
            self._settle,
            wait_s=wait_ms / 1000,
            limit=GROUP_LIMIT,
            name=f"journal {writer}",
            waits_alone=False,
        )

    def append(
        self, kind: str, body: dict[str, Any] | Spelt, *, id: str | None = None, now: datetime
    ) -> Future[Entry]:
        """Queue an entry; the future is done when it is durable, or failed if it is not.

        An id that is stored already with the same kind and body gives the stored entry, with
        another content Conflict. A failing database gives JournalBroken. Callbacks of the future
        run on the writing thread and must be short.
        """
        draft = Draft.of(kind, body, id=id, now=now)
        self.append_all([draft])
        return draft.future

    def append_all(self, drafts: Sequence[Draft]) -> None:
        """Queue entries behind one another, as `append` does each, and wake the writer once."""
        self._groups.put(*drafts)

    def record(
        self, kind: str, body: dict[str, Any] | Spelt, *, id: str | None = None, now: datetime
    ) -> Entry:
        """Append and wait until the entry is durable."""
        return self.append(kind, body, id=id, now=now).result()

    @property
    def waiting(self) -> int:
        """How many entries are queued behind the group that is being written."""
        return self._groups.waiting

    def get(self, id: str) -> Entry | None:
        """Return the entry of this id, whoever wrote it."""
        row = self._links.get(id)
        return _entry(row) if row else None

    def entries(self, kind: str | None = None, since: datetime | None = None) -> Iterator[Entry]:
        """Yield the entries at or after `since`, by (at, writer, seq).

        What is appended meanwhile is included if it sorts behind the page being read.
        """
        start = -(2**63) if since is None else schema.micros(since)
        return map(_entry, self._links.by_time(kind, start))

    def verify(self) -> chain.Verified | chain.Break:
        """Check every chain; the Break names the first bad writer and seq, by (writer, seq)."""
        url = self._database.engine.url.render_as_string(hide_password=False)
        with chains.open_chains(url) as there:
            return chain.verify(itertools.chain.from_iterable(there.pages()))

    def close(self) -> None:
        """Write everything queued and stop; appending afterwards raises WrongUse."""
        self._groups.close()

    def _settle(self, queued: list[Draft]) -> None:
        group = [draft for draft in queued if draft.future.set_running_or_notify_cancel()]
        outcomes: Sequence[Entry | Exception]
        try:
            outcomes = self._store(group)
        except Exception as error:  # whatever it was, every waiting caller must hear of it
            outcomes = [_broken(error) for _ in group]
        for draft, outcome in zip(group, outcomes, strict=True):
            draft.resolve(outcome)

    def _store(self, group: Sequence[Draft]) -> list[Entry | Exception]:
        """Make a group durable; as if nobody else wrote, and with the chain held if one does."""
        if not group:
            return []
        stored = self._stored_behind(group, self._head, {}, self._links.extend)
        tries = iter(range(TRIES))
        while stored is None and next(tries, None) is not None:
            stored = self._stored_held(group)
        if stored is None:
            raise JournalBroken(f"a group must win within {TRIES} tries, got none: append it again")
        self._head, outcomes = stored
        return outcomes

    def _stored_held(self, group: Sequence[Draft]) -> _Stored | None:
        try:
            with self._links.held(self._writer) as held:
                head, known = held.state([draft.id for draft in group])
                self._check_grown(head)
                return self._stored_behind(group, head, known, held.extend)
        except sa.exc.DBAPIError as error:
            if not links.lost_race(error):
                raise
            return None

    def _stored_behind(
        self,
        group: Sequence[Draft],
        head: chain.Head,
        known: dict[str, chain.Link],
        extend: Callable[[Sequence[chain.Link], chain.Head], bool],
    ) -> _Stored | None:
        """Return the new head and what became of each draft; None if not all was as said."""
        fresh: list[chain.Link] = []
        named, last = dict(known), head
        for draft in group:
            if draft.id not in named:
                row = named[draft.id] = draft.linked(self._writer, last)
                last = chain.head_of(row)
                fresh.append(row)
        if fresh and not extend(fresh, head):
            return None
        return last, [_outcome(draft, named[draft.id]) for draft in group]

    def _check_grown(self, head: chain.Head) -> None:
        # Another process may have extended the chain, but never shortened it.
        cut = head.seq < self._head.seq
        if cut or (head.seq == self._head.seq and head.hash != self._head.hash):
            raise JournalBroken(
                f"the chain of '{self._writer}' must only grow, got seq {head.seq} where "
                f"{self._head.seq} was durable: restore the database from a backup"
            )


def _spelt(body: dict[str, Any] | Spelt) -> str:
    """Return the text of a body; WrongUse for one that would fail the whole group it is in."""
    try:
        if not isinstance(body, Spelt):
            return canonical.dumps(body).decode()
        body.text.encode()
        if "\0" in body.text:
            raise ValueError("a NUL that is not escaped")
        return body.text
    except (TypeError, ValueError) as error:
        raise errors.WrongUse(
            f"a body must be JSON, got '{database.cause(error)}': pass text, numbers, lists, maps"
        ) from error


def _entry(row: chain.Link) -> Entry:
    writer, seq, id, kind, at, body, prev_hash, hash = row
    return Entry(
        writer=writer,
        seq=seq,
        id=id,
        kind=kind,
        at=schema.moment(at),
        text=body,
        prev_hash=prev_hash,
        hash=hash,
    )


def _outcome(draft: Draft, row: chain.Link) -> Entry | Exception:
    if (row.kind, row.body) == (draft.kind, draft.body):
        return _entry(row)
    return Conflict(_entry(row))


def _broken(error: Exception) -> JournalBroken:
    if isinstance(error, JournalBroken):
        return error
    broken = JournalBroken(
        f"an entry must become durable, got '{database.cause(error)}': "
        "mend the database and append it again under the same id"
    )
    broken.__cause__ = error
    return broken
