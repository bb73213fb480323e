"""Compaction: arrivals into the log, small files into large ones, what is not needed away.

Each part can be interrupted anywhere and is completed by the next run. What is in the log is
decided by ids, never by notes of what was done.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster.errors import FunnelcastError
from cluster.parts import Parts
from features import log, online
from features.arrivals import pending
from features.ingest import finish, quarantine
from features.ingest.land import Landing
from features.known import KnownIds
from features.online import follower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from pyiceberg.manifest import DataFile

    from cluster.refs import Ref
    from cluster.tables import Tables
    from cluster.workspace import Workspace
    from features.arrivals.pending import Pending
    from features.online.base import Base

PART = 50_000  # arrivals in one commit
MERGE_ROWS = 2_000_000  # in memory at once, at most, and in one new file
GROUP_ROWS = 250_000  # of a row group
ARRIVALS = "funnelcast.arrivals"  # property of a commit: how many it folds
ORDER = [("shard", "ascending"), ("event_time", "ascending"), ("event_id", "ascending")]


class RowsDiffer(FunnelcastError):
    """A rewritten file does not hold the rows of the files that it replaces."""


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What became of what had arrived."""

    events: int = 0  # new in the log
    known: int = 0  # in the log already
    refused: int = 0  # taken to quarantine

    def __add__(self, other: Folded) -> Folded:
        """Return the sum."""
        return Folded(
            events=self.events + other.events,
            known=self.known + other.known,
            refused=self.refused + other.refused,
        )


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """What became of the files of the log."""

    before: int
    after: int
    most_before: int  # files of the bucket that had most
    most_after: int


def fold(workspace: Workspace) -> Folded:
    """Take all that has arrived into the log and into quarantine, each exactly once."""
    log.create(workspace.tables, workspace.settings.buckets)
    quarantine.create(workspace.tables)
    online.follow(workspace)
    done = Folded()
    while True:
        waiting = pending.waiting(workspace.database, PART)
        if not (waiting.events.num_rows or waiting.refused.num_rows):
            return done
        done += _fold(workspace, waiting)
        pending.folded(workspace.database, waiting)


def rewrite(workspace: Workspace, most_files: int) -> Rewritten:
    """Merge the small files of every bucket of the log that has more than `most_files`."""
    tables = workspace.tables
    before = _by_bucket(tables, tables.head(log.TABLE))
    for files in before.values():
        if len(files) > most_files:
            for bundle in _bundles(files):
                _merge(workspace, bundle)
    after = _by_bucket(tables, tables.head(log.TABLE))
    return Rewritten(
        before=sum(map(len, before.values())),
        after=sum(map(len, after.values())),
        most_before=max(map(len, before.values()), default=0),
        most_after=max(map(len, after.values()), default=0),
    )


def expire(workspace: Workspace, age: timedelta) -> int:
    """Give up snapshots of the log, of quarantine and of the quality scores that are older than
    `age`; returns how many.

    Rows stay, as the tables only grow. Kept are tagged snapshots, and those that the online store
    or a snapshot of another table rests on.
    """
    before, keep = workspace.clock() - age, _rested_on(workspace)
    return sum(workspace.tables.expire(name, before, keep) for name in _growing(workspace))


def sweep(workspace: Workspace, age: timedelta) -> int:
    """Delete files older than `age` that no snapshot refers to, and drafts of blobs; returns how
    many. Work that rested for as long is forgotten, with its blobs; the files of other unfinished
    work stay.
    """
    before, tables = workspace.clock() - age, workspace.tables
    parts = Parts(workspace.database)
    resting = [part.said["blob"] for part in parts.forget(before) if "blob" in part.said]
    for blob in resting:
        workspace.blobs.delete(blob)
    spare = parts.files()  # before the look at snapshots: a commit may come between
    drafts = workspace.blobs.sweep(before)
    files = sum(tables.sweep(name, before, spare) for name in tables.names())
    return len(resting) + drafts + files


def _growing(workspace: Workspace) -> list[str]:
    """Return the tables that every ingestion adds to."""
    names = (log.TABLE, quarantine.TABLE, finish.TABLE)
    return [name for name in names if workspace.tables.exists(name)]


def _rested_on(workspace: Workspace) -> set[int]:
    tables = workspace.tables
    derived = set(tables.names()) - set(_growing(workspace))
    said = [commit.properties for name in derived for commit in tables.history(name)]
    used = {int(each[log.MADE_FROM]) for each in said if log.MADE_FROM in each}
    base = online.OnlineStore(workspace).base()
    covered = workspace.refs.get(follower.LOG_REF)
    return used | ({base.manifest.snapshot} if base else set()) | _target(covered)


def _target(ref: Ref | None) -> set[int]:
    return {int(ref.target)} if ref else set()


def _fold(workspace: Workspace, waiting: Pending) -> Folded:
    tables = workspace.tables
    base = online.OnlineStore(workspace).base()
    fresh, versions = _unknown(base, waiting.events)
    said = {ARRIVALS: str(fresh.num_rows)}
    landing = Landing(tables, log.TABLE, base.manifest.snapshot if base else None)
    _, doubled = landing.land(tables.write(log.TABLE, fresh), said, versions=versions)
    refused = Landing(tables, quarantine.TABLE, None)
    _, again = refused.land(tables.write(quarantine.TABLE, waiting.refused), {})
    events = fresh.num_rows - doubled
    return Folded(
        events=events,
        known=waiting.events.num_rows - events,
        refused=waiting.refused.num_rows - again,
    )


def _unknown(base: Base | None, events: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """Return the events that the base does not hold, and the rows with several versions."""
    row, content = log.halves(events["event_id"])
    ours, theirs = KnownIds(len(row)), KnownIds()
    ours.add(row, content)
    for ids in base.versions(ours) if base else ():
        theirs.add(*log.halves(ids))
    is_there = theirs.holds(row, content)
    rows, counts = np.unique(row, return_counts=True)
    versions = np.union1d(rows[counts > 1], row[theirs.holds_row(row) & ~is_there])
    return events.filter(pa.array(~is_there)), versions


def _by_bucket(tables: Tables, snapshot: int | None) -> dict[int, list[DataFile]]:
    found: dict[int, list[DataFile]] = defaultdict(list)
    for file in tables.files(log.TABLE, snapshot):
        found[int(file.partition[0])].append(file)
    return found


def _bundles(files: list[DataFile]) -> Iterator[list[DataFile]]:
    """Yield the files to merge, smallest first: bundles of several that fit into memory."""
    bundle: list[DataFile] = []
    for file in sorted(files, key=lambda f: (f.record_count, f.file_path)):
        if bundle and sum(f.record_count for f in bundle) + file.record_count > MERGE_ROWS:
            if len(bundle) > 1:
                yield bundle
            bundle = []
        bundle.append(file)
    if len(bundle) > 1:
        yield bundle


def _merge(workspace: Workspace, old: list[DataFile]) -> None:
    """Put one sorted file in the place of several; gives way to whoever rewrote them before."""
    tables = workspace.tables
    new = _rewritten(tables, old)
    _require_same(tables, old, new)
    paths = {file.file_path for file in old}
    while True:
        head = tables.head(log.TABLE)
        if not paths <= {file.file_path for file in tables.files(log.TABLE, head)}:
            return
        said = {online.SAME_ROWS: str(head)}
        after = tables.commit_after(log.TABLE, new, head=head, replacing=old, properties=said)
        if after is not None and head is not None:
            online.same_rows(workspace, head, after)
            return


def _rewritten(tables: Tables, old: list[DataFile]) -> list[DataFile]:
    rows = tables.read_files(log.TABLE, old).sort_by(ORDER)
    writer = tables.writer(log.TABLE)
    for start in range(0, rows.num_rows, GROUP_ROWS):
        writer.add(rows.slice(start, GROUP_ROWS))
    return writer.close()


def _require_same(tables: Tables, old: list[DataFile], new: list[DataFile]) -> None:
    before, after = _ids(tables, old), _ids(tables, new)
    if not np.array_equal(before, after):
        raise RowsDiffer(
            f"a rewrite must keep every event, got {len(after)} for {len(before)}: nothing was"
            " replaced; check the files of the bucket"
        )


def _ids(tables: Tables, files: list[DataFile]) -> np.ndarray:
    ids = tables.read_files(log.TABLE, files, ["event_id"])["event_id"]
    words = np.column_stack(log.halves(ids))
    ordered: np.ndarray = words[np.lexsort(words.T)]
    return ordered
