"""Rows with their features: who was given what, as the log knows it, and what was known then."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from cluster import session
from features import log, step
from features.plan import Plan
from serving.effects import encoded, rows
from serving.forecast import units

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.runner import Choice
    from cluster.workspace import Workspace
    from jobs.console import Progress
    from jobs.effects.asked import Asked
    from serving.effects.rows import Rows


class Gathered(NamedTuple):
    """What a learning rests on."""

    rows: Rows  # with features
    pool: Rows  # of whom an experiment could draw lots


def gathered(workspace: Workspace, asked: Asked, choice: Choice, progress: Progress) -> Gathered:
    """Return the rows of a definition, with the features that were known at each T."""
    found, pool = drawn(workspace, asked)
    if not len(found):
        return Gathered(found, pool)
    plan = Plan(
        target=asked.definition.target,
        purpose="given",
        as_of=asked.as_of,
        snapshot=asked.snapshot,
        asked=found.asked,
    )
    tables = []
    parts = _on_ray(workspace, plan) if choice.runner == "ray" else _inline(workspace, plan)
    total = len(workspace.tables.buckets(log.TABLE, asked.snapshot))
    for table in parts:
        tables.append(table)
        progress(len(tables), total, "buckets")
    known = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
    return Gathered(encoded.encoded(found, known, asked.definition.segments), pool)


def drawn(workspace: Workspace, asked: Asked) -> Gathered:
    """Return the rows without features."""
    events = workspace.tables.read(log.TABLE, asked.snapshot, columns=units.COLUMNS)
    course = units.read(events, asked.funnel, asked.as_of) if asked.funnel else None
    told = asked.definition, events, asked.as_of, course
    return Gathered(rows.rows(*told), rows.pool(*told))


def _inline(workspace: Workspace, plan: Plan) -> Iterable[pa.Table]:
    buckets = workspace.tables.buckets(log.TABLE, plan.snapshot)
    with ThreadPoolExecutor(session.cores(workspace.settings)) as pool:
        yield from pool.map(lambda bucket: step.rows_of(workspace, plan, bucket), buckets)


def _on_ray(workspace: Workspace, plan: Plan) -> Iterable[pa.Table]:
    session.connect(workspace.settings)
    from jobs.effects import pool

    return pool.features(workspace, plan)
