"""The story of a question for lineage: find the thing, walk up and down, show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.errors import WrongUse
from features.lineage.graph import Lineage, walk
from features.lineage.origins import Origins
from features.lineage.rows import Events, Refused
from features.lineage.snapshots import Snapshots
from jobs.console import Job, Progress, Report, argument, option
from jobs.lineage import page, tree
from jobs.lineage.answers import Decisions, Forecasts, Models
from jobs.lineage.past import Past

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.lineage.graph import Family


@dataclass(frozen=True, kw_only=True)
class LineageSettings:
    """Of which thing, in which direction, how far, and where to."""

    id: str = argument(
        "Of an event, a quarantined row, an origin, file, contract or ingestion, a table's snapshot"
        " (table@number), a model, forecast, report, decision or run; its beginning is enough."
    )
    up: bool = option(True, "Show what it was made from.")
    down: bool = option(True, "Show what was made from it.")
    depth: int = option(20, "How many steps away.")
    width: int = option(20, "How many things after any one.")
    html: str | None = option(None, "File for a page with a picture of both trees.")

    def __post_init__(self) -> None:
        if self.depth < 1 or self.width < 1:
            shown = f"--depth {self.depth} --width {self.width}"
            raise WrongUse(f"--depth and --width must be 1 or more, got {shown}")


def inputs(workspace: Workspace, settings: LineageSettings) -> dict[str, str]:
    """Return nothing: an answer is never remembered."""
    return {}


def families(workspace: Workspace) -> tuple[Lineage, Events]:
    """Return all that is known of lineage, and what knows the versions of a row."""
    origins, snapshots = Origins(workspace), Snapshots(workspace.tables)
    events = Events(workspace, origins)
    refused, past = Refused(workspace, origins), Past(workspace.runs)
    models, forecasts = Models(workspace, snapshots), Forecasts(workspace, snapshots)
    decisions = Decisions(workspace.journal, workspace.tables)
    known: list[Family] = [origins, snapshots, events, refused, models, forecasts, decisions, past]
    return Lineage(known), events


def run(workspace: Workspace, settings: LineageSettings, progress: Progress) -> Report:
    """Find a thing and what it hangs together with; writes nothing but the page asked for."""
    lineage, events = families(workspace)
    root = lineage.find(settings.id)
    far = {"depth": settings.depth, "width": settings.width}
    found = tree.Found(
        up=walk(root, lineage.up, **far) if settings.up else None,
        down=walk(root, lineage.down, **far) if settings.down else None,
        versions=tuple(events.versions(root)),
        root=root,
    )
    wrote: dict[str, object] = {}
    if settings.html:
        path = Path(settings.html).resolve()
        path.write_text(page.html(found), encoding="utf-8")
        wrote = {"page": str(path)}
    return Report(
        read={"kind": root.key.kind, "id": root.key.id},
        wrote=wrote,
        decided=[],
        figures=found.as_dict(),
    )


def told(report: dict[str, Any]) -> None:
    """Show a report as trees on the terminal."""
    tree.show(report["figures"])
    for path in report["wrote"].values():
        tree.say(f"page written to {path}")


JOB = Job(
    verb="lineage",
    summary="Show what a thing was made from, and what was made from it.",
    settings=LineageSettings,
    needs=None,
    inputs=inputs,
    run=run,
    reads_only=True,
    tell=told,
)
