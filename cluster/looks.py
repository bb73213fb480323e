"""Looks: how far one who judges has read each chain of the journal, look by look.

A look is kept before it counts. Reading the same looks again counts the same entries in the same
order, so that a judge that was killed, or another in its place, comes to the same verdict.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from cluster import canonical, chains, schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from cluster.database import Database

MOST = 5_000  # entries of one chain that one look reads
PAGE = 1_000

type Positions = Mapping[str, int]  # the last seq that was read, by writer

_JOURNAL, _LOOKS = schema.journal, schema.looks


class Said(NamedTuple):
    """An entry of the journal, by what it says."""

    kind: str
    at: datetime
    body: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How far was read."""

    number: int  # 0: nothing yet
    positions: Positions
    at: datetime


def begin(connection: sa.Connection, key: str, now: datetime) -> None:
    """Keep where the chains are as something begins that is to be judged: look 0."""
    _keep(connection, key, Look(number=0, positions=_heads(connection), at=now))


class Looks:
    """The looks at one thing that is judged. Safe to share between threads and processes."""

    def __init__(self, database: Database, key: str) -> None:
        self._database = database
        self._key = key

    def behind(self, number: int) -> list[Look]:
        """Return the looks after a number, in their order."""
        mine = sa.and_(_LOOKS.c.key == self._key, _LOOKS.c.number > number)
        query = sa.select(_LOOKS).where(mine).order_by(_LOOKS.c.number)
        with self._database.connect() as connection:
            rows = connection.execute(query).all()
        return [
            Look(number=r.number, positions=json.loads(r.positions), at=schema.moment(r.at))
            for r in rows
        ]

    def take(self, last: Look, now: datetime) -> bool:
        """Keep the look after the last one, as far as there is something new; False if there is
        nothing, or another took it meanwhile.
        """
        heads = self.heads()
        after = {w: min(seq, last.positions.get(w, 0) + MOST) for w, seq in heads.items()}
        if after == last.positions:
            return False
        try:
            with self._database.begin() as connection:
                _keep(connection, self._key, Look(number=last.number + 1, positions=after, at=now))
        except sa.exc.IntegrityError:
            return False
        return True

    def heads(self) -> dict[str, int]:
        """Return where the chains end now: the last seq, by writer."""
        with self._database.connect() as connection:
            return _heads(connection)

    def entries(
        self, before: Positions, after: Positions, kinds: Collection[str]
    ) -> Iterator[Said]:
        """Yield the entries of some kinds between two looks, by (writer, seq)."""
        for writer, until in sorted(after.items()):
            since = before.get(writer, 0)
            while since < until:
                end = min(since + PAGE, until)
                yield from self._page(writer, since, end, kinds)
                since = end

    def _page(self, writer: str, since: int, until: int, kinds: Collection[str]) -> list[Said]:
        c = _JOURNAL.c
        mine = sa.and_(c.writer == writer, c.seq > since, c.seq <= until, c.kind.in_(kinds))
        query = sa.select(c.kind, c.at, c.body).where(mine).order_by(c.seq)
        with self._database.connect() as connection:
            rows = connection.execute(query).all()
        return [Said(r.kind, schema.moment(r.at), json.loads(r.body)) for r in rows]


def _heads(connection: sa.Connection) -> dict[str, int]:
    rows = connection.exec_driver_sql(chains.HEADS).all()
    return {row.writer: row.seq for row in rows}


def _keep(connection: sa.Connection, key: str, look: Look) -> None:
    positions = canonical.dumps(dict(look.positions)).decode()
    row = {"key": key, "number": look.number, "positions": positions, "at": schema.micros(look.at)}
    connection.execute(_LOOKS.insert().values(row))
