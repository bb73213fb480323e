"""Keeping the online store up with the log.

Few new events go to the tail; many make a new base. Every step can be the last: events are in the
tail or in a base before a ref says so, and leave the tail only after the ref to a base that holds
them has moved. Any number of callers may do the same at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from cluster.blobs import BlobDamaged, BlobMissing
from cluster.tables import SnapshotMissing
from features import log
from features.known import KnownIds
from features.online import tail
from features.online.base import REF as BASE_REF
from features.online.base import Base, Manifest
from features.online.build import build

if TYPE_CHECKING:
    from cluster.refs import Ref
    from cluster.tables import Tables
    from cluster.workspace import Workspace

TIDY_REF = "online/tidied"  # the base whose events have left the tail
LOG_REF = "online/log"  # the snapshot of which base and tail together hold all events
FEW = 50_000  # events that go to the tail in one go
TAIL_MOST = 200_000  # events of the log in the tail, before a base is built
SAME_ROWS = "funnelcast.same-rows"  # property of a commit that only rewrote files
_ACTOR = "online"


def follow(workspace: Workspace) -> None:
    """Bring the store up to the head of the log; completes what an interrupted call left undone."""
    while (head := workspace.tables.head(log.TABLE)) is not None:
        covered = workspace.refs.get(LOG_REF)
        if covered is not None and covered.target == str(head):
            break
        _step(workspace, head, covered)
    _tidy(workspace)


def rebuild(workspace: Workspace) -> None:
    """Put a base of the head of the log in place: the one before holds what was taken out of it."""
    while (head := workspace.tables.head(log.TABLE)) is not None:
        covered = workspace.refs.get(LOG_REF)
        if _rebase(workspace, head) and (
            (covered is not None and covered.target == str(head))
            or _move(workspace, LOG_REF, str(head), covered, "rows were taken out of the log")
        ):
            break
    _tidy(workspace)


def same_rows(workspace: Workspace, before: int, after: int) -> None:
    """Say that snapshot `after` of the log holds the same events as `before`."""
    covered = workspace.refs.get(LOG_REF)
    if covered is not None and covered.target == str(before):
        _move(workspace, LOG_REF, str(after), covered, "the same events in other files")


def heal(workspace: Workspace) -> int:
    """Check every byte of the base and write damaged files anew; returns how many there were.

    Readers map files unchecked. The same log makes the same bytes, so a new build puts them right;
    a process that has a damaged file mapped goes on with it until it opens the base again.
    """
    ref = workspace.refs.get(BASE_REF)
    snapshot = _snapshot_of(workspace, ref) if ref else None
    if ref is None or snapshot is None:
        return 0
    names = Manifest.read(workspace.blobs, ref.target).blobs
    damaged = sum(not _is_whole(workspace, name) for name in names)
    if damaged and workspace.refs.get(BASE_REF) == ref:
        build(workspace, snapshot)
        return damaged
    return 0


def _is_whole(workspace: Workspace, name: str) -> bool:
    try:
        workspace.blobs.get(name)
    except (BlobDamaged, BlobMissing):
        return False
    return True


def _step(workspace: Workspace, head: int, covered: Ref | None) -> None:
    new = _few(workspace, int(covered.target) if covered else None, head)
    if new is not None:
        tail.fill(workspace.database, new)
    elif not _rebase(workspace, head):
        return
    _move(workspace, LOG_REF, str(head), covered, "base and tail hold all of it")


def _few(workspace: Workspace, covered: int | None, head: int) -> pa.Table | None:
    """Return the events that came since a snapshot; None if they are too many for the tail."""
    tables = workspace.tables
    try:
        files = tables.added(log.TABLE, covered, _without_rewrites(tables, covered, head))
    except SnapshotMissing:
        return None
    rows = sum(file.record_count for file in files)
    if rows > FEW or (rows and rows + tail.count_landed(workspace.database) > TAIL_MOST):
        return None
    return tables.read_files(log.TABLE, files)


def _without_rewrites(tables: Tables, covered: int | None, head: int) -> int:
    """Return the newest snapshot behind which files were rewritten, but no events added."""
    while head != covered and SAME_ROWS in tables.properties(log.TABLE, head):
        parent = tables.parent(log.TABLE, head)
        if parent is None:
            break
        head = parent
    return head


def _rebase(workspace: Workspace, head: int) -> bool:
    """Put a base of `head` in place; returns whether one is."""
    ref = workspace.refs.get(BASE_REF)
    if ref is not None and _snapshot_of(workspace, ref) == head:
        return True
    manifest = build(workspace, head).put(workspace.blobs)
    return _move(workspace, BASE_REF, manifest, ref, f"the log up to {head}")


def _snapshot_of(workspace: Workspace, ref: Ref) -> int | None:
    """Return the snapshot of a base; None if another base has replaced it."""
    try:
        return Manifest.read(workspace.blobs, ref.target).snapshot
    except BlobMissing:
        return None


def _tidy(workspace: Workspace) -> None:
    """Take out of the tail what the base holds, and away what replaced bases were made of."""
    ref, done = workspace.refs.get(BASE_REF), workspace.refs.get(TIDY_REF)
    if ref is None or (done is not None and done.target == ref.target):
        return
    try:
        base = Base.read(workspace.blobs, ref.target)
    except BlobMissing:  # replaced: whoever did it tidies
        return
    drop_held(workspace, base)
    _forget(workspace, base.manifest)
    _move(workspace, TIDY_REF, ref.target, done, "events left the tail")


def drop_held(workspace: Workspace, base: Base) -> None:
    """Take out of the tail what the base holds."""
    ids = tail.landed(workspace.database)
    known = KnownIds(len(ids))
    known.add(*log.halves(ids))
    held = pa.concat_arrays([pa.array([], pa.binary(16)), *base.versions(known)])
    gone = ids.filter(pc.is_in(ids, value_set=held))
    tail.drop_events(workspace.database, [each.hex() for each in gone.to_pylist()])
    pairs = tail.pairs(workspace.database)
    tail.drop_pairs(workspace.database, pairs.filter(base.has_pairs(pairs)).to_pylist())


def _forget(workspace: Workspace, now: Manifest) -> None:
    """Delete the files of replaced bases.

    The log only grows, so no base to come is made of a file that this one is not made of.
    """
    for ref in reversed(workspace.refs.history(BASE_REF)[:-1]):
        try:
            old = Manifest.read(workspace.blobs, ref.target)
        except BlobMissing:  # gone, and so are those before it
            return
        if old == now:
            continue
        for name in old.blobs - now.blobs:
            workspace.blobs.delete(name)
        workspace.blobs.delete(ref.target)


def _move(workspace: Workspace, name: str, to: str, seen: Ref | None, reason: str) -> bool:
    moved = workspace.refs.move(
        name,
        to=to,
        expect_epoch=seen.epoch if seen else 0,
        actor=_ACTOR,
        reason=reason,
        now=workspace.clock(),
    )
    return bool(moved)
