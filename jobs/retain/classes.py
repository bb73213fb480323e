"""The classes of data that have a term: what of each is due, and how it is removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from cluster import purge
from features.ingest import quarantine
from features.log import TABLE as LOG
from features.removal import due, pages
from features.removal import remove as removal
from features.removal.due import Due
from serving.planner.drafts import Drafts
from serving.simulations import retained

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.removal.holds import Holds
    from features.removal.terms import Retention

SCORES = "scores_"  # how the names of such tables begin
REPORT = "report"  # the job that makes pages


@dataclass(frozen=True, kw_only=True)
class Found:
    """What of one class is due, and what removes it."""

    due: Due
    take: Callable[[Workspace, Due], int] | None  # None: events, all of which go at once


def find(workspace: Workspace, terms: Retention, holds: Holds, now: datetime) -> list[Found]:
    """Return what is due of every class that has a term."""
    found = [Found(due=each, take=None) for each in due.events(
        workspace, terms.events, holds, now)]  # fmt: skip
    if terms.quarantine is not None:
        refused = due.refused(workspace, terms.quarantine, holds, now)
        found.append(Found(due=refused, take=_refused))
    if terms.scores is not None:
        for table in _scores(workspace):
            old = due.scores(workspace, table, terms.scores, holds, now)
            found.append(Found(due=old, take=partial(_snapshots, table)))
    if terms.reports is not None:
        found.append(Found(due=_pages(workspace, terms.reports, holds, now), take=_forget_pages))
    if terms.identities is not None:
        silent = due.identities(workspace, terms.identities, holds, now)
        found.append(Found(due=silent, take=_identities))
    if terms.simulations is not None:
        asked = _simulations(workspace, terms.simulations, holds, now)
        found.append(Found(due=asked, take=_forget_simulations))
    if terms.drafts is not None:
        before = now - timedelta(days=terms.drafts)
        gone = Drafts(workspace).past(before)
        drafts = Due(name="drafts", days=terms.drafts, before=before, ids=gone, held=0)
        found.append(Found(due=drafts, take=_forget_drafts))
    return found


def remove(workspace: Workspace, found: list[Found]) -> dict[str, int]:
    """Remove what is due; returns how many of each class."""
    events = [id for each in found if each.take is None for id in each.due.ids]
    if events:
        removal.from_log(workspace, pa.array(events, pa.binary(16)))
    return {
        each.due.name: each.take(workspace, each.due)
        if each.take is not None and each.due.ids
        else len(each.due.ids)
        for each in found
    }


def end(workspace: Workspace) -> int:
    """End what an earlier run, or a job that died, left half done; returns how many files were
    deleted for that.
    """
    files = retained.sweep(workspace)
    files += sum(removal.end(workspace, table) for table in (LOG, quarantine.TABLE))
    begun = [name for name in _scores(workspace) if purge.is_due(workspace, name)]
    return files + sum(purge.purge(workspace, name, ()) for name in begun)


def _scores(workspace: Workspace) -> list[str]:
    return [name for name in workspace.tables.names() if name.startswith(SCORES)]


def _refused(workspace: Workspace, found: Due) -> int:
    return removal.from_quarantine(workspace, pa.array(found.ids, pa.binary(16))).rows


def _snapshots(table: str, workspace: Workspace, found: Due) -> int:
    purge.purge(workspace, table, [each for each in found.ids if isinstance(each, int)])
    return len(found.ids)


def _identities(workspace: Workspace, found: Due) -> int:
    workspace.vault.forget([str(each) for each in found.ids])
    return len(found.ids)


def _simulations(workspace: Workspace, days: int, holds: Holds, now: datetime) -> Due:
    """Return the simulations that are due; one that names what is held stays."""
    before = now - timedelta(days=days)
    old = retained.old(workspace, before)
    keys = [hold.key for hold in holds.all]
    held = set(retained.naming(workspace, keys, among=set(old)))
    ids = tuple(id for id in old if id not in held)
    return Due(name="simulations", days=days, before=before, ids=ids, held=len(held))


def _forget_simulations(workspace: Workspace, found: Due) -> int:
    return retained.forget(workspace, [str(each) for each in found.ids], found.before)


def _forget_drafts(workspace: Workspace, found: Due) -> int:
    return Drafts(workspace).sweep(found.before)


def _pages(workspace: Workspace, days: int, holds: Holds, now: datetime) -> Due:
    """Return the pages that are due, by the keys of their runs; a page that names what is held
    stays.
    """
    before, keys = now - timedelta(days=days), [hold.key for hold in holds.all]
    old = [run for run in pages.every(workspace) if run.finished and run.finished < before]
    held = {run.key for run in old if pages.names(workspace, run, keys)}
    ids = tuple(run.key for run in old if run.key not in held)
    return Due(name="pages of reports", days=days, before=before, ids=ids, held=len(held))


def _forget_pages(workspace: Workspace, found: Due) -> int:
    return pages.delete(workspace, [str(each) for each in found.ids])
