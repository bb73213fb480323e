"""Processes that wait for the next simulation, so that its planner does not wait for a process.

One at most waits; it is given one run, and ends with it. A run that was given to none has a job of
its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from cluster import schema
from serving.simulations import store
from serving.simulations.records import Run

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.database import Database

KEPT = timedelta(days=1)  # longer than any run
_ROWS = schema.simulation_spares
_WAITS = _ROWS.c.run.is_(None)


class Place(NamedTuple):
    """Of a process that waits."""

    run: Run | None  # which it was given


class Spares:
    """The spare processes of one database, by the names of their jobs. Safe to share between
    threads and with other processes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, job: str, code: str, now: datetime, since: datetime) -> bool:
        """Put one on record that is to wait; False where one of the code waits since a moment."""
        waiting = sa.select(sa.func.count()).where(_WAITS, _ROWS.c.code == code)
        late = sa.and_(_WAITS, _ROWS.c.at < schema.micros(since))
        old = _ROWS.c.at < schema.micros(now - KEPT)
        row = {"job": job, "code": code, "at": schema.micros(now), "run": None}
        with self._database.begin() as connection:
            store.alone(connection)
            connection.execute(_ROWS.delete().where(late | old))
            is_new = not connection.scalar(waiting)
            if is_new:
                connection.execute(_ROWS.insert().values(row))
        return is_new

    def waiting(self, code: str, since: datetime) -> str | None:
        """Return the one of a version of the code that waits, if since a moment or later."""
        is_new = _ROWS.c.at >= schema.micros(since)
        query = sa.select(_ROWS.c.job).where(_WAITS, _ROWS.c.code == code, is_new)
        return self._one(query.order_by(_ROWS.c.at.desc()))

    def give(self, job: str, run: Run) -> bool:
        """Give it a run; False if it waits no more."""
        change = _ROWS.update().where(_ROWS.c.job == job, _WAITS).values(run=str(run))
        with self._database.begin() as connection:
            return connection.execute(change).rowcount > 0

    def leave(self, job: str) -> bool:
        """Let one wait no more; False if it was given a run."""
        with self._database.begin() as connection:
            connection.execute(_ROWS.delete().where(_ROWS.c.job == job, _WAITS))
            return connection.scalar(sa.select(_ROWS.c.run).where(_ROWS.c.job == job)) is None

    def dismiss(self) -> None:
        """Let all go that wait, with what they have learnt."""
        with self._database.begin() as connection:
            connection.execute(_ROWS.delete().where(_WAITS))

    def place(self, job: str) -> Place | None:
        """Return what one is on record with; None for one that is to leave."""
        query = sa.select(_ROWS.c.run).where(_ROWS.c.job == job)
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else Place(None if row.run is None else Run.read(row.run))

    def of(self, run: Run) -> str | None:
        """Return the one that a run was given to."""
        return self._one(sa.select(_ROWS.c.job).where(_ROWS.c.run == str(run)))

    def _one(self, query: sa.Select[tuple[str]]) -> str | None:
        with self._database.connect() as connection:
            return connection.scalar(query.limit(1))
