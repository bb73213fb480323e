"""Sessions that were signed out before their end: known to every replica, by a hash of each."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import schema

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.database import Database

_TABLE = schema.sign_outs


class SignedOut:
    """Those of one database. Safe to share between threads; every method waits for the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, session: str, until: datetime, now: datetime) -> None:
        """End a session that would last `until` then; those that are over by now are forgotten."""
        row: dict[str, object] = {"session": _hash(session), "until": schema.micros(until)}
        past = _TABLE.delete().where(_TABLE.c.until <= schema.micros(now))
        with self._database.begin() as connection:
            connection.execute(past)
            self._database.insert_new(connection, _TABLE, [row])

    def has(self, session: str) -> bool:
        """Was it signed out?"""
        query = sa.select(_TABLE.c.until).where(_TABLE.c.session == _hash(session))
        with self._database.connect() as connection:
            return connection.execute(query).first() is not None


def _hash(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()
