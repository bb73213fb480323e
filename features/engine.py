"""The engine: a view over all buckets of the log, as one committed snapshot. The only `ray.data` in this package.

The log was bucketed when it was written, so each task reads its bucket, runs the pure kernel and writes its files; the
driver commits them all at once. There is no shuffle. The inline runner does the same with threads in this process.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from cluster import runner, session
from cluster.tables import Bucket, Tables
from features import compute, log, spine
from features.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.manifest import DataFile

    from cluster.settings import Settings
    from cluster.workspace import Workspace

type Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compute: plain values, so that it can travel to a worker."""

    target: Target
    purpose: Literal["training", "scoring"]
    as_of: datetime
    snapshot: int  # of the event log

    @property
    def table(self) -> str:
        """Name of the table to write."""
        target = self.target
        return target.training_table if self.purpose == "training" else target.scoring_table

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table to write."""
        base = spine.TRAINING if self.purpose == "training" else spine.SCORING
        return pa.schema(
            [*base, *(pa.field(f.name, f.type) for f in self.target.features.features)]
        )

    @property
    def properties(self) -> dict[str, str]:
        """What the snapshot says about its making."""
        return {
            "funnelcast.target": f"{self.target.name}@{self.target.version}",
            "funnelcast.view": f"{self.target.features.name}@{self.target.features.version}",
            "funnelcast.as_of": self.as_of.isoformat(),
            "funnelcast.events": str(self.snapshot),
        }


@dataclass(frozen=True, kw_only=True)
class Materialized:
    """A committed snapshot of feature rows."""

    table: str
    snapshot: int
    buckets: int
    events: int
    nodes: int  # machines that worked on it
    choice: runner.Choice


def rows_of(plan: Plan, events: pa.Table) -> pa.Table:
    """The kernel: the events of one bucket in, its feature rows out. Pure."""
    spines = {"training": spine.training, "scoring": spine.scoring}
    rows = spines[plan.purpose](plan.target, events, plan.as_of)
    return compute.compute(plan.target.features, events.select(compute.COLUMNS), rows)


def materialize(workspace: Workspace, plan: Plan, asked: str, progress: Progress) -> Materialized:
    """Compute `plan` over the whole log and commit the rows as the new content of its table."""
    settings, tables = workspace.settings, workspace.tables
    buckets = tables.buckets(log.TABLE, plan.snapshot)
    events = sum(bucket.rows for bucket in buckets)
    choice = runner.choose(asked, events, settings)
    tables.create(plan.table, plan.schema)
    if choice.runner == "ray":
        snapshot, nodes = _on_ray(settings, plan, buckets, progress)
    else:
        snapshot, nodes = _inline(settings, tables, plan, buckets, progress), 1
    return Materialized(
        table=plan.table,
        snapshot=snapshot,
        buckets=len(buckets),
        events=events,
        nodes=nodes,
        choice=choice,
    )


def _write_bucket(tables: Tables, plan: Plan, bucket: Bucket) -> list[DataFile]:
    return tables.write(plan.table, rows_of(plan, tables.read_bucket(bucket)))


def _inline(
    settings: Settings, tables: Tables, plan: Plan, buckets: list[Bucket], progress: Progress
) -> int:
    files: list[DataFile] = []
    with ThreadPoolExecutor(session.cores(settings)) as pool:
        futures = [pool.submit(_write_bucket, tables, plan, bucket) for bucket in buckets]
        for done, future in enumerate(as_completed(futures), start=1):
            files += future.result()
            progress(done, len(buckets), "buckets")
    return tables.commit(plan.table, files, replace=True, properties=plan.properties)


def _on_ray(
    settings: Settings, plan: Plan, buckets: list[Bucket], progress: Progress
) -> tuple[int, int]:
    session.connect(settings)
    from features import pipeline

    return pipeline.run(settings, plan, buckets, progress)
