"""Pages of reports: which name somebody, and their removal with the record of their run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import canonical, schema

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cluster.runs import Run
    from cluster.workspace import Workspace

REPORT = "report"  # the job that makes pages


def every(workspace: Workspace) -> list[Run]:
    """Return the runs that made a page."""
    return [run for run in workspace.runs.all() if run.job == REPORT and _wrote(run).get("blob")]


def names(workspace: Workspace, run: Run, keys: Sequence[str]) -> bool:
    """Does a page name one of some keys?"""
    blob = str(_wrote(run)["blob"])
    data = workspace.blobs.get(blob) if workspace.blobs.has(blob) else b""
    return any(key.encode() in data for key in keys)


def delete(workspace: Workspace, runs: Collection[str]) -> int:
    """Delete pages where they lie, if they are still those, and the records of their runs."""
    gone = [run for run in every(workspace) if run.key in runs]
    for run in gone:
        page, blob = Path(str(_wrote(run).get("report", ""))), str(_wrote(run)["blob"])
        if page.is_file() and canonical.sha256_hex(page.read_bytes()) == blob:
            page.unlink()
        workspace.blobs.delete(blob)
    table = schema.runs
    with workspace.database.begin() as connection:
        connection.execute(table.delete().where(table.c.key.in_([run.key for run in gone])))
    return len(gone)


def delete_naming(workspace: Workspace, keys: Sequence[str]) -> int:
    """Delete the pages that name one of some keys; returns how many."""
    naming = [run.key for run in every(workspace) if names(workspace, run, keys)]
    return delete(workspace, naming)


def _wrote(run: Run) -> dict[str, Any]:
    return dict((run.report or {}).get("wrote") or {})
