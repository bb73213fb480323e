"""The anchor of the vault: its pseudonym key, wrapped by the master key.

It tells a right master key from a wrong one (RFC 3394 checks itself), and it changes whenever the
master key does, which every writer looks at first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import envelope, errors, schema, shredding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.database import Database

_NAME = "pseudonym"
_PART = 6_000  # subjects wrapped again by one statement


def read(connection: sa.Connection, *, lock: bool = False) -> bytes | None:
    """Return the anchor, None in a new vault; with `lock` it stays until the transaction ends."""
    keys = schema.vault_keys
    query = sa.select(keys.c.wrapped_key).where(keys.c.name == _NAME)
    found: bytes | None = connection.scalar(query.with_for_update(read=True) if lock else query)
    return found


def make(database: Database, master: bytes) -> bytes:
    """Return the anchor, made with `master` unless another process was first."""
    row: dict[str, object] = {
        "name": _NAME,
        "wrapped_key": envelope.wrap(master, os.urandom(envelope.KEY_BYTES)),
    }
    with database.begin() as connection:
        database.insert_new(connection, schema.vault_keys, [row])
        return read(connection) or b""


def opened(master: bytes, anchor: bytes) -> bytes:
    """Return the pseudonym key in `anchor`; WrongUse if `master` is not the vault's."""
    try:
        return envelope.unwrap(master, anchor)
    except envelope.NotOpened:
        raise errors.WrongUse(
            "the master key must open what is in the vault, got one that does not: "
            "set FUNNELCAST_MASTER_KEY or master_key_file to the key the vault was made with"
        ) from None


def rewrap(database: Database, old: bytes, new: bytes) -> int:
    """Wrap every key of the vault by the master key `new`; return how many subjects have one.

    One transaction; sealed values and pseudonyms stay as they are. Who holds `old` is refused from
    then on. WrongUse if `old` is not the vault's master key.
    """
    count = 0
    with database.begin() as connection:
        shredding.secure(connection)
        anchor = read(connection)
        if anchor is not None:
            _replace(connection, anchor, envelope.wrap(new, opened(old, anchor)))
            for rows in _living(connection):
                _store(connection, {name: _again(key, old, new) for name, key in rows})
                count += len(rows)
    shredding.scrub(database)
    return count


def _replace(connection: sa.Connection, before: bytes, after: bytes) -> None:
    # Done first: it waits for those who write, and whoever comes later sees the change.
    keys = schema.vault_keys
    unchanged = sa.and_(keys.c.name == _NAME, keys.c.wrapped_key == before)
    change = keys.update().where(unchanged).values(wrapped_key=after)
    if connection.execute(change).rowcount != 1:
        raise errors.WrongUse(
            "one master key must replace another at a time, got one replaced just now: "
            "use the newest as the old one"
        )


def _again(key: bytes, old: bytes, new: bytes) -> bytes:
    return envelope.wrap(new, envelope.unwrap(old, key))


def _living(connection: sa.Connection) -> Iterator[list[tuple[str, bytes]]]:
    table, after = schema.subjects, ""
    while True:
        alive = sa.and_(table.c.subject > after, table.c.wrapped_key.is_not(None))
        query = sa.select(table.c.subject, table.c.wrapped_key).where(alive)
        rows = connection.execute(query.order_by(table.c.subject).limit(_PART)).all()
        if not rows:
            return
        yield [(row.subject, row.wrapped_key) for row in rows]
        after = rows[-1].subject


def _store(connection: sa.Connection, wrapped: dict[str, bytes]) -> None:
    table = schema.subjects
    change = table.update().where(table.c.subject == sa.bindparam("name"))
    rows = [{"name": name, "key": key} for name, key in wrapped.items()]
    connection.execute(change.values(wrapped_key=sa.bindparam("key")), rows)
