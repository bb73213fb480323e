"""The story of past scores: features of past moments, a model for each stretch of them, its scores.

What is committed of a stretch is not done again, and a longer log only adds moments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import canonical
from cluster.dataset import Dataset
from cluster.errors import FunnelcastError
from features import compute, engine, log, registered
from features.views import register, view
from jobs import console
from jobs.console import Job, Progress, Report
from jobs.train.past import lots, question, taught
from jobs.train.past.question import PastSettings
from serving import batch, scored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cluster.workspace import Workspace
    from jobs.train.past.grid import Stretch
    from jobs.train.past.question import Asked
    from serving.model import Model


class Overtaken(FunnelcastError):
    """Another run wrote past scores of the same target meanwhile: run it again."""


class _Given(NamedTuple):
    """What is scored and learnt from."""

    rows: pa.Table  # features of all moments
    events: pa.Table


def inputs(workspace: Workspace, settings: PastSettings) -> dict[str, str]:
    """Return the identity of the log's snapshot, and of what is asked of it."""
    asked = question.ask(workspace, settings)
    ends, withheld = asked.grid.last.isoformat(), canonical.digest(asked.withheld)
    return {"log": str(asked.snapshot), "made": asked.made, "to": ends, "withheld": withheld}


def run(workspace: Workspace, settings: PastSettings, progress: Progress) -> Report:
    """Score all moments of the grid that have no scores yet, stretch by stretch."""
    asked, tables = question.ask(workspace, settings), workspace.tables
    tables.create(asked.table, scored.SCHEMA)
    before = _there(workspace, asked)
    todo = list(_todo(asked, before))
    given = _given(workspace, asked, settings.runner, progress) if todo else None
    taught_ones, is_first = 0, not before.num_rows
    for number, (stretch, moments) in enumerate(todo, start=1):
        rows = _scored(asked, stretch, moments, given) if given else None
        if rows is not None:
            _add(workspace, asked.table, rows, in_place=is_first)
            taught_ones, is_first = taught_ones + 1, False
        progress(number, len(todo), "models")
    return _report(workspace, asked, taught_ones, before.num_rows)


def _there(workspace: Workspace, asked: Asked) -> pa.Table:
    """Return the scores that were made so before; none if any was made otherwise, or is of somebody
    who forbids it by now, or whom the log knows no more: then all are made again.
    """
    rows, key = batch.plain(workspace.tables.read(asked.table)), asked.target.entity
    known = workspace.tables.read(log.TABLE, asked.snapshot, columns=[key])[key].cast(pa.string())
    is_known = pc.is_in(rows["entity"], value_set=pc.unique(known))
    withheld = pc.is_in(rows["entity"], value_set=pa.array(asked.withheld, pa.string()))
    is_other = pc.or_(pc.not_equal(rows["made"], asked.made), pc.and_(withheld, rows["is_own"]))
    return rows if pc.all(pc.and_not(is_known, is_other)).as_py() else rows.slice(0, 0)


def _todo(asked: Asked, there: pa.Table) -> Iterator[tuple[Stretch, set[datetime]]]:
    """Yield the stretches that lack moments, and those moments."""
    done = set(pc.unique(there["time"]).to_pylist())
    for stretch in asked.grid.stretches:
        if missing := set(stretch.moments) - done:
            yield stretch, missing


def _given(workspace: Workspace, asked: Asked, runner: str, progress: Progress) -> _Given:
    """Compute the features of all moments: also those to learn from."""
    registered.keep(workspace, asked.target, "jobs.train.past", asked.plan.table)
    views = [view(name) for name in asked.target.views]
    register.keep(workspace, views, "jobs.train.past", asked.plan.table)
    made = engine.materialize(workspace, asked.plan, runner, progress)
    rows = batch.plain(workspace.tables.read(made.table, made.snapshot))
    columns = compute.COLUMNS
    return _Given(rows, workspace.tables.read(log.TABLE, asked.snapshot, columns=columns))


def _scored(
    asked: Asked, stretch: Stretch, moments: set[datetime], given: _Given
) -> pa.Table | None:
    """Return the scores of some moments of a stretch by the model that was taught at its cut; None
    where there was too little to learn yet, or nothing to score.
    """
    target = asked.target
    learnt_from = taught.among(given.rows, asked.grid.learnt_from(target.every_days))
    lesson = taught.labelled(target, given.events, learnt_from, stretch.cut)
    model = taught.model(target, lesson, asked.seed)
    rows = taught.among(given.rows, moments)
    if model is None or not rows.num_rows:
        return None
    return _rows(asked, stretch, rows, model)


def _rows(asked: Asked, stretch: Stretch, rows: pa.Table, model: Model) -> pa.Table:
    """Return the scores of feature rows: SCHEMA columns."""
    forbidden = pa.array(asked.withheld, pa.string())
    is_withheld = pc.is_in(rows["entity"], value_set=forbidden).to_numpy()
    found = np.full(rows.num_rows, np.nan)
    found[~is_withheld] = taught.probabilities(model, rows.filter(pa.array(~is_withheld)))
    found = lots.drawn(asked.seed, log.microseconds(rows["time"]), found, is_withheld)
    columns = {
        **{name: rows[name] for name in ("entity", "account", "time")},
        "probability": found,
        "is_own": ~is_withheld,
        "learnt_at": pa.array([stretch.cut] * rows.num_rows, log.MICROSECONDS),
        "made": pa.repeat(asked.made, rows.num_rows),
    }
    return pa.table(columns).filter(pa.array(np.isfinite(found))).cast(scored.SCHEMA)


def _add(workspace: Workspace, table: str, rows: pa.Table, *, in_place: bool) -> None:
    """Commit scores beside those that are there, or in their place."""
    tables = workspace.tables
    head = tables.head(table)
    old = tables.files(table, head) if in_place else ()
    if tables.commit_after(table, tables.write(table, rows), head=head, replacing=old) is None:
        raise Overtaken(f"'{table}' must stay as it is until the commit: run the command again")


def _report(workspace: Workspace, asked: Asked, models: int, before: int) -> Report:
    rows, snapshot = _there(workspace, asked), workspace.tables.head(asked.table)
    return Report(
        read={"log snapshot": asked.snapshot, "moments": len(asked.grid.moments)},
        wrote={"table": asked.table, "rows": rows.num_rows, "snapshot": snapshot or 0},
        decided=list(_said(asked, rows, models, before)),
        figures={"models": models, "rows": rows.num_rows, "before": before},
        inputs=[Dataset.table(log.TABLE, asked.snapshot)],
        outputs=[Dataset.table(asked.table, snapshot, rows.num_rows)] if snapshot else [],
    )


def _said(asked: Asked, rows: pa.Table, models: int, before: int) -> Iterator[str]:
    if not rows.num_rows:
        yield (
            f"no scores: a model takes {taught.LEAST_ROWS} rows whose outcome was known, and"
            f" {taught.LEAST_OUTCOMES} of either outcome"
        )
        return
    times = pc.min_max(rows["time"]).as_py()
    moments = pc.count_distinct(rows["time"]).as_py()
    yield (
        f"{rows.num_rows:,} scores as of {moments:,} moments from {times['min']:%Y-%m-%d} to"
        f" {times['max']:%Y-%m-%d}; {before:,} were there before"
    )
    yield f"{models:,} models, each taught what was known at its cut and used only after it"
    if asked.withheld:
        yield (
            f"{len(asked.withheld):,} leads do not allow to be scored: a score of another, drawn by"
            " lot, stands in the place of theirs"
        )


JOB = Job(
    verb="train.past",
    summary="Score past moments, each by a model that was taught only what was known before it.",
    settings=PastSettings,
    needs=None,
    inputs=inputs,
    run=run,
    current=console.holds_table,
)
