"""The story of a scoring: load the stable model, decide in chunks, commit the table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from cluster import runner, session
from cluster.dataset import Dataset
from cluster.errors import FunnelcastError, Refusal
from features.targets import load_target
from jobs import console
from jobs.console import Job, Progress, Report, option, required
from serving import batch, registry
from serving.service import Answer, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.workspace import Workspace
    from serving.decide import Basis

CHUNK = 2_000  # rows


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Which target, under which policy, on which runner."""

    target: str = required("Name in configs/targets, or a file.")
    policy: str = required("Name in configs/policies, or a file.")
    runner: str = option("auto", "auto (by size), ray or inline.")


def inputs(workspace: Workspace, settings: ScoreSettings) -> dict[str, str]:
    """Return the identity of the rows, the model and the policy."""
    target = load_target(settings.target)
    ref = workspace.refs.get(registry.alias(target.name))
    return {
        "rows": str(workspace.tables.head(target.scoring_table)),
        "model": ref.target if ref else "none",
        "target": target.version,
    }


def run(workspace: Workspace, settings: ScoreSettings, progress: Progress) -> Report:
    """Score the newest scoring rows of a target and commit the result as its scores."""
    target = load_target(settings.target)
    slot = Slot.load(workspace, Answer(target=settings.target, policy=settings.policy))
    if isinstance(slot, Refusal):
        raise FunnelcastError(str(slot))
    snapshot = workspace.tables.head(target.scoring_table)
    rows = workspace.tables.read(target.scoring_table, snapshot).sort_by("entity")
    choice = runner.choose(settings.runner, rows.num_rows, workspace.settings)
    where = _on_ray if choice.runner == "ray" else _inline
    scored = _joined(where(workspace, settings, slot, rows), rows.num_rows, progress)
    workspace.tables.create(target.scores_table, batch.SCHEMA)
    made_from = properties(slot.basis, target.scoring_table, snapshot)
    written = workspace.tables.replace(target.scores_table, scored, made_from)
    routes = scored["route"].value_counts().to_pylist()
    return Report(
        read={"table": target.scoring_table, "snapshot": snapshot, "rows": rows.num_rows},
        wrote={"table": target.scores_table, "rows": scored.num_rows, "snapshot": written},
        decided=[
            f"runner: {choice}",
            f"model {slot.basis.model[:12]}, policy {slot.basis.policy}",
            *(
                f"{r['counts']:,} to {r['values']}"
                for r in sorted(routes, key=lambda r: -r["counts"])
            ),
        ],
        figures={r["values"]: r["counts"] for r in routes},
        inputs=[
            Dataset.table(target.scoring_table, snapshot, rows.num_rows),
            Dataset.blob(registry.alias(target.name), slot.basis.model),
        ],
        outputs=[Dataset.table(target.scores_table, written)],
    )


def properties(basis: Basis, table: str, snapshot: int | None) -> dict[str, str]:
    """Return what a snapshot of scores says about its making."""
    return {
        "funnelcast.rows": f"{table}@{snapshot}",
        "funnelcast.model": basis.model,
        "funnelcast.policy": basis.policy,
        "funnelcast.target": basis.target,
        "funnelcast.view": basis.view,
    }


def _on_ray(
    workspace: Workspace, settings: ScoreSettings, slot: Slot, rows: pa.Table
) -> Iterator[pa.Table]:
    session.connect(workspace.settings)
    from jobs.score import pipeline

    answer = Answer(target=settings.target, policy=settings.policy)
    return pipeline.scored(workspace.settings, answer, _chunks(rows), workspace.clock())


def _inline(
    workspace: Workspace, settings: ScoreSettings, slot: Slot, rows: pa.Table
) -> Iterator[pa.Table]:
    now = workspace.clock()
    with ThreadPoolExecutor(session.cores(workspace.settings)) as pool:
        yield from pool.map(lambda chunk: batch.score(slot, chunk, now), _chunks(rows))


def _chunks(rows: pa.Table) -> list[pa.Table]:
    return [rows.slice(start, CHUNK) for start in range(0, rows.num_rows, CHUNK)]


def _joined(parts: Iterator[pa.Table], rows: int, progress: Progress) -> pa.Table:
    done = [batch.SCHEMA.empty_table()]
    for part in parts:
        done.append(part)
        progress(sum(table.num_rows for table in done), rows, "rows")
    return pa.concat_tables(done).sort_by("entity")


JOB = Job(
    verb="score",
    summary="Score and route every open entity of a target with its stable model.",
    settings=ScoreSettings,
    inputs=inputs,
    run=run,
    current=console.holds_table,
)
