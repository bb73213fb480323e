"""The engine: a plan over all buckets of the log, as one committed snapshot.

The log was bucketed when it was written, so each task reads its bucket, runs the pure kernel,
writes its files and puts them on record; the driver commits them all at once. There is no shuffle.
The inline runner does the same with threads in this process. A plan that was killed is resumed by
running it again: buckets on record are not computed again, and what was committed is not committed
twice.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cluster import canonical, runner, runs, session
from cluster.errors import FunnelcastError
from cluster.parts import Parts
from features import log, step
from features.content import Content

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyiceberg.manifest import DataFile

    from cluster.runner import Choice
    from cluster.tables import Bucket, Tables
    from cluster.workspace import Workspace
    from features.plan import Plan, Progress

WORK, CONTENT = "funnelcast.work", "funnelcast.content"  # properties of a snapshot
INLINE = "here"  # the node of what this process did


class WorkLost(FunnelcastError):
    """Files of finished buckets are gone, or their records."""


@dataclass(frozen=True, kw_only=True)
class Materialized:
    """A committed snapshot of feature rows."""

    table: str
    snapshot: int
    content: str  # hash of the rows, whatever their files and their order
    tag: str | None  # of a training set
    rows: int
    buckets: int
    computed: int  # buckets that were not on record
    events: int
    nodes: int  # machines that worked on it
    choice: Choice


def materialize(workspace: Workspace, plan: Plan, asked: str, progress: Progress) -> Materialized:
    """Compute `plan` over the whole log and commit the rows as the new content of its table."""
    tables, work = workspace.tables, work_of(plan)
    buckets = tables.buckets(log.TABLE, plan.snapshot)
    tables.reshape(plan.table, plan.schema)
    todo = _todo(workspace, plan, work, buckets)
    choice = runner.choose(asked, sum(bucket.rows for bucket in todo), workspace.settings)
    progress(len(buckets) - len(todo), len(buckets), "buckets")
    nodes = set()
    for done, node in enumerate(_done(workspace, plan, work, todo, choice), start=1):
        nodes.add(node)
        progress(len(buckets) - len(todo) + done, len(buckets), "buckets")
    snapshot = _committed(tables, plan.table, work) or _commit(workspace, plan, work, buckets)
    Parts(workspace.database).drop(work)
    said = tables.properties(plan.table, snapshot)
    return Materialized(
        table=plan.table,
        snapshot=snapshot,
        content=said[CONTENT],
        tag=_tagged(tables, plan, snapshot, said[CONTENT]),
        rows=int(said["total-records"]),
        buckets=len(buckets),
        computed=len(todo),
        events=sum(bucket.rows for bucket in buckets),
        nodes=len(nodes) or 1,
        choice=choice,
    )


def work_of(plan: Plan) -> str:
    """Return the name of all that the rows of a plan depend on, the code included."""
    return canonical.digest({**plan.identity, "code": runs.code_version()})


def _todo(workspace: Workspace, plan: Plan, work: str, buckets: list[Bucket]) -> list[Bucket]:
    """Return the buckets that are neither committed nor on record with all their files, the largest
    first, so that none is left alone at the end.
    """
    if _committed(workspace.tables, plan.table, work) is not None:
        return []
    held = _held(workspace, plan, work)
    todo = [bucket for bucket in buckets if bucket.number not in held]
    return sorted(todo, key=lambda bucket: -bucket.rows)


def _done(
    workspace: Workspace, plan: Plan, work: str, todo: list[Bucket], choice: Choice
) -> Iterator[str]:
    """Do buckets, and yield the node of each as it is done."""
    if choice.runner == "ray" and todo:
        session.connect(workspace.settings)
        from features import pipeline

        yield from pipeline.done(workspace.settings, plan, work, todo)
        return
    with ThreadPoolExecutor(session.cores(workspace.settings)) as threads:
        futures = [threads.submit(step.take, workspace, plan, work, bucket) for bucket in todo]
        try:
            for future in as_completed(futures):
                future.result()
                yield INLINE
        finally:
            threads.shutdown(cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A bucket on record whose files are there."""

    files: list[DataFile]
    content: Content


def _held(workspace: Workspace, plan: Plan, work: str) -> dict[int, _Held]:
    """Return the buckets on record, by number; those that lost a file are taken off the record."""
    find = partial(workspace.tables.find, plan.table)
    whole = Parts(workspace.database).whole(work, workspace.clock(), find)
    return {
        part.number: _Held(files=files, content=Content.heard(part.said)) for part, files in whole
    }


def _commit(workspace: Workspace, plan: Plan, work: str, buckets: list[Bucket]) -> int:
    """Commit the files of all buckets in the place of what the table held, unless another run of
    this work was first.
    """
    held, tables = _held(workspace, plan, work), workspace.tables
    if lost := [bucket.number for bucket in buckets if bucket.number not in held]:
        raise WorkLost(
            f"the files of every bucket must last until their commit, got none of {lost}: run the"
            " same command to go on"
        )
    whole = sum((each.content for each in held.values()), Content())
    said = {**plan.properties, WORK: work, CONTENT: whole.digest(plan.schema)}
    files = [file for each in held.values() for file in each.files]
    while True:
        head = tables.head(plan.table)
        snapshot = _committed(tables, plan.table, work) or tables.commit_after(
            plan.table, files, head=head, replacing=tables.files(plan.table, head), properties=said
        )
        if snapshot is not None:
            return snapshot


def _committed(tables: Tables, table: str, work: str) -> int | None:
    """Return the newest snapshot of a table if this work made it."""
    head = tables.head(table)
    said: Mapping[str, str] = tables.properties(table, head) if head else {}
    return head if said.get(WORK) == work else None


def _tagged(tables: Tables, plan: Plan, snapshot: int, content: str) -> str | None:
    """Pin a training set under its target, version and content."""
    if plan.purpose != "training":
        return None
    tag = f"{plan.target.name}-{plan.target.version}-{content[:16]}"
    tables.tag(plan.table, snapshot, tag)
    return tag
