"""Simulations that are kept no longer: those that nobody has asked for in a while, or that name
somebody who is to be forgotten. With a simulation go its result and who asked for it.
"""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import schema
from cluster.blobs import BlobDamaged
from serving.simulations import store
from serving.simulations.records import UNDER_WAY
from serving.simulations.spares import Spares

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.simulations.records import Run

AT_ONCE = 1_000  # of a transaction
ERASED = "somebody was erased from the log that it had read: submit it again"
FOLDER = "simulations"  # of the home: what jobs under way were asked
_ROWS, _ASKS = schema.simulations, schema.simulation_asks


def old(workspace: Workspace, before: datetime) -> list[str]:
    """Return the ids of those that are over, are not shared, and were asked for last before a
    moment.
    """
    query = sa.select(_ROWS.c.id).where(_is_old(before))
    with workspace.database.connect() as connection:
        return list(connection.scalars(query.order_by(_ROWS.c.id)))


def naming(
    workspace: Workspace, keys: Sequence[str], among: Collection[str] | None = None
) -> list[str]:
    """Return the ids of those (`among`: of some) whose question or result names one of some keys,
    shared ones too; a result that cannot be read may.
    """
    texts = [key.encode() for key in keys if key]
    query = sa.select(_ROWS.c.id, _ROWS.c.asked, _ROWS.c.result).order_by(_ROWS.c.id)
    with workspace.database.connect() as connection:
        rows = connection.execute(query).all() if texts else []
    return [
        id
        for id, asked, result in rows
        if (among is None or id in among) and _names(workspace, texts, asked, result)
    ]


def forget(workspace: Workspace, ids: Collection[str], before: datetime | None = None) -> int:
    """Take some off the record, with their questions and results; returns how many. One that is
    under way counts no more: its job ends at its next word. `before`: only those that `old` would
    still tell, as one may have been shared or asked for since.
    """
    gone = sum(_forget(workspace, some, before) for some in batched(ids, AT_ONCE))
    sweep(workspace)
    return gone


def _forget(workspace: Workspace, ids: tuple[str, ...], before: datetime | None) -> int:
    due = _ROWS.delete().where(_ROWS.c.id.in_(ids))
    due = due if before is None else due.where(_is_old(before))
    with workspace.database.begin() as connection:
        store.alone(connection)
        rows = connection.execute(due.returning(_ROWS.c.id, _ROWS.c.result)).all()
        gone = [row.id for row in rows]
        connection.execute(_ASKS.delete().where(_ASKS.c.simulation.in_(gone)))
    for row in rows:
        if row.result is not None:
            workspace.blobs.delete(row.result)  # it holds its id, so it is of no other
    return len(gone)


def let_go(workspace: Workspace, run: Run, result: str) -> None:
    """Delete the result of a run that counts no more, unless another attempt has the same, or is
    about to.
    """
    kept = store.Store(workspace.database).get(run.id)
    if kept is None or not (kept.is_under_way or kept.result == result):
        workspace.blobs.delete(result)


def start_over(workspace: Workspace) -> int:
    """End those that are under way, and the process that waits for the next: they have read the log
    as it was, which names who is erased by now. Returns how many were under way.
    """
    kept = store.Store(workspace.database)
    ended = sum(kept.failed(each.run, ERASED, workspace.clock()) for each in kept.under_way())
    Spares(workspace.database).dismiss()
    sweep(workspace)
    return ended


def sweep(workspace: Workspace) -> int:
    """Delete the questions that jobs left which are under way no more; returns how many."""
    files = list((workspace.settings.home / FOLDER).glob("*.yaml"))  # first: a job begins before it
    runs = {str(kept.run) for kept in store.Store(workspace.database).under_way()} if files else ()
    left = [each for each in files if each.stem not in runs]
    for each in left:
        each.unlink(missing_ok=True)
    return len(left)


def _is_old(before: datetime) -> sa.ColumnElement[bool]:
    limit = schema.micros(before)
    later = sa.select(_ASKS.c.simulation).where(_ASKS.c.at >= limit)
    return sa.and_(
        _ROWS.c.status.not_in(UNDER_WAY),
        _ROWS.c.shared_at.is_(None),
        sa.func.coalesce(_ROWS.c.finished_at, _ROWS.c.heard_at) < limit,
        _ROWS.c.id.not_in(later),
    )


def _names(workspace: Workspace, texts: list[bytes], asked: str, result: str | None) -> bool:
    try:
        return any(text in said for said in _said(workspace, asked, result) for text in texts)
    except BlobDamaged:
        return True


def _said(workspace: Workspace, asked: str, result: str | None) -> list[bytes]:
    is_there = result is not None and workspace.blobs.has(result)
    return [asked.encode(), *([workspace.blobs.get(str(result))] if is_there else [])]
