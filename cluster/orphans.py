"""Orphans: data files of a table that no snapshot refers to, left by writers that died."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pyiceberg.table import Table

DATA = "data"  # below the place of a table


def sweep(table: Table, before: datetime) -> int:
    """Delete data files that were last written before a moment and that no snapshot of the table
    refers to; returns how many.

    A writer at work has files that no snapshot refers to yet: `before` must lie before it began.
    """
    used = set(_used(table))
    filesystem, root = fsspec.url_to_fs(f"{table.location()}/{DATA}")
    if not filesystem.isdir(root):
        return 0
    swept = 0
    for path in filesystem.find(root):
        if _bare(path) not in used and filesystem.modified(path) < before:
            filesystem.rm_file(path)
            swept += 1
    return swept


def _used(table: Table) -> Iterator[str]:
    """Yield the files of all snapshots that are kept, tagged or not, deleted since or not."""
    seen: set[str] = set()
    for snapshot in table.snapshots():
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                yield _bare(entry.data_file.file_path)


def _bare(path: str) -> str:
    """Return a path without its protocol, so that all spellings of it are one."""
    return path.rpartition("://")[2].rstrip("/")
