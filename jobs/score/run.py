"""The story of a scoring: load the stable model, score file by file, commit all of it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from cluster import canonical, runner
from cluster.dataset import Dataset
from cluster.errors import WrongUse, done
from cluster.tables import SnapshotMissing
from features import consent, log
from features.targets import load_target
from jobs import console
from jobs.console import Job, Progress, Report, option, required
from jobs.score import parts
from jobs.score.work import Place, Work
from serving import batch, registry
from serving.slots import policies
from serving.slots.slot import Answer, Slot

if TYPE_CHECKING:
    import pandas as pd

    from cluster.workspace import Workspace
    from features.targets import Target
    from serving.policy import Policy


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Which target, under which policy, on which runner."""

    target: str = required("Name in configs/targets, or a file.")
    policy: str = required("Name (the active one; if none is, configs/policies), or a file.")
    runner: str = option("auto", "auto (by size), ray or inline.")
    steady: float = option(
        batch.STEADY, "Change in log-odds from which a score rises or falls; less is steady."
    )

    def __post_init__(self) -> None:
        """WrongUse for a change that is none."""
        if not self.steady > 0:
            raise WrongUse(f"--steady must be above 0, got {self.steady}: leave it out")


def inputs(workspace: Workspace, settings: ScoreSettings) -> dict[str, str]:
    """Return the identity of the rows, the model, the target and the policy."""
    target = load_target(settings.target)
    ref = workspace.refs.get(registry.alias(target.name))
    return {
        "rows": str(workspace.tables.head(target.scoring_table)),
        "model": ref.target if ref else "none",
        "target": target.version,
        "policy": _policy(workspace, settings).id,
        "log": str(workspace.tables.head(log.TABLE)),  # the report says what is newer than the rows
        "withheld": canonical.digest(_withheld(workspace, target)),
    }


def run(workspace: Workspace, settings: ScoreSettings, progress: Progress) -> Report:
    """Score the newest scoring rows of a target and commit the result as its scores."""
    slot = _slot(workspace, settings)
    work = _work(workspace, settings, slot)
    workspace.tables.reshape(work.table, batch.SCHEMA)
    place = Place.open(workspace, work, slot.model)
    snapshot, ran = parts.committed(workspace, work), "none, these scores were committed before"
    if snapshot is None:
        snapshot, ran = _scored(place, settings.runner, progress)
    scores = workspace.tables.read(work.table, snapshot, ["route", "trend"]).to_pandas()
    return Report(
        read={"table": work.target.scoring_table, "snapshot": work.snapshot, "rows": place.rows},
        wrote={
            "table": work.table,
            "rows": len(scores),
            "withheld": len(work.withheld),
            "snapshot": snapshot,
        },
        decided=[
            f"runner: {ran}",
            f"model {work.basis.model[:12]}, policy {work.basis.policy}",
            *_left_out(work),
            *_stale(workspace, work),
            *_routed(scores),
            *_trends(scores),
        ],
        figures={str(k): int(n) for k, n in scores["route"].value_counts().items()},
        inputs=[
            Dataset.table(work.target.scoring_table, work.snapshot, place.rows),
            Dataset.blob(registry.alias(work.target.name), work.basis.model),
        ],
        outputs=[Dataset.table(work.table, snapshot, len(scores))],
    )


def _policy(workspace: Workspace, settings: ScoreSettings) -> Policy:
    return done(policies.chosen(workspace, settings.policy))


def _slot(workspace: Workspace, settings: ScoreSettings) -> Slot:
    return done(Slot.load(workspace, Answer(target=settings.target, policy=settings.policy)))


def _work(workspace: Workspace, settings: ScoreSettings, slot: Slot) -> Work:
    return Work(
        target=slot.target,
        policy=slot.policy,
        basis=slot.basis,
        snapshot=_rows(workspace, slot.target),
        last=workspace.tables.head(slot.target.scores_table),
        steady=settings.steady,
        now=workspace.clock(),
        withheld=tuple(_withheld(workspace, slot.target)),
    )


def _withheld(workspace: Workspace, target: Target) -> list[str]:
    """Return whom nobody may score, of those who have a row."""
    head = workspace.tables.head(target.scoring_table)
    if target.entity != "lead" or head is None:
        return []
    entities = workspace.tables.read(target.scoring_table, head, ["entity"])["entity"]
    refused = consent.Keeper(workspace).look().are_refused(entities)
    names: list[str] = entities.filter(pa.array(refused)).to_pylist()
    return sorted(names)


def _rows(workspace: Workspace, target: Target) -> int:
    head = workspace.tables.head(target.scoring_table)
    if head is None:
        raise WrongUse(
            f"'{target.scoring_table}' must hold rows, got none: run python -m jobs.materialize"
            f" --target {target.name} --purpose scoring"
        )
    return head


def _scored(place: Place, asked: str, progress: Progress) -> tuple[int, str]:
    """Do the parts that are not on record, and commit them all; returns the snapshot and the
    runner.
    """
    todo, every = parts.todo(place), place.rows
    left = min(every, sum(place.files[number].record_count for number in todo))
    choice = runner.choose(asked, left, place.workspace.settings)
    progress(every - left, every, "rows")
    if todo:
        place = place.beside(parts.usual(place, choice))
    for count in parts.done(place, todo, choice):
        left -= count
        progress(every - left, every, "rows")
    return parts.commit(place), str(choice)


def _left_out(work: Work) -> list[str]:
    count = len(work.withheld)
    return [f"{count:,} left out: they do not allow to be scored"] if count else []


def _stale(workspace: Workspace, work: Work) -> list[str]:
    """Return in one line what is newer than the rows."""
    said = workspace.tables.properties(work.target.scoring_table, work.snapshot)
    remedy = f"python -m jobs.materialize --target {work.target.name} --purpose scoring"
    if said.get("funnelcast.view", work.basis.view) != work.basis.view:
        return [f"the features are of other views than the target has now: {remedy}"]
    if log.MADE_FROM in said and (more := _more(workspace, int(said[log.MADE_FROM]))):
        return [f"the features are older than the log, which has {more}: {remedy}"]
    return []


def _more(workspace: Workspace, snapshot: int) -> str:
    """Return in words what the log has more than a snapshot of it."""
    head = log.pinned(workspace.tables)
    if head == snapshot:
        return ""
    try:
        before = workspace.tables.properties(log.TABLE, snapshot)
    except SnapshotMissing:
        return "newer snapshots"
    now = workspace.tables.properties(log.TABLE, head)
    more = int(now["total-records"]) - int(before["total-records"])
    return f"{more:,} more events" if more else ""  # files that were put together hold the same


def _routed(scores: pd.DataFrame) -> list[str]:
    return [f"{count:,} to {route}" for route, count in scores["route"].value_counts().items()]


def _trends(scores: pd.DataFrame) -> list[str]:
    """Return in one line how many went where since the last scores."""
    counts = scores["trend"].value_counts()
    told = [f"{counts[name]:,} {name}" for name in sorted(counts.index)]
    return [f"since the last scores: {', '.join(told)}"] if told else []


JOB = Job(
    verb="score",
    summary="Score and route every open entity of a target with its stable model. To read scores"
    " back: jobs.score show --help, and why --help.",
    settings=ScoreSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=console.holds_table,
)
