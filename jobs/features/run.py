"""The story of a look at the catalogue: list, describe, diff, the change log, an export, or the
events behind a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from features import log
from features.views import VIEWS, register
from features.views.changes import changes
from jobs import show
from jobs.actions import require
from jobs.console import Job, Progress, Report, argument, option
from jobs.features import export, page, text
from jobs.features.catalogue import Catalogue
from jobs.features.traced import traced

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.workspace import Workspace

# of each action: the settings that it must have, and those that it may have
ACTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "list": ((), ()),
    "describe": (("view",), ("html", "table")),
    "diff": (("view", "a"), ("b",)),
    "log": ((), ("view",)),
    "export": (("feast",), ("view", "table")),
    "trace": (("view", "a", "b"), ("as_of",)),
}
NEEDS = dict.fromkeys(ACTIONS)  # it only looks
PLACES = ("view", "a", "b")


def place(help: str) -> Any:
    """Return a field that is given by its place, and may be left out."""
    return field(default=None, metadata={"help": help, "positional": True})


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings:
    """What to do, with which view and versions, and where to."""

    action: str = argument("list, describe, diff, log, export or trace.")
    view: str | None = place("Name of a view, or <name>@<version>.")
    a: str | None = place("diff: a version, or its beginning; trace: a feature.")
    b: str | None = place("diff: another version, by default what is declared; trace: an entity.")
    table: str | None = option(None, "describe, export: only the rows of this table.")
    html: str | None = option(None, "describe: file for a page with pictures.")
    as_of: str | None = option(None, "trace: moment T, ISO 8601; by default when all is known.")
    feast: str | None = option(None, "export: folder for a feature repository of Feast.")

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for what it cannot use or must have."""
        require(self, ACTIONS, PLACES, ("table", "html", "feast", "as_of"))


def inputs(workspace: Workspace, settings: FeaturesSettings) -> dict[str, str]:
    """Return nothing: an answer is never remembered."""
    return {}


def run(workspace: Workspace, settings: FeaturesSettings, progress: Progress) -> Report:
    """Do what is asked; writes nothing but the page or the folder asked for."""
    actions: dict[str, Callable[[Catalogue, FeaturesSettings], Report]] = {
        "list": _list,
        "describe": _describe,
        "diff": _diff,
        "log": _log,
        "export": _export,
        "trace": _trace,
    }
    return actions[settings.action](Catalogue(workspace=workspace), settings)


def _list(catalogue: Catalogue, settings: FeaturesSettings) -> Report:
    rows = catalogue.rows()
    count = sum(len(view.features) for view in VIEWS)
    return Report(
        read={"views": len(VIEWS), "features": count},
        wrote={},
        decided=[],
        figures={"views": len(VIEWS), "features": count},
        table=pd.DataFrame(rows),
    )


def _describe(catalogue: Catalogue, settings: FeaturesSettings) -> Report:
    asked = catalogue.asked(settings.view or "")
    found = catalogue.described(asked, settings.table)
    wrote: dict[str, object] = {}
    if settings.html:
        path = Path(settings.html).resolve()
        path.write_text(page.html(found), encoding="utf-8")
        wrote = {"page": str(path)}
    read: dict[str, object] = {"view": asked.view.name, "version": asked.version}
    return Report(read=read, wrote=wrote, decided=[], figures=found)


def _diff(catalogue: Catalogue, settings: FeaturesSettings) -> Report:
    name = (settings.view or "").partition("@")[0]
    old = catalogue.asked(f"{name}@{settings.a}")
    new = catalogue.asked(f"{name}@{settings.b}" if settings.b else name)
    found = changes(old.view, new.view)
    rows = [{"feature": c.where, "change": c.kind, "what": c.what} for c in found]
    return Report(
        read={"view": name, "from": old.version, "to": new.version},
        wrote={},
        decided=[f"{len(found)} changes" if found else "nothing is different"],
        figures={"changes": len(found)},
        table=pd.DataFrame(rows) if rows else None,
    )


def _log(catalogue: Catalogue, settings: FeaturesSettings) -> Report:
    workspace = catalogue.workspace
    known = register.names(workspace)
    if settings.view is not None:
        known = [catalogue.asked(settings.view).view.name]
    moves = [(name, each) for name in known for each in register.history(workspace, name)]
    moves.sort(key=lambda move: (move[1].ref.moved_at, move[0], move[1].ref.epoch))
    return Report(
        read={"views": len(known), "definitions": len(moves)},
        wrote={},
        decided=[text.move(name, each) for name, each in moves],
        figures={"moves": [text.plain(name, each) for name, each in moves]},
    )


def _export(catalogue: Catalogue, settings: FeaturesSettings) -> Report:
    views = [catalogue.asked(settings.view).view] if settings.view else list(VIEWS)
    chosen = export.chosen(catalogue.snapshots, views, settings.table)
    folder = Path(settings.feast or "").resolve()
    made = export.write(catalogue.workspace.tables, chosen, folder)
    return Report(
        read={held.table: held.snapshot for _, held in chosen},
        wrote={"folder": str(folder), "feature views": len(chosen), "rows": sum(made.values())},
        decided=[f"feature view {export.name_of(view, held)}" for view, held in chosen],
        figures={"rows": made},
    )


def _trace(catalogue: Catalogue, settings: FeaturesSettings) -> Report:
    workspace, view = catalogue.workspace, catalogue.asked(settings.view or "").view
    at = log.as_of(settings.as_of, workspace.tables, log.pinned(workspace.tables))
    name, entity = settings.a or "", settings.b or ""
    found = traced(workspace, view, name, entity, at)
    events = found.rows()
    said = f"{name} of {view.entity} {entity} as of {at.isoformat()} is {found.value}"
    return Report(
        read={"view": view.name, "version": view.version},
        wrote={},
        decided=[f"{said}, made of {len(events)} events; jobs.lineage <event> leads to their rows"],
        figures={"value": found.value, "events": len(events)},
        table=pd.DataFrame(events) if events else None,
    )


def told(report: dict[str, Any]) -> None:
    """Show a description feature by feature, and any other report as all jobs do."""
    if "entity" in report["figures"]:
        text.show(report)
    else:
        show.outcome("features", report, unchanged=False, as_json=False)


JOB = Job(
    verb="features",
    summary="List and describe the features, compare versions of views, and export to Feast.",
    settings=FeaturesSettings,
    needs=NEEDS,
    inputs=inputs,
    run=run,
    reads_only=True,
    tell=told,
)
