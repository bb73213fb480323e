"""The engine's arithmetic against a brute-force reading of the definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features import compute, log
from features.spine import DAY, SCORING
from features.views.language import (
    Count,
    Events,
    Feature,
    HoursSince,
    LastName,
    LastNumber,
    LastText,
    Mean,
    Sum,
    View,
)

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


def _expected(feature: Feature, frame: pd.DataFrame, row: Any) -> object:
    """One value, straight from the definition."""
    at = row.time.value // 1000
    known = frame[frame.known <= at].sort_values(["known", "event_id"])
    seen = known.drop_duplicates("row_key", keep="last")
    key = "account" if feature.events.of == "account" else "lead"
    seen = seen[
        (seen.happened < at) & (seen[key] == (row.account if key == "account" else row.entity))
    ]
    if feature.events.names:
        seen = seen[seen["name"].isin(feature.events.names)]
    if feature.window_days is not None:
        seen = seen[seen.happened >= at - feature.window_days * DAY]
    return _aggregate(feature, seen.sort_values(["happened", "known", "event_id"]), at)


def _aggregate(feature: Feature, seen: pd.DataFrame, at: int) -> object:
    numbers = seen.number.dropna()
    if isinstance(feature, Count):
        return len(seen)
    if isinstance(feature, Sum):
        return int(numbers.sum())
    if isinstance(feature, Mean):
        return float(numbers.sum()) / len(numbers) if len(numbers) else None
    if not len(seen):
        return None
    last = seen.iloc[-1]
    if isinstance(feature, HoursSince):
        return (at - last["happened"]) / 3_600_000_000
    value = last[
        "number"
        if isinstance(feature, LastNumber)
        else "name"
        if isinstance(feature, LastName)
        else "text"
    ]
    return None if pd.isna(value) else value


def _disagreements(events: pa.Table) -> list[str]:
    rows = compute.compute(VIEW, events, _spine(events)).to_pandas()
    frame = events.to_pandas().assign(
        happened=log.microseconds(events["event_time"]), known=log.microseconds(events["known_at"])
    )
    sample = rows.sample(min(len(rows), 25), random_state=3)
    wrong = []
    for row in sample.itertuples():
        for feature in FEATURES:
            got, want = getattr(row, feature.name), _expected(feature, frame, row)
            if not (got == want or (want is None and pd.isna(got))):
                wrong.append(f"{feature.name} of {row.entity} at {row.time}: {got} != {want}")
    return wrong


@pytest.mark.parametrize("seed", range(3))
def test_every_aggregate_equals_its_definition(
    random_events: Callable[[int, int], pa.Table], seed: int
) -> None:
    """Late, corrected and simultaneous events, windows from three days to all history."""
    assert _disagreements(random_events(seed, 400)) == []


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("retracted_at", lambda events: np.full(events.num_rows, log.NEVER)),
        ("microseconds", lambda column: column.cast(pa.int64()).to_numpy() - 1),
    ],
)
def test_the_comparison_notices_a_broken_rule(
    random_events: Callable[[int, int], pa.Table],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    broken: Callable[[Any], np.ndarray],
) -> None:
    """Mutants: corrections that do not supersede, and `<=` in place of `<` on the event time."""
    events = random_events(1, 400)
    if name == "microseconds":  # only the events' times are shifted, not the rows'
        original = compute._Prepared.__init__

        def shifted(self: Any, table: pa.Table) -> None:
            original(self, table)
            self.enter = np.maximum(self.times, self.enter - 1)

        monkeypatch.setattr(compute._Prepared, "__init__", shifted)
    else:
        monkeypatch.setattr(log, name, broken)
    assert _disagreements(events) != []


def test_the_result_does_not_depend_on_order_or_partition(
    random_events: Callable[[int, int], pa.Table],
) -> None:
    """Shuffled input and one call per account give the same bits."""
    events = random_events(7, 600)
    spine = _spine(events)
    whole = compute.compute(VIEW, events, spine)
    shuffled = events.take(np.random.default_rng(0).permutation(events.num_rows))
    assert compute.compute(VIEW, shuffled, spine.take(np.arange(spine.num_rows)[::-1])).equals(
        whole
    )
    parts = [
        compute.compute(VIEW, _of(events, account), _of(spine, account))
        for account in ("account-0", "account-1", "account-2", "account-3")
    ]
    order = [("entity", "ascending"), ("time", "ascending")]
    assert pa.concat_tables(parts).sort_by(order).combine_chunks().equals(whole.combine_chunks())


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
