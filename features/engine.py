"""The engine: a view over all buckets of the log, as one committed snapshot.

The log was bucketed when it was written, so each task reads its bucket, runs the pure kernel and
writes its files; the driver commits them all at once. There is no shuffle. The inline runner does
the same with threads in this process.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import runner, session
from features import log

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile

    from cluster.settings import Settings
    from cluster.tables import Bucket, Tables
    from cluster.workspace import Workspace
    from features.plan import Plan, Progress


@dataclass(frozen=True, kw_only=True)
class Materialized:
    """A committed snapshot of feature rows."""

    table: str
    snapshot: int
    buckets: int
    events: int
    nodes: int  # machines that worked on it
    choice: runner.Choice


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
    return tables.write(plan.table, plan.rows_of(tables.read_bucket(bucket)))


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
