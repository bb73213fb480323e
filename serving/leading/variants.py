"""Who was told which variant of a flag, from the journal, and what became of them, from the log.

The outcome came to an account if the label of the target happened to any of its entities (its
leads, for a target of leads) from the exposure until the horizon was over. Those entities count
that were known to be the account's, and open, when it was told: what begins later is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import compute, consent, log, spine
from serving.releases import compared, flags
from serving.releases.compared import Told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.releases.flags import Flag


@dataclass(frozen=True, kw_only=True)
class Known:
    """Who was told a variant by a moment, and what became of them."""

    told: tuple[Told, ...]  # in the order of the journal
    over: tuple[Told, ...]  # whose horizon is over, in the order of their exposures
    until: datetime  # the log tells of what happened by then


def told(workspace: Workspace, flag: Flag, by: datetime | None = None) -> list[Told]:
    """Return who was told a variant of this version, by a moment if one is given, in the order of
    the journal.
    """
    return [
        Told(account=entry.body["account"], variant=entry.body["variant"], at=entry.at)
        for entry in workspace.journal.entries(flags.EXPOSURE)
        if entry.body["version"] == flag.id and (by is None or entry.at <= by)
    ]


def known(workspace: Workspace, flag: Flag, target: Target, by: datetime) -> Known:
    """Return who was told a variant by a moment, and what became of those whose horizon was over by
    then, as far as the log goes.

    Entities that may not be scored, by what persons say now, are left out, and so is what was
    erased: of an account that has no others nothing is known.
    """
    snapshot = log.pinned(workspace.tables)
    until = min(by, log.latest(workspace.tables, snapshot))
    every = told(workspace, flag, by)
    horizon = timedelta(days=target.horizon_days + target.settle_days)
    over = compared.matured(every, horizon, until)
    found = _outcomes(workspace, target, snapshot, {each.account: each.at for each in over}, until)
    return Known(
        told=tuple(every),
        over=tuple(replace(each, outcome=found.get(each.account)) for each in over),
        until=until,
    )


def _outcomes(
    workspace: Workspace,
    target: Target,
    snapshot: int,
    times: Mapping[str, datetime],
    until: datetime,
) -> dict[str, bool]:
    """Return for each account that had something open whether the outcome came to it."""
    ledger = consent.Keeper(workspace).look()
    found: dict[str, bool] = {}
    for bucket in workspace.tables.buckets(log.TABLE, snapshot) if times else []:
        events = workspace.tables.read_bucket(bucket, compute.COLUMNS, coded=True)
        rows = became(target, events, times, until)
        if target.entity == "lead":
            rows = rows.filter(pa.array(~ledger.are_refused(rows["entity"])))
        for row in rows.to_pylist():
            found[row["account"]] = found.get(row["account"], False) or row["label"]
    return found


def became(
    target: Target, events: pa.Table, times: Mapping[str, datetime], until: datetime
) -> pa.Table:
    """Return what is known at `until` of the entities that accounts had, and that were open, at
    their times: TRAINING columns. Pure.
    """
    asked = _asked(target, events, times)
    rows = spine.outcomes(target, events, asked, until)
    accounts, moments = rows["account"].to_pylist(), rows["time"].to_pylist()
    is_own = [times.get(a) == at for a, at in zip(accounts, moments, strict=True)]
    return rows.filter(pa.array(np.array(is_own, np.bool_)))


def _asked(target: Target, events: pa.Table, times: Mapping[str, datetime]) -> pa.Table:
    """Return each entity that any version of its anchor gives to an account, at its time."""
    anchors = events.filter(log.named(events, target.anchor.kind, target.anchor.names))
    accounts = anchors["account"].cast(pa.string())
    is_asked = pc.is_in(accounts, value_set=pa.array(list(times), pa.string()))
    entities = anchors[target.entity].cast(pa.string()).filter(is_asked).to_pylist()
    pairs = set(zip(entities, accounts.filter(is_asked).to_pylist(), strict=True))
    return _table(sorted((entity, times[account]) for entity, account in pairs if entity))


def _table(rows: Sequence[tuple[str, datetime]]) -> pa.Table:
    entities, times = [row[0] for row in rows], [row[1] for row in rows]
    return pa.table({"entity": entities, "time": times}, schema=spine.ASKED)
