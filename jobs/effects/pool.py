"""The work of a learning as Ray tasks: features by bucket, nuisances by fold and arm."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import ray

from cluster.workspace import Workspace
from features import log, step
from serving.effects import nuisances

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import pyarrow as pa

    from cluster.settings import Settings
    from cluster.tables import Bucket
    from features.plan import Plan
    from serving.effects.nuisances import Fit


def features(workspace: Workspace, plan: Plan) -> Iterable[pa.Table]:
    """Yield the rows of each bucket, in the order of the buckets."""
    stored = ray.put(plan)
    task = ray.remote(num_cpus=1)(_rows_of)
    buckets = workspace.tables.buckets(log.TABLE, plan.snapshot)
    waiting = [task.remote(workspace.settings, stored, bucket) for bucket in buckets]
    yield from (ray.get(each) for each in waiting)


def run(matrix: np.ndarray, tasks: Sequence[Fit]) -> Iterable[np.ndarray]:
    """Do tasks on Ray, the features stored once."""
    stored, task = ray.put(matrix), ray.remote(num_cpus=1)(nuisances.fitted)
    return list(ray.get([task.remote(stored, each) for each in tasks]))


def _rows_of(settings: Settings, plan: Plan, bucket: Bucket) -> pa.Table:
    return step.rows_of(_workspace(settings), plan, bucket)


@cache
def _workspace(settings: Settings) -> Workspace:
    """Open the workspace once per worker."""
    return Workspace.open(settings)
