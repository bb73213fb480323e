"""Ingestion: candidates through their contracts into the log and the online store, bad rows into
quarantine.

Adding is idempotent by event id, so an interrupted or repeated ingestion ends in the same log. The
online store is filled from the log up to a ref, so a crash between the two is made good by the next
run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from features import contracts, log
from features.online import OnlineStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from features.contracts import Contract

ONLINE_REF = "online/events"
QUARANTINE_SCHEMA = pa.schema([*log.CANDIDATE, pa.field("reasons", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What became of the rows of a source."""

    read: int
    added: int
    known: int  # rows already in the log
    quarantined: int
    reasons: pa.Table  # reason, rows: the first rule that each refused row broke
    snapshot: int | None  # of the log afterwards


def ingest(workspace: Workspace, terms: Mapping[str, Contract], candidates: pa.Table) -> Ingested:
    """Check, identify and add candidates (CANDIDATE columns); every row ends in the log or in
    quarantine.
    """
    tables = workspace.tables
    log.create(tables, workspace.settings.buckets)
    fill_online(workspace)  # what an interrupted run left undone
    checked = contracts.check(terms, candidates)
    quarantined = _quarantine(workspace, checked.bad)
    fresh = log.new_events(log.identified(checked.good), _known_ids(workspace))
    if fresh.num_rows:
        _add(workspace, fresh)
    return Ingested(
        read=candidates.num_rows,
        added=fresh.num_rows,
        known=checked.good.num_rows - fresh.num_rows,
        quarantined=quarantined,
        reasons=_counted(checked.bad),
        snapshot=tables.head(log.TABLE),
    )


def fill_online(workspace: Workspace) -> None:
    """Bring the online store up to the head of the log; does nothing when it is there already."""
    head, ref = workspace.tables.head(log.TABLE), workspace.refs.get(ONLINE_REF)
    if head is None or (ref is not None and ref.target == str(head)):
        return
    store = OnlineStore(workspace.database)
    for bucket in workspace.tables.buckets(log.TABLE, head):
        store.fill(workspace.tables.read_bucket(bucket))
    _filled_up_to(workspace, head, ref)


def _add(workspace: Workspace, fresh: pa.Table) -> None:
    """Append to the log, then to the online store; all of it if another ingestion came between."""
    ref = workspace.refs.get(ONLINE_REF)
    head = workspace.tables.append(log.TABLE, fresh)
    parent = workspace.tables.parent(log.TABLE, head)
    if (ref.target if ref else None) != (str(parent) if parent else None):
        fill_online(workspace)
        return
    OnlineStore(workspace.database).fill(fresh)
    _filled_up_to(workspace, head, ref)


def _filled_up_to(workspace: Workspace, head: int, ref: Ref | None) -> None:
    """Move the ref; where another ingestion was faster, the next one fills what is missing."""
    workspace.refs.move(
        ONLINE_REF,
        to=str(head),
        expect_epoch=ref.epoch if ref else 0,
        actor="ingest",
        reason="filled from the log",
        now=workspace.clock(),
    )


def _known_ids(workspace: Workspace) -> pa.ChunkedArray:
    return workspace.tables.read(log.TABLE, columns=["event_id"])["event_id"]


def _quarantine(workspace: Workspace, bad: pa.Table) -> int:
    """Keep refused rows with their reasons; a row refused before for the same reasons is not kept
    twice.
    """
    tables = workspace.tables
    tables.create(log.QUARANTINE, QUARANTINE_SCHEMA)
    bad = bad.select(QUARANTINE_SCHEMA.names).cast(QUARANTINE_SCHEMA)
    there = tables.read(log.QUARANTINE)
    fresh = bad.filter(pc.invert(pc.is_in(_row_texts(bad), value_set=_row_texts(there))))
    if fresh.num_rows:
        tables.append(log.QUARANTINE, fresh)
    return int(bad.num_rows)


def _row_texts(rows: pa.Table) -> pa.Array:
    texts = [pc.fill_null(pc.cast(column, pa.string()), "") for column in rows.columns]
    joined = pc.binary_join_element_wise(*texts, "\x1f")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _counted(bad: pa.Table) -> pa.Table:
    first_rule = pc.replace_substring_regex(bad["reasons"], r":(\s.*)?$", "")
    counts = pc.value_counts(first_rule.combine_chunks())
    table = pa.table({"reason": counts.field("values"), "rows": counts.field("counts")})
    return table.sort_by([("rows", "descending"), ("reason", "ascending")])
