"""Batch scoring on Ray Data: chunks of rows through a pool of actors that hold the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy

from cluster import session
from cluster.errors import FunnelcastError, Refusal
from cluster.workspace import Workspace
from serving import batch
from serving.service import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cluster.settings import Settings
    from serving.service import Answer


class Scorer:
    """Loads the stable model once per actor and scores blocks with it."""

    def __init__(self, settings: Settings, answer: Answer, now: datetime) -> None:
        with Workspace.open(settings) as workspace:
            slot = Slot.load(workspace, answer)
        if isinstance(slot, Refusal):
            raise FunnelcastError(str(slot))
        self._slot, self._now = slot, now

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Score one block."""
        return batch.score(self._slot, rows, self._now)


def scored(
    settings: Settings, answer: Answer, chunks: list[pa.Table], now: datetime
) -> Iterator[pa.Table]:
    """Yield scored blocks as they are done, in no particular order."""
    session.quiet_data()
    dataset = ray.data.from_arrow(chunks).map_batches(
        Scorer,
        fn_constructor_args=(settings, answer, now),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=min(2, max(1, len(chunks)))),
    )
    for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield block.cast(batch.SCHEMA)
