"""Retractions: marks that a version of a row is out of date, written where that version lives.

A row lives in the shard that its version names. When a correction names another account, it lands
in another shard, where nothing reading the first would meet it. So the first shard gets a mark: an
event of kind `retraction` with the row's key and the correction's `known_at`, but no entity. Marks
are a function of the set of versions, so the order in which versions arrive does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import fingerprint, log

if TYPE_CHECKING:
    from collections.abc import Iterator

# of the log, what decides on marks
COLUMNS = (
    *("event_id", "ingest", "row_key", "source", "source_row"),
    *("kind", "shard", "event_time", "known_at"),
)
PLACE = ("event_id", "shard")  # of the log, what tells whether a row has moved
_BELOW = np.uint64(0x7FFF_FFFF)


def of_rows(versions: pa.Table, rows: np.ndarray) -> pa.Table:
    """Return those versions (COLUMNS) whose row fingerprint is one of `rows`, (n,) uint64."""
    row, _ = log.halves(versions["event_id"])
    return versions.filter(pa.array(np.isin(row, rows)))


def moved(versions: pa.Table) -> np.ndarray:
    """Return the fingerprints of those rows whose versions (PLACE) lie in several shards: (n,)
    uint64.
    """
    row, _ = log.halves(versions["event_id"])
    lived = pa.table({"row": row, "shard": versions["shard"]})
    counted = lived.group_by("row").aggregate([("shard", "count_distinct")])
    several = counted.filter(pc.greater(counted["shard_count_distinct"], 1))
    rows: np.ndarray = several["row"].to_numpy()
    return rows


def marks(found: list[pa.Table]) -> pa.Table:
    """Return the marks (SCHEMA columns) that versions of rows (COLUMNS) need and do not have."""
    versions = pa.concat_tables(found)
    is_mark = pc.equal(versions["kind"], log.RETRACTION)
    by_row = _by_row(versions.filter(pc.invert(is_mark)))
    needed = [mark for row in by_row for mark in _marks_of_row(row)]
    table = pa.Table.from_pylist(needed, schema=log.SCHEMA)
    there = versions.filter(is_mark)["event_id"]
    return table.filter(pc.invert(pc.is_in(table["event_id"], value_set=there)))


def _by_row(versions: pa.Table) -> Iterator[list[dict[str, object]]]:
    """Yield the versions of each row in the order of knowledge."""
    found = versions.to_pylist()
    found.sort(key=lambda version: (version["row_key"], version["known_at"], version["event_id"]))
    rows: dict[str, list[dict[str, object]]] = {}
    for version in found:
        rows.setdefault(version["row_key"], []).append(version)
    yield from rows.values()


def _marks_of_row(versions: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    homes: list[object] = []
    for version in versions:
        for home in homes:
            if home != version["shard"]:
                yield _mark(version, str(home))
        if version["shard"] not in homes:
            homes.append(version["shard"])


def _mark(version: dict[str, object], home: str) -> dict[str, object]:
    kept = {name: version[name] for name in COLUMNS}
    replaced_by = bytes(version["event_id"]).hex()  # type: ignore[call-overload]
    new = {"event_id": _mark_id(version["event_id"], home), "shard": home, "text": replaced_by}
    return {**kept, **new, "kind": log.RETRACTION, "name": "moved"}


def _mark_id(event_id: object, home: str) -> bytes:
    """Return an id just below that of the version.

    Among versions known at the same moment a mark then comes after the version that it retracts and
    before the one that it stands for, so it never retracts the latter, where both are read.
    """
    row, content = log.halves(pa.array([event_id], pa.binary(16)))
    below = np.uint64(1) + (fingerprint.of_cells(pa.array([home])) & _BELOW)
    marked: bytes = log.packed(row, content - below)[0].as_py()
    return marked
