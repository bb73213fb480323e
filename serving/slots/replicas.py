"""What each replica answers by: it says so when that changes, and every few seconds that it lives.

A move of a ref is complete when all that are alive have followed it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import canonical, schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.database import Database

BEAT = timedelta(seconds=5)
ALIVE = timedelta(seconds=12)  # two beats may be late
KEPT = timedelta(hours=1)

_TABLE = schema.replicas


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What one process answers by."""

    replica: str
    epochs: Mapping[str, int]  # of each ref that it follows
    refused: Mapping[str, str]  # why what a ref names is not taken, by ref
    at: datetime  # its last sign of life


def report(database: Database, said: Replica) -> None:
    """Keep what a replica says in place of what it said before, and forget those long gone."""
    row = {
        "epochs": canonical.dumps(dict(said.epochs)).decode(),
        "refused": canonical.dumps(dict(said.refused)).decode(),
        "at": schema.micros(said.at),
    }
    gone = _TABLE.c.at < schema.micros(said.at - KEPT)
    mine = _TABLE.c.replica == said.replica
    with database.begin() as connection:
        if not connection.execute(_TABLE.update().where(mine).values(row)).rowcount:
            connection.execute(_TABLE.insert().values({"replica": said.replica, **row}))
            connection.execute(_TABLE.delete().where(gone))


def leave(database: Database, replica: str) -> None:
    """Forget a replica that ends."""
    with database.begin() as connection:
        connection.execute(_TABLE.delete().where(_TABLE.c.replica == replica))


def alive(database: Database, now: datetime) -> list[Replica]:
    """Return those that gave a sign of life lately, by name."""
    lately = _TABLE.c.at >= schema.micros(now - ALIVE)
    query = sa.select(_TABLE).where(lately).order_by(_TABLE.c.replica)
    with database.connect() as connection:
        rows = connection.execute(query).all()
    return [
        Replica(
            replica=row.replica,
            epochs=json.loads(row.epochs),
            refused=json.loads(row.refused),
            at=schema.moment(row.at),
        )
        for row in rows
    ]


def behind(database: Database, ref: str, epoch: int, now: datetime) -> list[Replica]:
    """Return those alive that follow a ref and have not come to this move of it."""
    return [each for each in alive(database, now) if each.epochs.get(ref, epoch) < epoch]
