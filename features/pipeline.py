"""The Ray Data pipeline of the engine: bucket descriptors in, each done by a worker, and told."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import ray
import ray.data

from cluster import session
from cluster.tables import Bucket
from cluster.workspace import Workspace
from features import step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.settings import Settings
    from features.plan import Plan


def done(settings: Settings, plan: Plan, work: str, buckets: list[Bucket]) -> Iterator[str]:
    """Do buckets of a plan on Ray; yields the node of each as it is done."""
    session.quiet_data()
    descriptors = ray.data.from_items(
        [asdict(bucket) for bucket in buckets], override_num_blocks=len(buckets)
    )
    steps = descriptors.map_batches(
        cast("Any", _take), batch_size=None, batch_format="pyarrow", fn_args=(settings, plan, work)
    )
    for block in steps.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from cast("pa.Table", block)["node"].to_pylist()


def _take(descriptors: pa.Table, settings: Settings, plan: Plan, work: str) -> pa.Table:
    for descriptor in descriptors.to_pylist():
        step.take(_workspace(settings), plan, work, Bucket(**descriptor))
    node = ray.get_runtime_context().get_node_id()
    return pa.table({"node": [node] * descriptors.num_rows})


@cache
def _workspace(settings: Settings) -> Workspace:
    """Open the workspace once per worker."""
    return Workspace.open(settings)
