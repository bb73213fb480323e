"""Processes that wait for the next simulation, so that its planner does not wait for a process.

One at most waits, or prepares for it; when it says that it is ready, it may be given one run, and
ends with that. A run that was given to none has a job of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from cluster import schema
from serving.simulations import store
from serving.simulations.records import Run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cluster.database import Database

KEPT = timedelta(days=1)  # at least, what was given a run
_ROWS = schema.simulation_spares
_WAITS = _ROWS.c.run.is_(None)
_PREPARES = sa.and_(_WAITS, _ROWS.c.code.is_(None))


class Spare(NamedTuple):
    """A process as it is on record."""

    job: str
    at: datetime  # when it was asked for
    code: str | None  # its version; None: it is not ready yet
    run: Run | None  # which it was given


class Spares:
    """The spare processes of one database, by the names of their jobs. Safe to share between
    threads and with other processes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, job: str, now: datetime, since: datetime, under_way: Iterable[Run] = ()) -> bool:
        """Put one on record that is to prepare and wait; False where one does since a moment. What
        was given runs that are not under way is forgotten after a while.
        """
        late = sa.and_(_WAITS, _ROWS.c.at < schema.micros(since))
        runs = [str(run) for run in under_way]
        old = sa.and_(_ROWS.c.at < schema.micros(now - KEPT), _ROWS.c.run.not_in(runs))
        row = {"job": job, "code": None, "at": schema.micros(now), "run": None}
        with self._database.begin() as connection:
            store.alone(connection)
            connection.execute(_ROWS.delete().where(late | old))
            is_new = not connection.scalar(sa.select(sa.func.count()).where(_WAITS))
            if is_new:
                connection.execute(_ROWS.insert().values(row))
        return is_new

    def ready(self, job: str, code: str) -> bool:
        """Say that one is ready, and of which version it is; False if nobody wants it any more."""
        change = _ROWS.update().where(_ROWS.c.job == job).values(code=code)
        with self._database.begin() as connection:
            return connection.execute(change).rowcount > 0

    def there(self, since: datetime) -> Spare | None:
        """Return the one that waits, or prepares, since a moment."""
        return self._one(sa.and_(_WAITS, _ROWS.c.at >= schema.micros(since)))

    def give(self, job: str, run: Run) -> bool:
        """Give it a run; False if it does not wait, or not any more."""
        waits = sa.and_(_ROWS.c.job == job, _WAITS, ~_PREPARES)
        with self._database.begin() as connection:
            return connection.execute(_ROWS.update().where(waits).values(run=str(run))).rowcount > 0

    def leave(self, job: str) -> bool:
        """Let one wait no more; False if it was given a run."""
        with self._database.begin() as connection:
            connection.execute(_ROWS.delete().where(_ROWS.c.job == job, _WAITS))
            return connection.scalar(sa.select(_ROWS.c.run).where(_ROWS.c.job == job)) is None

    def dismiss(self) -> None:
        """Let all go that wait, with what they have learnt."""
        with self._database.begin() as connection:
            connection.execute(_ROWS.delete().where(_WAITS))

    def place(self, job: str) -> Spare | None:
        """Return one; None if it is to leave."""
        return self._one(_ROWS.c.job == job)

    def of(self, run: Run) -> Spare | None:
        """Return the one that a run was given to."""
        return self._one(_ROWS.c.run == str(run))

    def _one(self, which: sa.ColumnElement[bool]) -> Spare | None:
        query = sa.select(_ROWS).where(which).order_by(_ROWS.c.at.desc()).limit(1)
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        run = None if row.run is None else Run.read(row.run)
        return Spare(row.job, schema.moment(row.at), row.code, run)
