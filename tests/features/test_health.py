"""Health against NumPy and pandas, drift by hand, and one record per snapshot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import WrongUse
from features import health, log
from features.health import measure, record, sketch

if TYPE_CHECKING:
    from cluster.workspace import Workspace

REAL = st.floats(allow_nan=False, allow_infinity=False, width=32)
WHOLE = st.one_of(st.integers(-5, 40), st.integers(-(2**52), 2**52))
TEXT = st.text(alphabet="abcß€𝄞 ", max_size=2)
TABLE = "scoring_test"


def _one(column: pa.Array, before: pa.Table | None = None) -> dict[str, Any]:
    (row,) = health.measured(pa.table({"x": column}), before).to_pylist()
    return {**row, "sketch": json.loads(row["sketch"])}


@settings(max_examples=50, deadline=None)
@given(st.one_of(st.lists(st.none() | REAL), st.lists(st.none() | WHOLE)))
def test_figures_of_numbers_are_those_of_numpy_and_pandas(values: list[float | None]) -> None:
    """Nulls, distinct values, extremes and mean; quantiles and counts between the deciles."""
    kind = pa.int64() if all(isinstance(v, int | None) for v in values) else pa.float64()
    found = _one(pa.array(values, kind))
    plain = pd.Series([v for v in values if v is not None], dtype=kind.to_pandas_dtype())
    assert (found["rows"], found["nulls"]) == (len(values), len(values) - len(plain))
    assert found["distinct"] == plain.nunique()
    if plain.empty:
        assert found["min"] is found["max"] is found["mean"] is None
        return
    assert (found["min"], found["max"]) == (plain.min(), plain.max())
    assert np.isclose(found["mean"], plain.astype(float).mean(), atol=1e-9 * plain.abs().max())
    kept = found["sketch"]
    expected = np.quantile(plain, sketch.QUANTILES, method="inverted_cdf")
    assert kept["quantiles"] == expected.astype(float).tolist()
    bins = np.searchsorted(kept["edges"], plain.astype(float), side="left")
    counts = np.bincount(bins, minlength=len(kept["edges"]) + 1)
    assert kept["counts"] == [*counts, found["nulls"]]
    assert sum(kept["bars"]) == len(plain)
    assert kept["edges"] == sorted({float(v) for v in expected[sketch.DECILES]})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | TEXT))
def test_figures_of_texts_are_those_of_pandas(values: list[str | None]) -> None:
    """The most frequent ones first, of equals in order of their characters; no rare ones."""
    values = [each for each in values for _ in range(1 if each is None else 5)]
    found = _one(pa.array(values, pa.string()))
    counts = pd.Series(values, dtype=object).value_counts()
    frequent = [pair for pair in counts.items() if pair[1] >= sketch.FEWEST]
    order = sorted(frequent, key=lambda pair: (-pair[1], pair[0]))
    top = order[: sketch.TOP]
    rest = int(counts.sum()) - sum(count for _, count in top)
    kept = {"values": [v for v, _ in top], "counts": [*(c for _, c in top), rest, found["nulls"]]}
    assert found["sketch"] == kept
    assert (found["distinct"], found["nulls"]) == (len(counts), values.count(None))


def test_a_text_of_few_rows_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be about one person, who may ask to be forgotten; unless the bound is away."""
    names = pa.array(["Ada"] * 9 + ["staff"] * 10)
    assert _one(names)["sketch"] == {"values": ["staff"], "counts": [10, 9, 0]}
    monkeypatch.setattr(sketch, "FEWEST", 1)
    assert _one(names)["sketch"]["values"] == ["staff", "Ada"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.none() | st.integers(0, 30), min_size=1), st.randoms())
def test_the_order_of_rows_does_not_matter(values: list[int | None], random: Any) -> None:
    """To the bit."""
    mixed = random.sample(values, len(values))
    for kind in (pa.int64(), pa.float64()):
        assert _one(pa.array(values, kind)) == _one(pa.array(mixed, kind))


def test_what_is_not_finite_counts_as_null() -> None:
    """It would make every other figure of the column useless."""
    found = _one(pa.array([1.0, float("nan"), float("inf"), 3.0]))
    assert (found["nulls"], found["mean"], found["max"]) == (2, 2.0, 3.0)


def test_a_column_that_is_no_feature_is_wrong_use() -> None:
    """Times and flags are none."""
    with pytest.raises(WrongUse, match="'x' of bool"):
        _one(pa.array([True, False]))


def test_the_index_is_the_sum_over_the_bins() -> None:
    """By hand: shares 0.5, 0.3, 0.2 became 0.4, 0.4, 0.2; an empty bin counts as half a row."""
    by_hand = 0.1 * np.log(0.5 / 0.4) + 0.1 * np.log(0.4 / 0.3)
    assert sketch.drift([50, 30, 20], [40, 40, 20]) == pytest.approx(by_hand)
    assert sketch.drift([5, 0], [5, 5]) == pytest.approx(0.5 * np.log(2) + 0.4 * np.log(5))
    assert sketch.drift([0, 0], [5, 5]) is None


def _drift_by_hand(before: np.ndarray, now: np.ndarray, edges: list[float]) -> float:
    counts = [
        np.bincount(np.searchsorted(edges, each, side="left"), minlength=len(edges) + 1)
        for each in (before, now)
    ]
    p, q = (np.maximum(each, 0.5) / each.sum() for each in counts)
    return float(((q - p) * np.log(q / p)).sum())


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0])
def test_drift_is_measured_between_the_deciles_of_before(shift: float) -> None:
    """Exactly, from what was kept and the new rows; a shift of one deviation stands out."""
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=5_000), rng.normal(shift, size=5_000)
    first = health.measured(pa.table({"x": before}))
    found = _one(pa.array(now), first)
    edges = json.loads(first["sketch"][0].as_py())["edges"]
    assert found["psi"] == pytest.approx(_drift_by_hand(before, now, edges))
    assert found["finding"] == (health.DRIFTED if shift == 1 else None)


def test_texts_and_nulls_drift_too() -> None:
    """A value that takes over, and values that are gone."""
    first = health.measured(pa.table({"x": ["a", "b"] * 500}))
    assert _one(pa.array(["a"] * 900 + ["b"] * 100), first)["finding"] == health.DRIFTED
    assert _one(pa.array(["a", "b"] * 250 + [None] * 500), first)["finding"] == health.DRIFTED
    assert _one(pa.array(["b", "a"] * 400), first)["finding"] is None


def test_another_type_is_no_drift() -> None:
    """A text has no deciles."""
    first = health.measured(pa.table({"x": ["a", "b"]}))
    assert _one(pa.array([1, 2]), first)["psi"] is None


def _alarms(draws: int) -> int:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(draws):
        first = health.measured(pa.table({"x": rng.normal(size=60)}))
        found.append(_one(pa.array(rng.normal(size=60)), first)["finding"])
    return found.count(health.DRIFTED)


def test_few_rows_vary_by_chance_and_do_not_drift() -> None:
    """Two samples of 60 rows of one distribution differ by more than 0.25 often."""
    assert _alarms(100) <= 2


def test_without_the_part_of_chance_few_rows_would_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above rests on it."""
    monkeypatch.setattr(measure, "limit", lambda before, now, least: least)
    assert _alarms(100) > 20


def test_findings_name_what_is_empty_and_what_is_constant() -> None:
    """A null beside one value is a difference; no rows are no finding."""
    cases: list[tuple[list[int | None], str | None]] = [
        ([None, None], health.EMPTY),
        ([3, 3], health.CONSTANT),
        ([3, None], None),
        ([], None),
    ]
    for values, finding in cases:
        assert _one(pa.array(values, pa.int64()))["finding"] == finding


def _rows(seed: int, shift: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns = {f"f{n}": rng.poisson(5, 400) + shift for n in range(20)}
    return pa.table({"entity": [f"e{n}" for n in range(400)], **columns, "t": ["a", "b"] * 200})


FEATURES = [*(f"f{n}" for n in range(20)), "t"]


@pytest.fixture
def logged(workspace: Workspace, make_events: Callable[..., pa.Table]) -> Workspace:
    """A workspace with a log of events known on days 1 to 5."""
    log.create(workspace.tables, 2)
    events = make_events(*({"at": n, "account": f"a{n}", "lead": "l"} for n in range(1, 6)))
    workspace.tables.append(log.TABLE, events)
    return workspace


def _commit(workspace: Workspace, rows: pa.Table, as_of: datetime) -> int:
    tables = workspace.tables
    tables.reshape(TABLE, rows.schema)
    made_from = str(tables.head(log.TABLE))
    said = {record.AS_OF: as_of.isoformat(), log.MADE_FROM: made_from}
    return tables.replace(TABLE, rows, said)


def test_a_snapshot_is_put_on_record_once(logged: Workspace) -> None:
    """A row per feature, what was measured, as known when; the second call finds it."""
    as_of = datetime(2023, 11, 17, 23, tzinfo=UTC)  # day 3 of the log is known, day 4 is not
    snapshot = _commit(logged, _rows(1), as_of)
    made = health.keep(logged, TABLE, snapshot, FEATURES)
    assert health.keep(logged, TABLE, snapshot, FEATURES) == made
    found = health.of_snapshot(logged.tables, TABLE, snapshot)
    assert found is not None
    assert found["feature"].to_pylist() == FEATURES
    assert set(found["as_of"].to_pylist()) == {as_of}
    known = log.latest(logged.tables, logged.tables.head(log.TABLE) or 0)
    assert set(found["known_to"].to_pylist()) == {known.replace(day=known.day - 2)}
    assert found.drop_columns(list(measure.OF_ALL)).equals(
        health.measured(_rows(1).select(FEATURES))
    )
    assert health.of_snapshot(logged.tables, "other", snapshot) is None


def test_the_next_snapshot_is_compared_with_the_one_before(logged: Workspace) -> None:
    """With the newest earlier one on record, and not with another table's."""
    now = datetime(2023, 12, 1, tzinfo=UTC)
    first = _commit(logged, _rows(1), now)
    health.keep(logged, TABLE, first, FEATURES)
    _commit(logged, _rows(2), now)  # nobody measured it
    third = _commit(logged, _rows(3, shift=4), now)
    health.keep(logged, TABLE, third, FEATURES)
    found = health.of_snapshot(logged.tables, TABLE, third)
    assert found is not None
    assert set(found["before"].to_pylist()) == {first}
    assert found["finding"].to_pylist() == [*[health.DRIFTED] * 20, None]
    before = health.of_snapshot(logged.tables, TABLE, first)
    assert before is not None
    assert before["psi"].null_count == len(FEATURES)


def test_an_older_snapshot_is_not_compared_with_a_newer_one(logged: Workspace) -> None:
    """Measured late, it still has nothing before it."""
    now = datetime(2023, 12, 1, tzinfo=UTC)
    first, second = (_commit(logged, _rows(seed), now) for seed in (1, 2))
    health.keep(logged, TABLE, second, FEATURES)
    health.keep(logged, TABLE, first, FEATURES)
    found = health.of_snapshot(logged.tables, TABLE, first)
    assert found is not None
    assert found["before"].null_count == len(FEATURES)


@pytest.mark.drill
def test_forty_million_cells_take_two_seconds() -> None:
    """400,000 rows of 72 counts, 20 reals and 8 texts, with drift; of CPU time, the best of 5."""
    rng = np.random.default_rng(0)
    rows = 400_000
    columns: dict[str, pa.Array] = {
        **{f"c{n}": pa.array(rng.poisson(n % 20 + 0.1, rows)) for n in range(72)},
        **{f"f{n}": pa.array(rng.exponential(100, rows), mask=rng.random(rows) < 0.1)
           for n in range(20)},
        **{f"t{n}": pa.array(np.array(["a", "b", "c"])[rng.integers(0, 3, rows)])
           for n in range(8)},
    }  # fmt: skip
    table, taken = pa.table(columns), []
    before = health.measured(table)
    for _ in range(5):
        begun = time.process_time()
        health.measured(table, before)
        taken.append(time.process_time() - begun)
    assert min(taken) < 2
