"""Simulations that are kept no longer: those that nobody has asked for in a while, or that name
somebody who is to be forgotten. With a simulation go its result and who asked for it.
"""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import schema
from serving.simulations.records import UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from cluster.workspace import Workspace

AT_ONCE = 1_000  # of a transaction
FOLDER = "simulations"  # of the home: what jobs under way were asked
_ROWS, _ASKS = schema.simulations, schema.simulation_asks


def old(workspace: Workspace, before: datetime) -> list[str]:
    """Return the ids of those that are over, are not shared, and were asked for last before a
    moment.
    """
    limit = schema.micros(before)
    later = sa.select(_ASKS.c.simulation).where(_ASKS.c.at >= limit)
    query = sa.select(_ROWS.c.id).where(
        _ROWS.c.status.not_in(UNDER_WAY),
        _ROWS.c.shared_at.is_(None),
        sa.func.coalesce(_ROWS.c.finished_at, _ROWS.c.heard_at) < limit,
        _ROWS.c.id.not_in(later),
    )
    with workspace.database.connect() as connection:
        return list(connection.scalars(query.order_by(_ROWS.c.id)))


def naming(workspace: Workspace, keys: Sequence[str]) -> list[str]:
    """Return the ids of those whose question or result names one of some keys, shared ones too."""
    texts = [key.encode() for key in keys if key]
    query = sa.select(_ROWS.c.id, _ROWS.c.asked, _ROWS.c.result).order_by(_ROWS.c.id)
    with workspace.database.connect() as connection:
        rows = connection.execute(query).all()
    return [
        id
        for id, asked, result in rows
        if any(text in said for said in _said(workspace, asked, result) for text in texts)
    ]


def forget(workspace: Workspace, ids: Collection[str]) -> int:
    """Take some off the record, with their results; returns how many. One that is under way counts
    no more: its job ends at its next word.
    """
    return sum(_forget(workspace, some) for some in batched(ids, AT_ONCE))


def _forget(workspace: Workspace, ids: tuple[str, ...]) -> int:
    mine = _ROWS.c.id.in_(ids)
    with workspace.database.begin() as connection:
        results = connection.scalars(sa.select(_ROWS.c.result).where(mine)).all()
        gone = connection.execute(_ROWS.delete().where(mine)).rowcount
        connection.execute(_ASKS.delete().where(_ASKS.c.simulation.in_(ids)))
    for result in filter(None, results):  # each holds its id, so it is of no other
        workspace.blobs.delete(result)
    return gone


def sweep(workspace: Workspace, before: datetime) -> int:
    """Delete what jobs that died before a moment left of their questions; returns how many."""
    folder = workspace.settings.home / FOLDER
    left = [each for each in folder.glob("*.yaml") if each.stat().st_mtime < before.timestamp()]
    for each in left:
        each.unlink(missing_ok=True)
    return len(left)


def _said(workspace: Workspace, asked: str, result: str | None) -> list[bytes]:
    is_there = result is not None and workspace.blobs.has(result)
    return [asked.encode(), *([workspace.blobs.get(str(result))] if is_there else [])]
