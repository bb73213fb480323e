"""Leases: who does for now what only one should. They save work and decide nothing: clocks may
differ, so whoever rests on being alone needs compare-and-swap besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import schema

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cluster.database import Database


def hold(database: Database, name: str, holder: str, now: datetime, lasts: timedelta) -> bool:
    """Take a lease, or go on with it; False while another holds it."""
    leases, until = schema.leases, schema.micros(now + lasts)
    free = sa.or_(leases.c.holder == holder, leases.c.until < schema.micros(now))
    take = leases.update().where(leases.c.name == name, free).values(holder=holder, until=until)
    with database.begin() as connection:
        row: dict[str, object] = {"name": name, "holder": holder, "until": until}
        database.insert_new(connection, leases, [row])
        return connection.execute(take).rowcount > 0


def give_back(database: Database, name: str, holder: str) -> None:
    """Let the next one have it at once."""
    leases = schema.leases
    mine = sa.and_(leases.c.name == name, leases.c.holder == holder)
    with database.begin() as connection:
        connection.execute(leases.delete().where(mine))
