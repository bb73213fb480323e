"""The features of one entity at one moment, from the history of its shard: for a request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from features import spine
from features.compute import single
from features.compute.gathered import Gathered
from features.compute.program import compiled
from features.online.history import History
from features.online.stored import Batch, Stored
from features.views.language import Events

if TYPE_CHECKING:
    from features.compute.program import Program
    from features.compute.single import Row
    from features.targets import Target

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def program(target: Target) -> Program:
    """Return what computes the features of a target for one entity. Keep it."""
    anchor = Events(kind=target.anchor.kind, names=target.anchor.names)
    return compiled(target.features, anchor)


def joined(history: History, shard: str, events: pa.Table) -> History:
    """Return a history with events beside it, such as those of a request: SCHEMA columns."""
    parts = [
        Stored(batch=Batch(rows), shard=shard, start=0, count=rows.num_rows)
        for rows in events.combine_chunks().to_batches()
    ]
    return History(parts=(*history.parts, *parts))


def row(program: Program, history: History, entity: str, at: datetime) -> Row | None:
    """Return the features of an entity at T; None while its anchor is not known."""
    gathered = history.once(program, lambda: Gathered(program, history.parts))
    return single.anchored(program, gathered, entity, (at - EPOCH) // MICROSECOND)


def table(program: Program, found: Row | None) -> pa.Table:
    """Return the row, or none, as a table: SCORING columns, then the features."""
    rows = [found] if found else []
    plain = [{**row.keys, "time": row.time} for row in rows]
    columns = [pa.array([row[f.name] for row in plain], f.type) for f in spine.SCORING]
    return single.table(program.view, pa.Table.from_arrays(columns, schema=spine.SCORING), rows)
