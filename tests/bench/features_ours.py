"""Our engine over the log of the feature bench: a bucket a task, two threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.workspace import Workspace
from features import compute, log
from features.views import aggregates
from features.views.language import Events, View
from tests.bench import features_data as data

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.tables import Bucket, Tables

THREADS = 2
CLASSES = {
    "count": aggregates.Count,
    "sum": aggregates.Sum,
    "distinct": aggregates.Distinct,
    "min": aggregates.Min,
    "max": aggregates.Max,
    "last": aggregates.LastNumber,
}


def ours(home: Path, part: str) -> tuple[float, pa.Table]:
    """Compute the columns of `part`; returns the seconds it took and a table of row and columns."""
    wanted = view(data.columns(part))
    events, spine = data.small()
    compute.compute(wanted, events, _of_accounts(spine))  # loads what is compiled once
    with Workspace.open(data.settings(home)) as workspace:
        begun = time.perf_counter()
        made = _computed(workspace.tables, wanted)
        return time.perf_counter() - begun, made


def view(columns: list[str]) -> View:
    """Return a view of columns named `<event>_<aggregate>_<days>d`."""
    return View(
        name="bench",
        entity="account",
        owner="bench",
        description="Counts, sums and others of touches of an account.",
        privacy="internal",
        features=tuple(_feature(column) for column in columns),
    )


def _feature(column: str) -> aggregates.Feature:
    name, word, days = column.rsplit("_", 2)
    given: dict[str, Any] = {"column": "text"} if word == "distinct" else {}
    return CLASSES[word](
        name=column,
        label=column,
        events=Events(kind=data.KIND, names=(name,)),
        window_days=int(days.removesuffix("d")),
        **given,
    )


def _computed(tables: Tables, wanted: View) -> pa.Table:
    snapshot = log.pinned(tables)
    columns = compute.columns_of(wanted)
    spines = {bucket.number: bucket for bucket in tables.buckets(data.SPINE)}

    def one(bucket: Bucket) -> pa.Table:
        events = tables.read_bucket(bucket, columns, coded=True)
        rows = _of_accounts(tables.read_bucket(spines[bucket.number]))
        return compute.compute(wanted, events, rows).drop_columns(["entity", "account", "time"])

    found = [b for b in tables.buckets(log.TABLE, snapshot) if b.number in spines]
    there = sorted(found, key=lambda bucket: -bucket.rows)  # as the engine does
    with ThreadPoolExecutor(THREADS) as pool:
        return pa.concat_tables(pool.map(one, there))


def _of_accounts(spine: pa.Table) -> pa.Table:
    return spine.append_column("entity", spine["account"])
