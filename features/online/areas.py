"""Where entities belong, of one or of many: their territories, as everything known now says them.

Of one it is read from the history of its shard, and kept beside that. Of many it is read from the
base, once; those of which the tail says more are looked at one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.online import keys, tail
from features.territory import COLUMNS, ENTITIES, Territory, territories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.workspace import Workspace
    from features.online.base import Base
    from features.online.history import History
    from features.online.store import OnlineStore

FIELDS = pa.schema([("entity", pa.string()), ("region", pa.string()), ("team", pa.string())])
_KEPT = "territories"  # beside a history


def of_history(history: History, shard: str, kind: str, key: str) -> Territory | None:
    """Return the territory of an entity that lives in a shard; None if no event there names it."""
    found = history.once(_KEPT, lambda: territories(history.table()))
    return found.get((shard, kind, key))


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """The territories of all entities of one kind that a base speaks of; columns of (n,)."""

    rows: pa.Table  # FIELDS and shard; each entity once
    several: pa.Array  # entities that live in several shards


class Areas:
    """Territories of the entities of a workspace. Safe to share between threads."""

    def __init__(self, workspace: Workspace, store: OnlineStore) -> None:
        self._database = workspace.database
        self._store = store
        self._lock = Lock()
        self._read: tuple[Base | None, dict[str, _Listed]] = None, {}

    def of(self, kind: str, key: str) -> Territory | None:
        """Return the territory of an entity; None for one never seen."""
        there = self._store.of_entity(kind, key)
        return None if there is None else of_history(there[1], there[0], kind, key)

    def of_many(self, kind: str, entities: Sequence[str]) -> pa.Table:
        """Return the territories of entities of a kind, in their order: FIELDS; nothing is said of
        those never seen.
        """
        late = tail.pairs(self._database)  # before the base: an event leaves it for a newer one
        listed, asked = self._listed(kind), pa.array(entities, pa.string())
        place = pc.index_in(asked, listed.rows["entity"])
        found = listed.rows.take(place)
        names = pc.binary_join_element_wise(keys.named(kind, ""), asked, "")
        is_open = _either(
            pc.is_in(found["shard"], late["shard"].combine_chunks()),
            pc.is_in(names, late["key"].combine_chunks()),
            pc.is_in(asked, listed.several),
        )
        return self._looked_up(kind, asked, found, np.flatnonzero(is_open))

    def _looked_up(
        self, kind: str, asked: pa.Array, found: pa.Table, places: np.ndarray
    ) -> pa.Table:
        """Return what was found, with what is known of some places now."""
        told = {name: found[name].to_pylist() for name in Territory._fields}
        for place in places.tolist():
            now = self.of(kind, asked[place].as_py()) or Territory(None, None)
            for name, value in now._asdict().items():
                told[name][place] = value
        return pa.table({"entity": asked, **told}, schema=FIELDS)

    def _listed(self, kind: str) -> _Listed:
        base = self._store.base()
        with self._lock:
            if self._read[0] is not base:
                self._read = base, _all(base)
            return self._read[1][kind]


def _either(*flags: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.any([np.asarray(each) for each in flags], axis=0)


def _all(base: Base | None) -> dict[str, _Listed]:
    """Return the territories that a base tells of, by kind."""
    rows: dict[str, list[tuple[str, str | None, str | None, str]]] = {e: [] for e in ENTITIES}
    for events in base.tables(COLUMNS) if base else ():
        for (shard, kind, key), found in territories(events).items():
            rows[kind].append((key, *found, shard))
    return {kind: _listing(each) for kind, each in rows.items()}


def _listing(rows: list[tuple[str, str | None, str | None, str]]) -> _Listed:
    schema = FIELDS.append(pa.field("shard", pa.string()))
    columns = [[row[place] for row in rows] for place in range(len(schema))]
    table = pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)
    counts = table["entity"].combine_chunks().value_counts()
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    return _Listed(rows=table, several=several)
