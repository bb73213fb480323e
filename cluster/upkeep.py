"""Upkeep of a table: snapshots pinned or given up, and files away that no snapshot refers to.

Those are the files of writers that died, and those of snapshots that were given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec

from cluster import schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

FOLDERS = (("data", ".parquet"), ("metadata", ".avro"))  # below the place of a table
_MICROSECONDS = 1000  # in a millisecond


def pin(table: Table, snapshot: int, tag: str) -> None:
    """Give a snapshot a name that keeps it; a name that is there stays where it is."""
    if tag not in table.metadata.refs:
        with table.manage_snapshots() as manage:
            manage.create_tag(snapshot, tag)


def expire(table: Table, before: datetime, keep: Collection[int]) -> int:
    """Give up the snapshots made before a moment, but the newest, tagged ones and those to `keep`;
    returns how many.
    """
    safe = {ref.snapshot_id for ref in table.metadata.refs.values()}.union(keep)
    old = [
        snapshot.snapshot_id
        for snapshot in table.snapshots()
        if schema.moment(snapshot.timestamp_ms * _MICROSECONDS) < before
        and snapshot.snapshot_id not in safe
    ]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()
    return len(old)


def sweep(table: Table, before: datetime, spare: Collection[str] = ()) -> int:
    """Delete files that were last written before a moment and that no snapshot of the table refers
    to, but those to `spare`; returns how many.

    A writer at work has files that no snapshot refers to yet: `before` must lie before it began, or
    they are spared. Find out what to spare before the call, as a commit may come between.
    """
    kept = {*used(table), *map(_bare, spare)}
    return sum(_sweep(table, *folder, kept, before) for folder in FOLDERS)


def give_up(table: Table, snapshots: Collection[int]) -> None:
    """Give up some snapshots, with their tags."""
    refs = table.metadata.refs
    for tag in [name for name, ref in refs.items() if ref.snapshot_id in snapshots]:
        with table.manage_snapshots() as manage:
            manage.remove_tag(tag)
    if snapshots:
        table.maintenance.expire_snapshots().by_ids(list(snapshots)).commit()


def used(table: Table, but: Collection[int] = ()) -> set[str]:
    """Return the files of all snapshots that are kept, but some: paths without their protocol."""
    return set(_used(table, [s for s in table.snapshots() if s.snapshot_id not in but]))


def _sweep(table: Table, folder: str, kind: str, used: set[str], before: datetime) -> int:
    filesystem, root = fsspec.url_to_fs(f"{table.location()}/{folder}")
    if not filesystem.isdir(root):
        return 0
    swept = 0
    for path in filesystem.find(root):
        is_ours = path.endswith(kind) and _bare(path) not in used
        if is_ours and filesystem.modified(path) < before:
            filesystem.rm_file(path)
            swept += 1
    return swept


def _used(table: Table, snapshots: Iterable[Snapshot]) -> Iterator[str]:
    """Yield the files of some snapshots."""
    seen: set[str] = set()
    for snapshot in snapshots:
        yield _bare(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            yield _bare(manifest.manifest_path)
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                yield _bare(entry.data_file.file_path)


def _bare(path: str) -> str:
    """Return a path without its protocol, so that all spellings of it are one."""
    return path.rpartition("://")[2].rstrip("/")
