"""Keeping an answer: the blob first, then the rows that name it, the ref last.

So a reader who follows the ref sees all of a run or nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import canonical
from cluster.errors import FunnelcastError
from features import log
from jobs.simulate import result
from serving.forecast import record

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from cluster.tables import Tables
    from cluster.workspace import Workspace
    from jobs.simulate.answer import Answer


class Overtaken(FunnelcastError):
    """Another run of the same scenario finished at the same moment: run it again."""


def keep(workspace: Workspace, answer: Answer, table: pd.DataFrame) -> dict[str, Any]:
    """Write blob, rows and ref, and return what was written."""
    question = answer.question
    run = workspace.blobs.put(record.blob(answer.outcomes, facts(answer)))
    document = result.told(answer, run)
    said = workspace.blobs.put(canonical.dumps(document.model_dump(mode="json")))
    rows = record.rows(table, run, question.as_of)
    made_from = {"funnelcast.run": run, log.MADE_FROM: str(question.snapshot)}
    snapshot = _add(workspace, run, rows, made_from)
    name = record.ref(question.name)
    _move(workspace, name, run)
    return {
        "run": run,
        "ref": name,
        "result": said,
        "table": record.TABLE,
        "rows": len(rows),
        "snapshot": snapshot,
    }


def facts(answer: Answer) -> dict[str, object]:
    """Return what the run says about itself, as plain JSON values."""
    question = answer.question
    return {
        "comparison": question.comparison.model_dump(mode="json"),
        "as_of": question.as_of.isoformat(),
        "log": str(question.snapshot),
        "grade": answer.grade,
        "shock_sd": answer.asked.learnt.swings.shock_sd.tolist(),
        "arms": list(answer.outcomes),
    }


def _add(workspace: Workspace, run: str, rows: pa.Table, said: dict[str, str]) -> int | None:
    """Append the rows unless an equal run did, and return the newest snapshot."""
    tables = workspace.tables
    tables.create(record.TABLE, record.SCHEMA)
    if _is_kept(tables, run):
        return tables.head(record.TABLE)
    return tables.append(record.TABLE, rows, said)


def _is_kept(tables: Tables, run: str) -> bool:
    # one commit holds all rows of a run, so one row says that all are there
    return run in tables.read(record.TABLE, columns=["run"])["run"].to_pylist()


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
