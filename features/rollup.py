"""Rollups: a view of campaigns, reps or segments at regular moments, over all buckets of the log.

Each bucket is measured by itself for the same rows, the measures are merged, and the whole becomes
one committed table: "entity", "event_time" (T), "known_at" (T) and the features, so that it can be
joined to any spine as of its T (see asof.py).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster import session
from features import compute, log
from features.views.aggregates import LastText
from features.views.language import Events, View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from cluster.tables import Bucket
    from cluster.workspace import Workspace
    from features.compute.measures import Measure

SEGMENT = "segment"
ENTITIES = ("campaign", "rep", SEGMENT)  # what lies in many buckets

type Progress = Callable[[int, int, str], None]  # done, total, what


def table_of(view: View) -> str:
    """Return the name of the table of a rollup."""
    return f"rollup_{view.name}"


def rollup(
    workspace: Workspace, view: View, moments: tuple[datetime, ...], progress: Progress
) -> int:
    """Compute a view for each of its entities at each moment; returns the snapshot."""
    compute.require_mergeable(view)
    tables, snapshot = workspace.tables, log.pinned(workspace.tables)
    buckets = tables.buckets(log.TABLE, snapshot)
    with ThreadPoolExecutor(session.cores(workspace.settings)) as threads:
        names = threads.map(lambda bucket: _entities(workspace, view, bucket), buckets)
        spine = _spine(sorted(set().union(*names)), moments)
        parts = threads.map(lambda bucket: _measured(workspace, view, bucket, spine), buckets)
        rows = compute.together(view, spine, _told(parts, len(buckets), progress))
    made = rows.drop_columns(["account"]).rename_columns({"time": "event_time"})
    made = made.append_column("known_at", made["event_time"])
    tables.reshape(table_of(view), made.schema)
    said = {
        "funnelcast.view": f"{view.name}@{view.version}",
        "funnelcast.as_of": max(moments).isoformat(),
        log.MADE_FROM: str(snapshot),
    }
    return tables.replace(table_of(view), made, said)


def moments_of(start: datetime, end: datetime, step: timedelta) -> tuple[datetime, ...]:
    """Return the moments from `start` to `end`, both included, one step apart."""
    return tuple(takewhile(lambda at: at <= end, _steps(start, step)))


def _steps(start: datetime, step: timedelta) -> Iterator[datetime]:
    at = start
    while True:
        yield at
        at += step


def _entities(workspace: Workspace, view: View, bucket: Bucket) -> set[str]:
    """Return the entities that a bucket has events of."""
    columns = [view.entity] if view.entity != SEGMENT else ["kind", "name", "text"]
    events = workspace.tables.read_bucket(bucket, columns)
    if view.entity == SEGMENT:
        events = events.filter(log.named(events, "attribute", (view.by,)))
    found = events[columns[-1]].unique().drop_null()
    return set(found.to_pylist())


def _spine(entities: list[str], moments: tuple[datetime, ...]) -> pa.Table:
    """Return a row per entity and moment, by entity and time."""
    times = pa.array(sorted(moments), log.MICROSECONDS)
    places = np.arange(len(entities) * len(moments))
    names = pa.array(entities, pa.string()).take(pa.array(places // max(len(moments), 1)))
    columns = {"entity": names, "account": pa.nulls(len(places), pa.string())}
    return pa.table({**columns, "time": times.take(pa.array(places % max(len(moments), 1)))})


def _measured(
    workspace: Workspace, view: View, bucket: Bucket, spine: pa.Table
) -> dict[Measure, np.ndarray]:
    needed = {*compute.columns_of(view), *(("account", "text") if view.by else ())}
    columns = [name for name in log.SCHEMA.names if name in needed]
    events = workspace.tables.read_bucket(bucket, columns, coded=True)
    return compute.measured(view, with_segments(events, view.by) if view.by else events, spine)


def _told[T](parts: Iterator[T], total: int, progress: Progress) -> Iterator[T]:
    for done, part in enumerate(parts, start=1):
        progress(done, total, "buckets")
        yield part


def with_segments(events: pa.Table, attribute: str) -> pa.Table:
    """Return events with a column "segment": the text of an attribute of their account when they
    came into force. What is learnt later moves no event.
    """
    known = log.microseconds(events["known_at"])
    since = np.maximum(log.microseconds(events["event_time"]) + 1, known)
    account = events["account"].cast(pa.string())
    spine = pa.table({"entity": account, "account": account, "place": np.arange(len(since))})
    spine = spine.append_column("time", pa.array(since).cast(log.MICROSECONDS))
    found = compute.compute(_segment(attribute), events, spine)
    order = np.argsort(found["place"].to_numpy())
    return events.append_column(SEGMENT, found[SEGMENT].take(pa.array(order)))


def _segment(attribute: str) -> View:
    look = Events(kind="attribute", names=(attribute,))
    return View(
        name=SEGMENT,
        entity="account",
        owner="",
        description="",
        privacy="internal",
        features=(LastText(name=SEGMENT, label="", events=look),),
    )
