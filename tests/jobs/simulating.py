"""A small company whose log is simulated from, and questions put to it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.settings import Settings
from cluster.workspace import Workspace
from features import log
from features.sources.world import WorldConfig, generate
from jobs.simulate import answer, question
from jobs.simulate.question import SimulateSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobs.console import Progress
    from jobs.simulate.answer import Answer

SMALL: dict[str, Any] = {"draws": 60, "horizon": 8}
EFFECT = {"ratio": 1.0, "sd": 0.0, "grade": "assumption"}
LEVER = {
    "kind": "outreach",
    "stages": ["lead", "discovery"],
    "rate": 0.5,
    "effect": EFFECT,
    "cost_per_contact_cents": 100,
}
DESK = {"name": "inside", "reps": 9, "contacts_per_day": 8}
KINDS = ["opportunity", "stage", "outcome", "lead", "intervention", "attribute", "metric"]


@contextmanager
def company(home: Path) -> Iterator[Workspace]:
    """Give a workspace whose log holds the events of a small company."""
    told = generate(WorldConfig(weeks=60, leads=2200, accounts=400, faults=0.0)).events
    events = log.identified(told.filter(pc.is_in(told["kind"], pa.array(KINDS))))
    with Workspace.open(Settings(home=home)) as opened:
        log.create(opened.tables, 4)
        opened.tables.append(log.TABLE, events)
        yield opened


def quiet(done: int, total: int, what: str) -> None:
    """Tell nobody."""


def scenario(name: str, **changes: object) -> dict[str, Any]:
    """Return a scenario of one lever and one desk."""
    return {"name": name, "levers": [LEVER], "desks": [DESK], **SMALL, **changes}


def answered(
    workspace: Workspace,
    folder: Path,
    *,
    progress: Progress = quiet,
    folded: bool = False,
    **comparison: object,
) -> Answer:
    """Return the answer to a comparison, inline."""
    path = folder / "comparison.yaml"
    path.write_text(json.dumps(comparison))
    asked = question.ask(workspace, SimulateSettings(comparison=str(path)))
    return answer.answer(workspace, asked, asked_runner="inline", progress=progress, folded=folded)
