"""The record of health: one row per measured snapshot and feature, one commit per snapshot."""

from __future__ import annotations

from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.health.measure import HEALTH, OF_ALL, measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.commits import Commit
    from cluster.tables import Tables
    from cluster.workspace import Workspace

TABLE = "feature_health"
ROWS = "funnelcast.rows"  # property of a commit: <table>@<snapshot> that was measured
AS_OF = "funnelcast.as_of"  # property of a snapshot of feature rows
AT_ONCE = 16  # columns in memory


def keep(workspace: Workspace, table: str, snapshot: int, features: Sequence[str]) -> int:
    """Measure columns of a snapshot, put them on record and return the snapshot of TABLE.

    Drift is measured from the newest earlier snapshot of the table that is on record. What is on
    record is not measured again.
    """
    tables = workspace.tables
    tables.create(TABLE, HEALTH)
    done = _on_record(tables, table)
    if snapshot in done:
        return done[snapshot].snapshot
    earlier = [each for each in _ancestors(tables, table, snapshot) if each in done]
    before = _rows(tables, done[earlier[0]]) if earlier else None
    labels = {"table": table, "snapshot": snapshot, "before": earlier[0] if earlier else None}
    labels |= _age(tables, tables.properties(table, snapshot))
    parts = [
        measured(tables.read(table, snapshot, names).select(names), before)
        for names in map(list, batched(features, AT_ONCE))
    ]
    found = _labelled(parts, labels)
    return tables.append(TABLE, found, {ROWS: f"{table}@{snapshot}"})


def of_snapshot(tables: Tables, table: str, snapshot: int) -> pa.Table | None:
    """Return what is on record of a snapshot, HEALTH columns; None if it was not measured."""
    commit = _on_record(tables, table).get(snapshot)
    return None if commit is None else _rows(tables, commit)


def _on_record(tables: Tables, table: str) -> dict[int, Commit]:
    """Return the commits of TABLE by the snapshot of `table` that they are about."""
    commits = tables.history(TABLE) if tables.exists(TABLE) else []
    said = [(commit.properties.get(ROWS, "").partition("@"), commit) for commit in commits]
    return {int(number): commit for (name, _, number), commit in said if name == table}


def _ancestors(tables: Tables, table: str, snapshot: int) -> list[int]:
    """Return the snapshots before a snapshot, newest first."""
    chain = [commit.snapshot for commit in tables.history(table)]
    return chain[: chain.index(snapshot)][::-1] if snapshot in chain else []


def _rows(tables: Tables, commit: Commit) -> pa.Table:
    files = tables.added(TABLE, commit.parent, commit.snapshot)
    return tables.read_files(TABLE, files).cast(HEALTH)


def _labelled(parts: list[pa.Table], labels: Mapping[str, object]) -> pa.Table:
    """Return rows with what is the same for all of them: HEALTH columns."""
    found = pa.concat_tables(parts)
    for name in OF_ALL:
        field = HEALTH.field(name)
        column = pa.repeat(pa.scalar(labels.get(name), field.type), found.num_rows)
        found = found.append_column(field, column)
    return found.select(HEALTH.names)


def _age(tables: Tables, said: Mapping[str, str]) -> dict[str, datetime | None]:
    """Return until when the rows of a snapshot could know, and until when they did."""
    if AS_OF not in said or log.MADE_FROM not in said:
        return {}
    as_of, newest = datetime.fromisoformat(said[AS_OF]), None
    for bucket in tables.buckets(log.TABLE, int(said[log.MADE_FROM])):
        known = tables.read_bucket(bucket, ["known_at"])["known_at"]
        seen = pc.max(known.filter(pc.less_equal(known, pa.scalar(as_of, log.MICROSECONDS))))
        newest = max((each for each in (newest, seen.as_py()) if each is not None), default=None)
    return {"as_of": as_of, "known_to": newest}
