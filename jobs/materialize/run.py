"""The story of a materialization: pin the log, plan, compute bucket by bucket, commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from cluster.dataset import Dataset
from cluster.errors import WrongUse, nearest
from features import engine, log
from features.plan import Plan
from features.targets import load_target
from jobs import console
from jobs.console import Job, Progress, Report, option, required

if TYPE_CHECKING:
    from cluster.workspace import Workspace

PURPOSES = ("training", "scoring")


@dataclass(frozen=True, kw_only=True)
class MaterializeSettings:
    """For which target, for training or scoring, as known when, and on which runner."""

    target: str = required("Name in configs/targets, or a file.")
    purpose: str = option("training", "training (labelled rows) or scoring (open entities).")
    as_of: str | None = option(None, "ISO 8601 time with zone; default: all that is known.")
    runner: str = option("auto", "auto (by size), ray or inline.")


def inputs(workspace: Workspace, settings: MaterializeSettings) -> dict[str, str]:
    """Return the identity of the log's head, the target and its view."""
    target = load_target(settings.target)
    head = workspace.tables.head(log.TABLE)
    return {"log": str(head), "target": target.version, "view": target.features.version}


def run(workspace: Workspace, settings: MaterializeSettings, progress: Progress) -> Report:
    """Compute the rows of a target and commit them as the new content of its table."""
    plan = _plan(workspace, settings)
    made = engine.materialize(workspace, plan, settings.runner, progress)
    rows = workspace.tables.read(made.table, made.snapshot, columns=["entity"]).num_rows
    view = plan.target.features
    return Report(
        read={"events": made.events, "log snapshot": plan.snapshot, "buckets": made.buckets},
        wrote={"table": made.table, "rows": rows, "snapshot": made.snapshot},
        decided=[
            f"runner: {made.choice}, nodes: {made.nodes}",
            f"view {view.name} version {view.version}: {len(view.features)} features",
            f"as of {plan.as_of}",
        ],
        figures={"rows": rows, "events": made.events, "nodes": made.nodes},
        inputs=[Dataset.table(log.TABLE, plan.snapshot, made.events)],
        outputs=[Dataset.table(made.table, made.snapshot, rows)],
    )


def _plan(workspace: Workspace, settings: MaterializeSettings) -> Plan:
    if settings.purpose not in PURPOSES:
        hint = nearest(settings.purpose, PURPOSES)
        raise WrongUse(f"--purpose must be training or scoring, got '{settings.purpose}': {hint}")
    target = load_target(settings.target)
    snapshot = log.pinned(workspace.tables)
    as_of = log.as_of(settings.as_of, workspace.tables, snapshot)
    purpose = cast("Literal['training', 'scoring']", settings.purpose)
    return Plan(target=target, purpose=purpose, as_of=as_of, snapshot=snapshot)


JOB = Job(
    verb="materialize",
    summary="Compute point-in-time features of a target over the whole log and commit them.",
    settings=MaterializeSettings,
    inputs=inputs,
    run=run,
    current=console.holds_table,
)
