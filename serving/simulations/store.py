"""Simulations on record: each question once, who asked it, how far it is, and what came out.

What a job says counts only for the attempt that it was started for, and only while that is under
way: one that was cancelled, or given up for dead, changes nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cluster import canonical, schema
from serving.simulations import quotas
from serving.simulations.quotas import DAY, Used
from serving.simulations.records import (
    AGAIN,
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    UNDER_WAY,
    Asked,
    Kept,
    Run,
)
from serving.simulations.records import (
    kept as read,
)

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.database import Database
    from cluster.settings import SimulationSettings
    from serving.simulations.words import TooManySimulations

LOST = "its result is lost: submit it again"
_ROWS, _ASKS = schema.simulations, schema.simulation_asks
_ONE_AT_A_TIME = 0x53494D  # any fixed number: the key of PostgreSQL's advisory lock


class Store:
    """The simulations of one database. Safe to share between threads and with other processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self, asked: Asked, allowed: SimulationSettings
    ) -> tuple[Kept, bool] | TooManySimulations:
        """Put a question on record, and return it with whether a job is now due: of several who
        ask the same at once, one has to start it. Nothing is written where too many are started.
        """
        with self._database.begin() as connection:
            alone(connection)
            found = _one(connection, _ROWS.c.key == asked.key)
            is_due = found is None or found.status in AGAIN
            if is_due:
                refused = quotas.refused(_used(connection, asked), allowed, asked.now)
                if refused is not None:
                    return refused
                connection.execute(_begun(found, asked))
            _note(connection, asked, found.id if found else asked.id, started=is_due)
            kept = _one(connection, _ROWS.c.key == asked.key)
        assert kept is not None
        return kept, is_due

    def find(self, key: str) -> Kept | None:
        """Return the simulation of a key."""
        with self._database.connect() as connection:
            return _one(connection, _ROWS.c.key == key)

    def get(self, id: str) -> Kept | None:
        """Return a simulation."""
        if not id.isprintable():  # PostgreSQL fails on a NUL
            return None
        with self._database.connect() as connection:
            return _one(connection, _ROWS.c.id == id)

    def owners(self, id: str) -> set[str]:
        """Return who asked for it."""
        query = sa.select(_ASKS.c.owner).where(_ASKS.c.simulation == id)
        with self._database.connect() as connection:
            return set(connection.scalars(query))

    def listed(self, owner: str | None, most: int) -> list[Kept]:
        """Return the newest that an owner (None: anybody) asked for."""
        last = sa.select(_ASKS.c.simulation, sa.func.max(_ASKS.c.at).label("at"))
        mine = last if owner is None else last.where(_ASKS.c.owner == owner)
        newest = mine.group_by(_ASKS.c.simulation).subquery()
        joined = sa.select(_ROWS).join(newest, newest.c.simulation == _ROWS.c.id)
        query = joined.order_by(newest.c.at.desc(), _ROWS.c.id).limit(most)
        with self._database.connect() as connection:
            return [read(row) for row in connection.execute(query).mappings()]

    def under_way(self) -> list[Kept]:
        """Return those of everybody that are queued or running."""
        query = sa.select(_ROWS).where(_ROWS.c.status.in_(UNDER_WAY))
        with self._database.connect() as connection:
            return [read(row) for row in connection.execute(query).mappings()]

    def running(self, run: Run, progress: dict[str, Any] | None, now: datetime) -> bool:
        """Say how far a run is; False if it counts no more and should end."""
        said = None if progress is None else canonical.dumps(progress).decode()
        began = sa.func.coalesce(_ROWS.c.began_at, schema.micros(now))
        return self._change(run, now, status=RUNNING, progress=said, began_at=began)

    def done(self, run: Run, result: str, now: datetime) -> bool:
        """Say that a run is finished, and the digest of its result; False if it counts no more."""
        at = schema.micros(now)
        return self._change(run, now, status=DONE, result=result, finished_at=at)

    def failed(self, run: Run, why: str, now: datetime) -> bool:
        """Say why a run failed; False if it counts no more."""
        return self._change(run, now, status=FAILED, why=why, finished_at=schema.micros(now))

    def cancelled(self, run: Run, now: datetime) -> bool:
        """Cancel a run; False if it was over."""
        return self._change(run, now, status=CANCELLED, finished_at=schema.micros(now))

    def not_started(self, run: Run, why: str, now: datetime) -> None:
        """Say that the job of a run could not be started; it does not count as one of its owner.
        What was asked for the first time, and by no other since, leaves nothing on record.
        """
        if run.attempt == 1 and self._never_asked(run):
            return
        self.failed(run, why, now)
        starts = sa.and_(_ASKS.c.simulation == run.id, _ASKS.c.started)  # others may have joined
        last = sa.select(sa.func.max(_ASKS.c.at)).where(starts)
        ask = sa.and_(starts, _ASKS.c.at == last.scalar_subquery())
        with self._database.begin() as connection:
            connection.execute(_ASKS.update().where(ask).values(started=False))

    def _never_asked(self, run: Run) -> bool:
        """Take a question off the record whose first job could not be started; False if another
        waits for it too.
        """
        asks = sa.select(sa.func.count()).where(_ASKS.c.simulation == run.id)
        first = sa.and_(_ROWS.c.id == run.id, _ROWS.c.attempt == 1)
        with self._database.begin() as connection:
            alone(connection)
            is_one = connection.scalar(asks) == 1
            if not is_one or not connection.execute(_ROWS.delete().where(first)).rowcount:
                return False
            connection.execute(_ASKS.delete().where(_ASKS.c.simulation == run.id))
        return True

    def lost(self, run: Run, now: datetime) -> None:
        """Say that the result of a run is there no more: it may be started again."""
        is_done = sa.and_(_ROWS.c.id == run.id, _ROWS.c.attempt == run.attempt)
        values = {"status": FAILED, "result": None, "why": LOST, "heard_at": schema.micros(now)}
        with self._database.begin() as connection:
            connection.execute(_ROWS.update().where(is_done, _ROWS.c.status == DONE).values(values))

    def share(self, id: str, now: datetime) -> None:
        """Let everybody who knows its id see a simulation."""
        with self._database.begin() as connection:
            values = {"shared_at": schema.micros(now)}
            connection.execute(_ROWS.update().where(_ROWS.c.id == id).values(values))

    def _change(self, run: Run, now: datetime, **values: object) -> bool:
        counts = sa.and_(
            _ROWS.c.id == run.id, _ROWS.c.attempt == run.attempt, _ROWS.c.status.in_(UNDER_WAY)
        )
        change = _ROWS.update().where(counts).values(heard_at=schema.micros(now), **values)
        with self._database.begin() as connection:
            return connection.execute(change).rowcount > 0


def alone(connection: sa.Connection) -> None:
    """Wait until no other counts what is started. On SQLite every writer has waited already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))


def _begun(found: Kept | None, asked: Asked) -> sa.Insert | sa.Update:
    at = schema.micros(asked.now)
    values = {
        "status": QUEUED,
        "attempt": found.attempt + 1 if found else 1,
        "progress": None,
        "why": None,
        "result": None,
        "heard_at": at,
        "began_at": None,
        "finished_at": None,
    }
    if found is not None:
        return _ROWS.update().where(_ROWS.c.id == found.id).values(values)
    new = {
        "id": asked.id,
        "key": asked.key,
        "asked": canonical.dumps(asked.request).decode(),
        "pinned": canonical.dumps(asked.pinned).decode(),
        "asked_by": asked.owner,
        "asked_at": at,
    }
    return _ROWS.insert().values({**new, **values})


def _note(connection: sa.Connection, asked: Asked, id: str, *, started: bool) -> None:
    """Keep who asked: every start, as it counts, and of what started nothing the last."""
    mine = sa.and_(_ASKS.c.simulation == id, _ASKS.c.owner == asked.owner)
    last = connection.scalar(sa.select(sa.func.max(_ASKS.c.at)).where(mine))
    if not started:
        connection.execute(_ASKS.delete().where(mine, ~_ASKS.c.started))
    at = max(schema.micros(asked.now), 0 if last is None else last + 1)
    row = {"simulation": id, "owner": asked.owner, "at": at, "started": started}
    connection.execute(_ASKS.insert().values(row))


def _used(connection: sa.Connection, asked: Asked) -> Used:
    """Return what is under way, and what the owner started within a day."""
    since = schema.micros(asked.now - DAY)
    mine = sa.and_(_ASKS.c.owner == asked.owner, _ASKS.c.started)
    started = sa.select(_ASKS.c.at).where(mine, _ASKS.c.at > since).order_by(_ASKS.c.at)
    own = sa.select(_ASKS.c.simulation).where(mine)
    active = sa.select(sa.func.count()).where(_ROWS.c.status.in_(UNDER_WAY))
    return Used(
        started=tuple(schema.moment(at) for at in connection.scalars(started)),
        own=connection.scalar(active.where(_ROWS.c.id.in_(own))) or 0,
        all=connection.scalar(active) or 0,
    )


def _one(connection: sa.Connection, which: sa.ColumnElement[bool]) -> Kept | None:
    row = connection.execute(sa.select(_ROWS).where(which)).mappings().first()
    return None if row is None else read(row)
