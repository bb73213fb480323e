"""The story of a learning: pin the log, gather rows and features, learn, keep, draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster import runner, session
from cluster.dataset import Dataset
from features import log
from jobs import clearance, pages
from jobs.console import Job, Progress, Report
from jobs.effects import asked as asking
from jobs.effects import gather, keep, page
from jobs.effects.asked import EffectsSettings
from serving.effects import learner, nuisances

if TYPE_CHECKING:
    from cluster.runner import Choice
    from cluster.workspace import Workspace
    from serving.effects.known import Known
    from serving.effects.nuisances import Run


def inputs(workspace: Workspace, settings: EffectsSettings) -> dict[str, str]:
    """Return the identity of the log's snapshot, the definition, its views and its funnel."""
    shows = clearance.of(workspace, settings.clearance).value
    return {**asking.ask(workspace, settings).identity, "clearance": shows}


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is what that run wrote still kept, under the ref or behind it, and is its page there?"""
    wrote = report["wrote"]
    return keep.is_kept(workspace, wrote) and Path(wrote["page"]).is_file()


def run(workspace: Workspace, settings: EffectsSettings, progress: Progress) -> Report:
    """Learn the effect of an action, and keep it as blob, ref and page."""
    asked = asking.ask(workspace, settings)
    events = sum(each.rows for each in workspace.tables.buckets(log.TABLE, asked.snapshot))
    choice = runner.choose(settings.runner, events, workspace.settings)
    rows, pool = gather.gathered(workspace, asked, choice, progress)
    fits = _fits(workspace, choice)
    found = learner.learn(asked.definition, rows, pool, fits, seed=settings.seed)
    known = keep.document(asked, rows, found)
    shows = clearance.of(workspace, settings.clearance)
    folder = Path(settings.to or workspace.settings.home / "reports").resolve()
    path = folder / f"effects-{known.action}.html"
    pages.write(path, page.render(known, asked.definition, shows).encode())
    wrote = keep.keep(workspace, asked, known)
    return Report(
        read={
            "log snapshot": asked.snapshot,
            "as of": asked.as_of.isoformat(),
            **{f"rows of {arm}": count for arm, count in known.n.items()},
        },
        wrote={**wrote, "page": str(path)},
        decided=[*known.said, *_behind(workspace, wrote, known), f"runner: {choice}"],
        figures={"grade": known.grade and known.grade.code, "refused": known.refused},
        table=_table(known),
        inputs=[Dataset.table(log.TABLE, asked.snapshot, events)],
        outputs=[Dataset.blob(wrote["ref"], wrote["effect"])],
    )


def _fits(workspace: Workspace, choice: Choice) -> Run:
    if choice.runner == "ray":
        session.connect(workspace.settings)
        from jobs.effects import pool

        return pool.run
    return nuisances.inline(session.cores(workspace.settings))


def _behind(workspace: Workspace, wrote: dict[str, str], known: Known) -> list[str]:
    if not keep.is_overtaken(workspace, wrote["ref"], known.learnt_at):
        return []
    return ["the ref says what was known later: it stays, and this document is kept beside it"]


def _table(known: Known) -> pd.DataFrame | None:
    rows = [
        {
            "arm": each.arm,
            "outcome": each.outcome,
            "measure": each.measure,
            "days": each.horizon_days,
            "without": each.control,
            "effect": each.effect,
            "low": each.interval[0],
            "high": each.interval[1],
        }
        for each in known.figures
        if each.column == "all"
    ]
    return pd.DataFrame(rows) if rows else None


JOB = Job(
    verb="effects",
    summary="Learn what an action does: effects with intervals, evidence and checks; or refuse.",
    settings=EffectsSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=current,
)
