"""The engine's arithmetic against a brute-force reading of the definition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from features import compute, log
from features.spine import DAY, SCORING
from features.views.aggregates import (
    Count,
    Feature,
    HoursSince,
    LastName,
    LastNumber,
    LastText,
    Mean,
    Sum,
)
from features.views.language import Events, View

TOUCH, VISITS = Events(kind="touch"), Events(kind="touch", names=("web_visit", "pricing_visit"))
ACCOUNT = Events(kind="touch", of="account")
FEATURES: tuple[Feature, ...] = (
    Count(name="count", label="", events=VISITS, window_days=7),
    Count(name="count_all", label="", events=TOUCH),
    Count(name="count_account", label="", events=ACCOUNT, window_days=20),
    Sum(name="sum", label="", events=VISITS, window_days=14),
    Mean(name="mean", label="", events=TOUCH, window_days=30),
    LastNumber(name="last_number", label="", events=TOUCH, window_days=10),
    LastText(name="last_text", label="", events=TOUCH),
    LastName(name="last_name", label="", events=ACCOUNT, window_days=3),
    HoursSince(name="hours", label="", events=VISITS),
)
VIEW = View(
    name="test", entity="lead", owner="test", description="", privacy="internal", features=FEATURES
)


def _spine(events: pa.Table) -> pa.Table:
    """Every lead at moments on and between event times."""
    times = np.unique(log.microseconds(events["event_time"]))[::9]
    moments = np.concatenate([times, times + 1, times + 7 * DAY])
    rows = [(f"lead-{k}", f"account-{k % 4}", t) for k in range(12) for t in moments.tolist()]
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(c) for c in columns]
    return pa.table(dict(zip(SCORING.names, arrays, strict=True))).cast(SCORING)


def test_no_rows_and_no_events_give_the_full_schema(
    random_events: Callable[[int, int], pa.Table],
) -> None:
    """An empty bucket is a bucket like any other."""
    events = random_events(2, 50)
    empty = compute.compute(VIEW, events, SCORING.empty_table())
    assert empty.num_rows == 0
    assert empty.column_names == [*SCORING.names, *VIEW.columns]
    alone = compute.compute(VIEW, events.slice(0, 0), _spine(events).slice(0, 3))
    assert alone["count"].to_pylist() == [0, 0, 0]
    assert alone["hours"].null_count == 3


def test_a_changed_definition_is_another_version() -> None:
    """The version is a hash over what is computed, not over who owns it."""
    longer = (Count(name="count", label="", events=VISITS, window_days=8), *FEATURES[1:])
    other = View(
        name="test", entity="lead", owner="x", description="y", privacy="public", features=FEATURES
    )
    changed = View(
        name="test",
        entity="lead",
        owner="test",
        description="",
        privacy="internal",
        features=longer,
    )
    assert other.version == VIEW.version != changed.version


def _of(table: pa.Table, account: str) -> pa.Table:
    return table.filter(pa.compute.equal(table["account"], account))
