"""Keeping an answer: the blob first, then the rows that name it, the ref last; so a reader sees all
of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import FunnelcastError
from serving.forecast import record

if TYPE_CHECKING:
    import pandas as pd

    from cluster.workspace import Workspace
    from jobs.simulate.answer import Answer


class Overtaken(FunnelcastError):
    """Another run of the same scenario finished at the same moment: run it again."""


def keep(workspace: Workspace, answer: Answer, table: pd.DataFrame) -> dict[str, object]:
    """Write blob, rows and ref, and return what was written."""
    question = answer.question
    run = workspace.blobs.put(record.blob(answer.outcomes, facts(answer)))
    workspace.tables.create(record.TABLE, record.SCHEMA)
    rows = record.rows(table, run, question.as_of)
    snapshot = workspace.tables.append(record.TABLE, rows)
    name = record.ref(question.scenario.name)
    _move(workspace, name, run)
    return {"run": run, "ref": name, "table": record.TABLE, "rows": len(rows), "snapshot": snapshot}


def facts(answer: Answer) -> dict[str, object]:
    """Return what the run says about itself, as plain JSON values."""
    question = answer.question
    return {
        "scenario": question.scenario.model_dump(mode="json"),
        "as_of": question.as_of.isoformat(),
        "log": str(question.snapshot),
        "grade": question.scenario.grade(),
        "shock_sd": answer.asked.hazards.shock_sd,
        "arms": list(answer.outcomes),
    }


def _move(workspace: Workspace, name: str, run: str) -> None:
    before = workspace.refs.get(name)
    moved = workspace.refs.move(
        name,
        to=run,
        expect_epoch=before.epoch if before else 0,
        actor="jobs.simulate",
        reason="a newer forecast",
        now=workspace.clock(),
    )
    if not moved:
        raise Overtaken(str(moved))
