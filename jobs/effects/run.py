"""The story of a learning: pin the log, gather rows and features, learn, keep, draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cluster import canonical, runner, session
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
    from jobs.effects.asked import Asked
    from serving.effects.known import Known
    from serving.effects.nuisances import Run


BEHIND = "the ref says what was known later: it stays, and this document is kept beside it"


def inputs(workspace: Workspace, settings: EffectsSettings) -> dict[str, str]:
    """Return the identity of the log's snapshot, the definition, its views and its funnel."""
    shows = clearance.of(workspace, settings.clearance).value
    return {**asking.ask(workspace, settings).identity, "clearance": shows}


def current(workspace: Workspace, report: dict[str, Any]) -> bool:
    """Is what that run wrote still kept under its ref, and is its page there, unchanged?"""
    wrote = report["wrote"]
    path = Path(wrote["page"])
    is_same = path.is_file() and canonical.sha256_hex(path.read_bytes()) == wrote["page_sha256"]
    return is_same and keep.is_kept(workspace, wrote)


def run(workspace: Workspace, settings: EffectsSettings, progress: Progress) -> Report:
    """Learn the effect of an action, and keep it as blob, ref and page."""
    asked = asking.ask(workspace, settings)
    events = sum(each.rows for each in workspace.tables.buckets(log.TABLE, asked.snapshot))
    choice = runner.choose(settings.runner, events, workspace.settings)
    rows, pool = gather.gathered(workspace, asked, choice, progress)
    fits = _fits(workspace, choice)
    found = learner.learn(asked.definition, rows, pool, fits, seed=settings.seed)
    known = keep.document(asked, rows, found)
    wrote = keep.keep(workspace, asked, known)
    is_newest = wrote["ref"] == asked.definition.ref
    wrote |= _page(workspace, settings, asked, known, is_newest)
    return Report(
        read={
            "log snapshot": asked.snapshot,
            "as of": asked.as_of.isoformat(),
            **{f"rows of {arm}": count for arm, count in known.n.items()},
        },
        wrote={**wrote},
        decided=[*known.said, *([] if is_newest else [BEHIND]), f"runner: {choice}"],
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


def _page(
    workspace: Workspace, settings: EffectsSettings, asked: Asked, known: Known, is_newest: bool
) -> dict[str, str]:
    """Write the page; that of an earlier moment has a name of its own."""
    shows = clearance.of(workspace, settings.clearance)
    folder = Path(settings.to or workspace.settings.home / "reports").resolve()
    moment = "" if is_newest else f"-{known.learnt_at:%Y-%m-%dT%H%M%S}"
    path = folder / f"effects-{known.action}{moment}.html"
    html = page.render(known, asked.definition, shows).encode()
    pages.write(path, html)
    return {"page": str(path), "page_sha256": canonical.sha256_hex(html)}


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
