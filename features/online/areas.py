"""Where entities belong, of one or of many: their territories, as everything known now says them.

Of one it is read from the history of its shard, and kept beside that. Of many it is read from the
base once, and from the tail as far as that changed since the last time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.online import tail
from features.online.follower import TIDY_REF
from features.territory import COLUMNS, ENTITIES, Territory, territories

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cluster.workspace import Workspace
    from features.online.base import Base
    from features.online.history import History
    from features.online.store import OnlineStore
    from features.territory import Place

FIELDS = pa.schema([("entity", pa.string()), ("region", pa.string()), ("team", pa.string())])
_LISTED = FIELDS.append(pa.field("shard", pa.string()))
_KEPT = "territories"  # beside a history

type Listed = Mapping[str, pa.Table]  # _LISTED by kind of entity
type Counts = Mapping[str, int]  # of the events of the tail, by shard


def of_history(history: History, shard: str, kind: str, key: str) -> Territory | None:
    """Return the territory of an entity that lives in a shard; None if no event there names it."""
    found = history.once(_KEPT, lambda: territories(history.table()))
    return found.get((shard, kind, key))


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What was read of a base, and of the tail as it was then."""

    base: Base | None
    tidied: int  # how often events have left the tail; until they do again, counts only grow
    stored: Listed  # of the base
    counts: Counts = field(default_factory=dict)
    late: Listed = field(default_factory=lambda: _listed({}))  # of the shards of the tail

    def of(self, kind: str) -> pa.Table:
        """Return the territories of all entities of a kind, by shard: _LISTED."""
        stored, shards = self.stored[kind], pa.array(self.counts, pa.string())
        is_late = pc.is_in(stored["shard"], shards)
        return pa.concat_tables([stored.filter(pc.invert(is_late)), self.late[kind]])


class Areas:
    """Territories of the entities of a workspace. Safe to share between threads."""

    def __init__(self, workspace: Workspace, store: OnlineStore) -> None:
        self._database = workspace.database
        self._refs = workspace.refs
        self._store = store
        self._lock = Lock()
        self._read = _Read(base=None, tidied=0, stored=_listed({}))

    def of(self, kind: str, key: str) -> Territory | None:
        """Return the territory of an entity; None for one never seen."""
        there = self._store.of_entity(kind, key)
        return None if there is None else of_history(there[1], there[0], kind, key)

    def of_many(self, kind: str, entities: Sequence[str]) -> pa.Table:
        """Return the territories of entities of a kind, in their order: FIELDS; nothing is said of
        those never seen. Those that live in several shards are looked at one by one.
        """
        listed, asked = self._newest().of(kind), pa.array(entities, pa.string())
        found = listed.take(pc.index_in(asked, listed["entity"]))
        counts = listed["entity"].combine_chunks().value_counts()
        several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        told = {name: found[name].to_pylist() for name in Territory._fields}
        for place in np.flatnonzero(pc.is_in(asked, several)).tolist():
            now = self.of(kind, entities[place]) or Territory(None, None)
            for name, value in now._asdict().items():
                told[name][place] = value
        return pa.table({"entity": asked, **told}, schema=FIELDS)

    def _newest(self) -> _Read:
        """Return what base and tail say now."""
        with self._lock:
            ref = self._refs.get(TIDY_REF)
            tidied = ref.epoch if ref else 0
            counts = tail.counts(self._database)  # before the base, for which an event leaves
            base, read = self._store.base(), self._read
            if (read.base, read.tidied) != (base, tidied):
                stored = read.stored if read.base is base else _of_base(base)
                read = _Read(base=base, tidied=tidied, stored=stored)
            if read.counts != counts:
                read = replace(read, counts=counts, late=self._of_tail(read, counts))
            self._read = read
            return read

    def _of_tail(self, read: _Read, counts: Counts) -> Listed:
        """Return what base and tail say of the shards of the tail; those that are as they were are
        not read again.
        """
        changed = [shard for shard, count in counts.items() if read.counts.get(shard) != count]
        events = [tail.events_of(self._database, changed)]
        parts = (read.base.part(shard) for shard in changed) if read.base else ()
        events += [part.table() for part in parts if part is not None]
        found = _listed(territories(pa.concat_tables(events)))
        return {kind: _renewed(read.late[kind], found[kind], changed, counts) for kind in ENTITIES}


def _renewed(old: pa.Table, new: pa.Table, changed: Iterable[str], counts: Counts) -> pa.Table:
    kept = pa.array(set(counts).difference(changed), pa.string())
    return pa.concat_tables([old.filter(pc.is_in(old["shard"], kept)), new])


def _of_base(base: Base | None) -> Listed:
    """Return the territories that a base tells of."""
    found: dict[Place, Territory] = {}
    for events in base.tables(COLUMNS) if base else ():
        found |= territories(events)
    return _listed(found)


def _listed(found: Mapping[Place, Territory]) -> Listed:
    """Return territories as tables."""
    rows: dict[str, list[tuple[str | None, ...]]] = {kind: [] for kind in ENTITIES}
    for (shard, kind, key), each in found.items():
        rows[kind].append((key, *each, shard))
    return {kind: _table(each) for kind, each in rows.items()}


def _table(rows: Sequence[tuple[str | None, ...]]) -> pa.Table:
    columns = {name: [row[n] for row in rows] for n, name in enumerate(_LISTED.names)}
    return pa.table(columns, schema=_LISTED)
