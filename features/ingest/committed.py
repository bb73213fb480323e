"""Ids of what a table holds, kept between the ingestions of one process.

Only ids behind a commit are kept here, never those of a run under way: a run that fails leaves
nothing behind that would pass for known when its rows come again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from cluster.tables import SnapshotMissing
from features import log
from features.ingest import quarantine
from features.known import KnownIds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.manifest import DataFile

    from cluster.tables import Tables

KEYS = {log.TABLE: "event_id", quarantine.TABLE: "quarantine_id"}
ROWS_AT_ONCE = 4_000_000  # of which ids are read into memory together
KEPT_MOST = 2_000_000  # ids of a table that stay in memory: 64 MB


@dataclass(kw_only=True)
class _Kept:
    """The ids of one table up to a snapshot."""

    lock: Lock = field(default_factory=Lock)
    ids: KnownIds = field(default_factory=KnownIds)
    snapshot: int | None = None


_kept: WeakKeyDictionary[Tables, dict[str, _Kept]] = WeakKeyDictionary()


def ids(tables: Tables, table: str, snapshot: int | None) -> KnownIds:
    """Return the ids that a snapshot holds, and maybe some that came later; not to be added to."""
    kept = _kept.setdefault(tables, {}).setdefault(table, _Kept())
    with kept.lock:
        if snapshot in (None, kept.snapshot):
            return kept.ids
        try:
            files = _new(tables, table, kept.snapshot, snapshot)
        except SnapshotMissing:  # given up meanwhile, maybe with rows: what is kept is out of date
            kept.ids, kept.snapshot = KnownIds(), None
            files = tables.files(table, snapshot)
        found = _read(tables, table, files, kept.ids)
        if len(found) > KEPT_MOST:
            kept.ids, kept.snapshot = KnownIds(), None
        else:
            kept.ids, kept.snapshot = found, snapshot
        return found


def _new(tables: Tables, table: str, since: int | None, until: int | None) -> list[DataFile]:
    if since is None or until is None:
        return tables.files(table, until)
    return tables.added(table, since, until)


def _read(tables: Tables, table: str, files: list[DataFile], into: KnownIds) -> KnownIds:
    into.expect(sum(file.record_count for file in files))
    for group in _together(files):
        column = tables.read_files(table, group, [KEYS[table]])[KEYS[table]]
        into.add(*log.halves(column))
    return into


def _together(files: list[DataFile]) -> Iterator[list[DataFile]]:
    """Yield files in groups: one by one, many small ones would cost more than their rows."""
    group: list[DataFile] = []
    rows = 0
    for file in files:
        group.append(file)
        rows += file.record_count
        if rows >= ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
    if group:
        yield group
