"""Reading the online store: the base, and what came after it.

The tail is read first and then where the base is: events leave the tail only after a base that
holds them is in place, so a reader that finds the base unmoved has missed nothing.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from cluster import schema
from cluster.blobs import BlobMissing
from features import compute, log, spine
from features.online import keys, tail
from features.online.base import REF, Base

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.targets import Target

_WHERE = sa.select(schema.refs.c.epoch, schema.refs.c.target).where(schema.refs.c.name == REF)


class OnlineStore:
    """The newest events by shard, and which shard an entity lives in. Safe to share between
    threads.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = Lock()
        self._open: tuple[int, Base | None] = (0, None)  # epoch of the ref, and its base

    def events(self, shard: str) -> pa.Table:
        """Return all events of a shard: SCHEMA columns."""
        base, late = self._read(lambda connection: tail.of_shard(connection, shard))
        stored = base.events(shard) if base else log.SCHEMA.empty_table()
        if not late.num_rows:
            return stored
        if not stored.num_rows:
            return late
        is_there = pc.is_in(late["event_id"], value_set=stored["event_id"].combine_chunks())
        return pa.concat_tables([stored, late.filter(pc.invert(is_there))])

    def shard_of(self, kind: str, key: str) -> str | None:
        """Return the shard an entity lives in; None for one never seen.

        Where its events lie in several shards, because a row was corrected or first came without an
        account, it is that of the earliest event that still stands.
        """
        name = keys.named(kind, key)
        base, late = self._read(lambda connection: tail.shards(connection, name))
        found = sorted({*(base.shards(name) if base else ()), *late})
        if len(found) > 1:
            return _home(kind, key, pa.concat_tables([self.events(shard) for shard in found]))
        return found[0] if found else None

    def base(self) -> Base | None:
        """Return the base as it is now."""
        base, _ = self._read(lambda connection: None)
        return base

    def _read[T](self, of_tail: Callable[[sa.Connection], T]) -> tuple[Base | None, T]:
        while True:
            epoch, base = self._open
            with self._workspace.database.connect() as connection:
                found = of_tail(connection)
                where = connection.execute(_WHERE).first()
            if (where.epoch if where else 0) == epoch:
                return base, found
            self._follow(where)

    def _follow(self, where: sa.Row[tuple[int, str]] | None) -> None:
        """Open the base that the ref points to now; one that was replaced meanwhile is skipped."""
        with self._lock:
            epoch, target = (where.epoch, where.target) if where else (0, "")
            if self._open[0] >= epoch > 0:
                return
            try:
                base = Base.read(self._workspace.blobs, target) if target else None
            except BlobMissing:
                now = self._workspace.refs.get(REF)
                if now is None or now.epoch == epoch:
                    raise
                return
            self._open = (epoch, base)


def rows(target: Target, events: pa.Table, entities: list[str], at: datetime) -> pa.Table:
    """Return the feature rows of those `entities` whose anchor is known at `at`, given the events
    of their shard.
    """
    chosen = spine.chosen(target, events, entities, at)
    return compute.compute(target.features, events.select(compute.COLUMNS), chosen)


def _home(kind: str, key: str, events: pa.Table) -> str:
    names = pc.fill_null(pc.equal(events[kind], key), False).to_numpy()
    stands = log.retracted_at(events) == log.NEVER
    mine = events.filter(pa.array(names & stands if (names & stands).any() else names))
    times = log.microseconds(mine["event_time"]), log.microseconds(mine["known_at"])
    row, content = log.halves(mine["event_id"])
    first = int(np.lexsort((content, row, times[1], times[0]))[0])
    shard: str = mine["shard"][first].as_py()
    return shard
