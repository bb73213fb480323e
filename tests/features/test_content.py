"""Content: equal rows have it in common, in whatever files and order; other rows have another."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import content, fingerprint

SCHEMA = pa.schema(
    [
        pa.field("entity", pa.string()),
        pa.field("count", pa.int64()),
        pa.field("mean", pa.float64()),
        pa.field("is_new", pa.bool_()),
        pa.field("time", pa.timestamp("us", tz="UTC")),
    ]
)
CELLS = st.fixed_dictionaries(
    {
        "entity": st.none() | st.sampled_from(["", "a", "b", "ab"]),
        "count": st.none() | st.integers(-2, 2),
        "mean": st.none() | st.sampled_from([0.0, 0.5, float("nan"), 1e300]),
        "is_new": st.none() | st.booleans(),
        "time": st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    }
)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(CELLS, max_size=12), seed=st.integers(0, 99), cut=st.integers(0, 12))
def test_neither_order_nor_files_matter(rows: list[dict[str, Any]], seed: int, cut: int) -> None:
    """Rows and columns shuffled, cut in two, texts as dictionaries or large."""
    whole, rng = content.of(_table(rows)), random.Random(seed)
    shuffled = _table(rng.sample(rows, len(rows))).select(rng.sample(SCHEMA.names, len(SCHEMA)))
    assert content.of(shuffled.slice(0, cut)) + content.of(shuffled.slice(cut)) == whole
    place = shuffled.column_names.index("entity")
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        assert (
            content.of(shuffled.set_column(place, "entity", shuffled["entity"].cast(kind))) == whole
        )
    assert whole.digest(SCHEMA) == whole.digest(pa.schema(list(SCHEMA)[::-1]))
    assert content.Content.heard(whole.said()) == whole


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(CELLS, min_size=1, max_size=12), cells=CELLS, place=st.integers(0, 11))
def test_another_cell_is_another_content(
    rows: list[dict[str, Any]], cells: dict[str, Any], place: int
) -> None:
    """As is a row more, or the same row twice."""
    changed = [*rows]
    changed[place % len(rows)] = cells
    is_same = _sorted(rows) == _sorted(changed)
    assert (content.of(_table(rows)) == content.of(_table(changed))) == is_same
    assert content.of(_table(rows)) != content.of(_table([*rows, rows[0]]))


def _sorted(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr([row.get(name) for name in SCHEMA.names]) for row in rows)


def test_equal_rows_do_not_cancel_out() -> None:
    """Two of one kind are not two of another."""
    one, other = ([{"count": n}] * 2 for n in (1, 2))
    assert content.of(_table(one)) != content.of(_table(other))
    assert content.of(_table([])).digest(SCHEMA) != content.of(_table(one)).digest(SCHEMA)


@pytest.mark.parametrize("name", ["entity", "mean"])
def test_a_column_that_is_forgotten_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Mutant: a kind of cell that all count as one."""
    of_cells, kind = fingerprint.of_cells, SCHEMA.field(name).type

    def blind(cells: Any) -> Any:
        plain = pa.nulls(len(cells), kind) if cells.type == SCHEMA.field(name).type else cells
        return of_cells(plain)

    one, other = ([{"entity": word, "mean": real}] for word, real in (("a", 0.5), ("b", 0.25)))
    assert content.of(_table(one).select([name])) != content.of(_table(other).select([name]))
    monkeypatch.setattr(fingerprint, "of_cells", blind)
    monkeypatch.setattr(content, "_hashable", lambda column: column)
    assert content.of(_table(one).select([name])) == content.of(_table(other).select([name]))
