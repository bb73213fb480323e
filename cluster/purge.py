"""Purging: what a table no longer holds is gone from its files too, and from the snapshots before.

A table only forgets when nothing of the past is kept: every snapshot but the newest is given up,
with its tags, and the files that only those had are deleted: data, and manifests, which know the
least and the greatest value of every column. The list of these is on record before the first step,
so that a purge that was killed is ended by the next.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import fsspec

from cluster import upkeep
from cluster.catalog import NAMESPACE, open_catalog, persistently
from cluster.parts import Part, Parts

if TYPE_CHECKING:
    from collections.abc import Collection

    from pyiceberg.table import Table

    from cluster.workspace import Workspace

REMOVED = "funnelcast.removed"  # property of a commit that took rows out for good


def is_due(workspace: Workspace, name: str) -> bool:
    """Is something on record, or kept in an older snapshot, that was to be gone?"""
    if Parts(workspace.database).resume(_work(name), workspace.clock()):
        return True
    return any(REMOVED in said for said in workspace.tables.summaries(name)[1:])


def purge(workspace: Workspace, name: str, snapshots: Collection[int] | None = None) -> int:
    """Give up some snapshots of a table, by default all but the newest, which always stays, and
    delete what only those had; returns how many files. A repeat ends what was interrupted.
    """
    settings = workspace.settings
    catalog = open_catalog(settings.database, settings.warehouse)
    try:
        return persistently(
            lambda: _purge(workspace, name, catalog.load_table(f"{NAMESPACE}.{name}"), snapshots)
        )
    finally:
        catalog.engine.dispose()


def _purge(workspace: Workspace, name: str, table: Table, snapshots: Collection[int] | None) -> int:
    parts, work = Parts(workspace.database), _work(name)
    head, every = table.current_snapshot(), {each.snapshot_id for each in table.snapshots()}
    given = every if snapshots is None else every.intersection(snapshots)
    old = given - ({head.snapshot_id} if head else set())
    kept, before = upkeep.used(table, old), parts.resume(work, workspace.clock())
    gone = upkeep.used(table).union(f for part in before for f in part.files) - kept
    todo = Part(number=len(before), files=tuple(sorted(gone)), said={})
    parts.keep(work, todo, workspace.clock())
    upkeep.give_up(table, old)
    for path in gone:
        _delete(table, path)
    parts.drop(work)
    return len(gone)


def _delete(table: Table, path: str) -> None:
    filesystem, _ = fsspec.url_to_fs(table.location())
    with suppress(FileNotFoundError):
        filesystem.rm_file(path)


def _work(name: str) -> str:
    return f"purge {name}"
