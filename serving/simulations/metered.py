"""What is told of simulations to who watches the service: what was asked, what became of it, how
many wait and for how long.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import schema
from serving.observe import meters
from serving.simulations.records import CANCELLED, DONE, FAILED, QUEUED, RUNNING, UNDER_WAY
from serving.simulations.words import NoJobs, TooManySimulations, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cluster.database import Database
    from serving.observe.tallies import Fact
    from serving.wire.simulations import SimulationOut

STATUSES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED)
WAITING, RUN = "waiting", "running"  # the parts of the time of one
_REFUSED = {Wrong: "wrong", TooManySimulations: "too_many", NoJobs: "no_jobs"}
_ROWS, _ASKS = schema.simulations.c, schema.simulation_asks.c


class Asks:
    """How many were asked for here, by what came of it. Safe to share between threads."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def count(self, found: SimulationOut | Wrong | TooManySimulations | NoJobs) -> None:
        """Count one."""
        if isinstance(found, Wrong | TooManySimulations | NoJobs):
            outcome = _REFUSED[type(found)]
        else:
            outcome = "unchanged" if found.unchanged else "accepted"
        with self._lock:
            self._counts[outcome] += 1

    def facts(self) -> list[Fact]:
        """Return the counts so far."""
        with self._lock:
            return [(meters.SIMULATIONS_ASKED, (name,), n) for name, n in self._counts.items()]


def facts(database: Database, now: datetime) -> Iterator[Fact]:
    """Give how many are on record by status, how long the oldest under way has been, and how long
    the one that was done last waited and ran.
    """
    started = sa.select(_ASKS.simulation, sa.func.max(_ASKS.at).label("at")).where(_ASKS.started)
    at = started.group_by(_ASKS.simulation).subquery()
    both = at.join(schema.simulations, _ROWS.id == at.c.simulation)
    first = sa.select(sa.func.min(at.c.at)).select_from(both).where(_ROWS.status.in_(UNDER_WAY))
    last = sa.select(at.c.at, _ROWS.began_at, _ROWS.finished_at).select_from(both)
    last = last.where(_ROWS.status == DONE, _ROWS.began_at.is_not(None))
    count = sa.select(_ROWS.status, sa.func.count()).group_by(_ROWS.status)
    with database.connect() as connection:
        counts = dict(connection.execute(count).tuples().all())
        since = connection.scalar(first)
        done = connection.execute(last.order_by(_ROWS.finished_at.desc()).limit(1)).first()
    for status in STATUSES:
        yield meters.SIMULATIONS, (status,), counts.get(status, 0)
    waited = 0 if since is None else schema.micros(now) - since
    yield meters.SIMULATION_OLDEST, (), waited / 1e6
    if done is not None:
        yield meters.SIMULATION_LAST, (WAITING,), (done.began_at - done.at) / 1e6
        yield meters.SIMULATION_LAST, (RUN,), (done.finished_at - done.began_at) / 1e6
