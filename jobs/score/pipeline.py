"""Batch scoring on Ray Data: numbers of files in, each read, scored and written by a worker."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import ray.data

from cluster import session
from cluster.workspace import Workspace
from jobs.score import step
from jobs.score.work import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.settings import Settings
    from jobs.score.work import Work


def done(settings: Settings, work: Work, numbers: list[int]) -> Iterator[int]:
    """Score files on Ray; yields the rows of each as it is done."""
    for block in _mapped(_take, settings, work, numbers):
        yield from block["rows"].to_pylist()


def levels(settings: Settings, work: Work, numbers: list[int]) -> Iterator[pa.Table]:
    """Yield segments and probabilities of the rows of files, in no particular order."""
    for block in _mapped(_level, settings, work, numbers):
        yield block.select(["segment", "probability"])


def _mapped(
    do: Callable[..., pa.Table], settings: Settings, work: Work, numbers: list[int]
) -> Iterator[pa.Table]:
    session.quiet_data()
    items = ray.data.from_items([{"number": n} for n in numbers], override_num_blocks=len(numbers))
    steps = items.map_batches(
        cast("Any", do), batch_size=None, batch_format="pyarrow", fn_args=(settings, work)
    )
    for block in steps.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield cast("pa.Table", block)


def _take(numbers: pa.Table, settings: Settings, work: Work) -> pa.Table:
    place = _place(settings, work)
    return pa.table({"rows": [step.take(place, n) for n in numbers["number"].to_pylist()]})


def _level(numbers: pa.Table, settings: Settings, work: Work) -> pa.Table:
    place = _place(settings, work)
    return pa.concat_tables([step.level(place, n) for n in numbers["number"].to_pylist()])


@cache
def _workspace(settings: Settings) -> Workspace:
    """Open the workspace once per worker."""
    return Workspace.open(settings)


@lru_cache(maxsize=2)
def _place(settings: Settings, work: Work) -> Place:
    """Load the model once per worker and work."""
    workspace = _workspace(settings)
    return Place.open(workspace, work, work.model(workspace))
