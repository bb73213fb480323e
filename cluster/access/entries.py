"""Journal entries that are written in the transaction of what they tell: both there, or neither.

They have a chain of their own, as every writer has. Writers of it must not meet: `alone` lets one
transaction write to it at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cluster import canonical, chain, schema
from cluster.errors import WrongUse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.database import Database

WRITER = "access"  # of the chain
REASON_LIMIT = 500  # characters


@dataclass(frozen=True, kw_only=True)
class Act:
    """Who changes something, why, and when."""

    actor: str
    reason: str
    now: datetime
    more: Mapping[str, str] = field(default_factory=dict)  # by which credential and permission

    def __post_init__(self) -> None:
        """WrongUse without an actor or a reason that can be stored and shown."""
        schema.checked_name("the actor", self.actor)
        schema.micros(self.now)
        reason = self.reason.strip()
        if not (0 < len(reason) <= REASON_LIMIT and self.reason.isprintable()):
            raise WrongUse(
                f"a reason must be 1 to {REASON_LIMIT} printable characters, got"
                f" {self.reason[:40]!r} of {len(self.reason)}: say why, in a sentence"
            )


@contextmanager
def alone(database: Database) -> Iterator[sa.Connection]:
    """Yield the connection of a write transaction that no other of these runs beside."""
    with database.begin() as connection:
        hold(connection)
        yield connection


def hold(connection: sa.Connection) -> None:
    """Let no other of these run beside a write transaction, from here to its end."""
    if connection.dialect.name == "postgresql":  # on SQLite every writer is alone
        connection.execute(sa.text("LOCK TABLE access_keys IN SHARE ROW EXCLUSIVE MODE"))


def append(
    connection: sa.Connection,
    kind: str,
    body: dict[str, Any],
    act: Act,
    *,
    id: str | None = None,
) -> None:
    """Add an entry to the chain, of a new id if none is given; durable when the transaction of
    `connection` is, which no other runs beside (`alone`, `hold`).
    """
    table = schema.journal
    newest = sa.select(table.c.seq, table.c.hash).where(table.c.writer == WRITER)
    row = connection.execute(newest.order_by(table.c.seq.desc()).limit(1)).first()
    link = chain.link(
        WRITER,
        chain.GENESIS if row is None else chain.Head(seq=row.seq, hash=row.hash),
        id=uuid.uuid4().hex if id is None else id,
        kind=kind,
        at=schema.micros(act.now),
        body=canonical.dumps(
            {**body, **act.more, "actor": act.actor, "reason": act.reason}
        ).decode(),
    )
    connection.execute(table.insert().values(link._asdict()))
