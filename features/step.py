"""One step of a plan: a bucket read, computed, written and put on record. Runs in a thread or on a
Ray worker.

Nobody sees what it writes until the driver commits all buckets at once. What is on record need not
be done again, so a plan that was killed loses no more than the buckets at work.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster.parts import Part, Parts
from features import compute, content, slicing

if TYPE_CHECKING:
    import pyarrow as pa

    from cluster.tables import Bucket
    from cluster.workspace import Workspace
    from features.plan import Plan


def take(workspace: Workspace, plan: Plan, work: str, bucket: Bucket) -> None:
    """Do one bucket of a plan; `work` is the name of all that the plan's rows depend on."""
    rows = rows_of(workspace, plan, bucket)
    files = workspace.tables.write(plan.table, rows)
    part = Part(
        number=bucket.number,
        files=tuple(file.file_path for file in files),
        said=content.of(rows).said(),
    )
    Parts(workspace.database).keep(work, part, workspace.clock())


def rows_of(workspace: Workspace, plan: Plan, bucket: Bucket) -> pa.Table:
    """Return the feature rows of a bucket, computed at once or, if it is large, in slices."""
    tables, limit = workspace.tables, workspace.settings.slice_events
    if bucket.rows <= limit:
        return plan.rows_of(tables.read_bucket(bucket, compute.COLUMNS, coded=True))
    return slicing.rows_of(plan, partial(tables.read_groups, bucket), bucket.rows, limit)
