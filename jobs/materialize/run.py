"""The story of a materialization: pin the log, plan, compute bucket by bucket, commit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.dataset import Dataset
from features import engine, health, log, registered
from features.targets import load_target
from features.views import register, view
from jobs import console
from jobs.console import Job, Progress, Report
from jobs.materialize.question import MaterializeSettings, plan_of

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.engine import Materialized
    from features.plan import Plan


def inputs(workspace: Workspace, settings: MaterializeSettings) -> dict[str, str]:
    """Return the identity of the log's snapshot, the target, its views and the spine given."""
    target = load_target(settings.target)
    snapshot = settings.log_snapshot or workspace.tables.head(log.TABLE)
    read = {"log": str(snapshot), "target": target.version, "views": target.made_by}
    return read | {given.name: given.version for given in _given(settings)}


def run(workspace: Workspace, settings: MaterializeSettings, progress: Progress) -> Report:
    """Compute the rows of a target and commit them as the new content of its table."""
    plan = plan_of(workspace, settings)
    registered.keep(workspace, plan.target, "materialize", plan.table)
    register.keep(workspace, [view(n) for n in plan.target.views], "materialize", plan.table)
    made = engine.materialize(workspace, plan, settings.runner, progress)
    health.keep(workspace, made.table, made.snapshot, plan.target.features.columns)
    return Report(
        read={"events": made.events, "log snapshot": plan.snapshot, "buckets": made.buckets},
        wrote=_wrote(made),
        decided=_decided(plan, made),
        figures={
            "rows": made.rows,
            "events": made.events,
            "buckets": made.buckets,
            "computed": made.computed,
            "nodes": made.nodes,
        },
        inputs=[Dataset.table(log.TABLE, plan.snapshot, made.events), *_given(settings)],
        outputs=[Dataset.table(made.table, made.snapshot, made.rows)],
    )


def _wrote(made: Materialized) -> dict[str, object]:
    wrote: dict[str, object] = {"table": made.table, "rows": made.rows, "snapshot": made.snapshot}
    tag = {} if made.tag is None else {"tag": made.tag}
    return wrote | {"content": made.content} | tag


def _decided(plan: Plan, made: Materialized) -> list[str]:
    lines = [
        f"runner: {made.choice}, nodes: {made.nodes}",
        f"views {plan.target.made_by}: {len(plan.target.features.features)} features",
        f"as of {plan.as_of}",
    ]
    if reused := made.buckets - made.computed:
        lines.append(f"{reused} of {made.buckets} buckets were done by an earlier run")
    if plan.moments:
        last = plan.moments[-1].isoformat()
        lines.append(f"{len(plan.moments)} moments, the last {last}")
    if left := plan.asked.num_rows - made.rows if plan.purpose == "given" else 0:
        lines.append(
            f"{left:,} of {plan.asked.num_rows:,} rows given are left out: no such"
            f" {plan.target.entity} was known then"
        )
    return lines


def _given(settings: MaterializeSettings) -> list[Dataset]:
    """Return the file of a given spine."""
    path = Path(settings.spine or "")
    if settings.spine is None or not path.is_file():
        return []
    return [Dataset.file(settings.spine, canonical.sha256_hex(path.read_bytes()))]


JOB = Job(
    verb="materialize",
    summary="Compute point-in-time features of a target over the whole log and commit them.",
    settings=MaterializeSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=console.holds_table,
)
