"""Batch scoring on Ray Data: blocks of rows, each worker loading the model once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

import ray.data

from cluster import session
from cluster.errors import FunnelcastError, Refusal
from cluster.workspace import Workspace
from serving import batch
from serving.service import Answer, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import pyarrow as pa

    from cluster.settings import Settings


def scored(
    settings: Settings, answer: Answer, chunks: list[pa.Table], now: datetime
) -> Iterator[pa.Table]:
    """Yield scored blocks as they are done, in no particular order."""
    session.quiet_data()
    dataset = ray.data.from_arrow(chunks).map_batches(
        cast("Any", _score),
        fn_args=(settings, answer, now),
        batch_size=None,
        batch_format="pyarrow",
    )
    for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield cast("pa.Table", block).cast(batch.SCHEMA)


def _score(rows: pa.Table, settings: Settings, answer: Answer, now: datetime) -> pa.Table:
    slot = _slot(settings, answer)
    if isinstance(slot, Refusal):
        raise FunnelcastError(str(slot))
    return batch.score(slot, rows, now)


@cache
def _slot(settings: Settings, answer: Answer) -> Slot | Refusal:
    with Workspace.open(settings) as workspace:
        return Slot.load(workspace, answer)
