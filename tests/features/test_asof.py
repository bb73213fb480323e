"""The point-in-time join against a brute-force reading of its definition."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import asof, log

START = 1_700_000_000_000_000  # microseconds, 2023-11-14
ASCENDING = [None, -float("inf"), -1.5, -0.0, 0.0, 1.5, float("inf"), float("nan")]
TEXTS = [None, "", "b", "bb"]
VALUES = {"amount": pa.int64(), "share": pa.float64(), "stage": pa.string()}
SPINE = pa.schema([("place", pa.int64()), ("entity", pa.string()), ("time", log.MICROSECONDS)])
FEATURES = pa.schema(
    [
        ("stage", pa.string()),
        ("entity", pa.string()),
        ("known_at", log.MICROSECONDS),
        ("event_time", log.MICROSECONDS),
        ("share", pa.float64()),
        ("amount", pa.int64()),
    ]
)

type Row = dict[str, Any]

ENTITIES = st.sampled_from(["a", "b", "c", None])
MOMENTS = st.one_of(st.integers(0, 6), st.none())
ASKED = st.lists(st.fixed_dictionaries({"entity": ENTITIES, "time": MOMENTS}), max_size=12)
OFFERED = st.lists(
    st.fixed_dictionaries(
        {
            "entity": ENTITIES,
            "event_time": MOMENTS,
            "known_at": MOMENTS,
            "amount": st.sampled_from([None, -1, 1]),
            "share": st.sampled_from(ASCENDING),
            "stage": st.sampled_from(TEXTS),
        }
    ),
    max_size=25,
)


def _table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Return rows as a table; times are small whole numbers of microseconds after the start."""

    def cells(field: pa.Field) -> pa.Array:
        values = [row.get(field.name) for row in rows]
        if field.type != log.MICROSECONDS:
            return pa.array(values, field.type)
        moments = [None if value is None else START + value for value in values]
        return pa.array(moments, pa.int64()).cast(field.type)

    return pa.table([cells(field) for field in schema], schema=schema)


def _spine(rows: list[Row]) -> pa.Table:
    return _table([{"place": place, **row} for place, row in enumerate(rows)], SPINE)


def _expected(asked: Row, rows: list[Row], max_age: int | None) -> Row:
    """One row's values, straight from the definition."""
    seen = [row for row in rows if _may_be_seen(row, asked, max_age)]
    return max(seen, key=_order, default=dict.fromkeys(VALUES))


def _may_be_seen(row: Row, asked: Row, max_age: int | None) -> bool:
    needed = (row["entity"], row["event_time"], row["known_at"], asked["entity"], asked["time"])
    if None in needed or row["entity"] != asked["entity"]:
        return False
    is_young = max_age is None or row["event_time"] >= asked["time"] - max_age
    return bool(row["event_time"] < asked["time"] and row["known_at"] <= asked["time"] and is_young)


def _order(row: Row) -> tuple[object, ...]:
    amount = (row["amount"] is not None, row["amount"] or 0)
    share = [repr(value) for value in ASCENDING].index(repr(row["share"]))
    return (row["event_time"], row["known_at"], amount, share, TEXTS.index(row["stage"]))


def _wrong(asked: list[Row], rows: list[Row], max_age: int | None = None) -> list[str]:
    """Return what the join says otherwise than the definition, by text: nan and -0.0 count."""
    age = None if max_age is None else timedelta(microseconds=max_age)
    got = asof.join(_spine(asked), _table(rows, FEATURES), list(VALUES), max_age=age)
    assert got.column_names == [*SPINE.names, *VALUES]
    assert got.select(SPINE.names).equals(_spine(asked))
    pairs = zip(got.select(list(VALUES)).to_pylist(), asked, strict=True)
    told = [(row, {n: _expected(ask, rows, max_age)[n] for n in VALUES}) for row, ask in pairs]
    return [f"{row} != {want}" for row, want in told if repr(row) != repr(want)]


@given(ASKED, OFFERED, st.one_of(st.none(), st.integers(1, 7)))
@settings(max_examples=40, deadline=None)
def test_every_row_meets_what_the_definition_says(
    asked: list[Row], rows: list[Row], max_age: int | None
) -> None:
    """Late, corrected, simultaneous, equal and absent; any of the tables may be empty."""
    assert _wrong(asked, rows, max_age) == []


@given(ASKED, OFFERED, st.integers(0, 3), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_neither_order_nor_layout_matters(
    asked: list[Row], rows: list[Row], cut: int, rng: random.Random
) -> None:
    """Shuffled rows, chunks with dictionaries of their own and other string types: the same."""
    plain = asof.join(_spine(asked), _table(rows, FEATURES), list(VALUES))
    shuffled = rng.sample(rows, len(rows))
    parts = [_encoded([LATE, *shuffled[:cut]]).slice(1), _encoded(shuffled[cut:])]
    features = pa.concat_tables([_encoded([]), *parts])
    order = rng.sample(range(len(asked)), len(asked))
    got = asof.join(
        _encoded_spine(_spine(asked).take(pa.array(order, pa.int64()))), features, list(VALUES)
    )
    assert got.schema.field("stage").type == features.schema.field("stage").type
    assert repr(got.cast(plain.schema).sort_by("place").to_pylist()) == repr(plain.to_pylist())


def _encoded(rows: list[Row]) -> pa.Table:
    table = _table(rows, FEATURES)
    for name in ("entity", "stage"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pc.dictionary_encode(table[name]))
    return table


def _encoded_spine(spine: pa.Table) -> pa.Table:
    return spine.set_column(1, "entity", spine["entity"].cast(pa.large_string()))


LATE: Row = {"entity": "a", "event_time": 1, "known_at": 4, "amount": 1}
PROMPT: Row = {"entity": "a", "event_time": 0, "known_at": 0, "amount": 2}
CORRECTED: Row = {"entity": "a", "event_time": 0, "known_at": 2, "amount": 3}
EVERY: list[Row] = [{"entity": "a", "time": time} for time in range(7)]


@pytest.mark.parametrize(
    ("rows", "amounts"),
    [
        pytest.param([PROMPT], [None, 2, 2, 2, 2, 2, 2], id="an event at T is not before T"),
        pytest.param([LATE, PROMPT], [None, 2, 2, 2, 1, 1, 1], id="late"),
        pytest.param([PROMPT, CORRECTED], [None, 2, 3, 3, 3, 3, 3], id="corrected"),
        pytest.param([LATE, PROMPT, CORRECTED], [None, 2, 3, 3, 1, 1, 1], id="late, corrected"),
        pytest.param([], [None] * 7, id="no features"),
    ],
)
def test_rows_count_from_when_they_are_known(rows: list[Row], amounts: list[int | None]) -> None:
    """Seven moments, and what is known at each."""
    got = asof.join(_spine(EVERY), _table(rows, FEATURES), ["amount"])
    assert got["amount"].to_pylist() == amounts


def test_a_row_older_than_the_limit_is_not_joined() -> None:
    """The limit itself still counts."""
    limit = timedelta(microseconds=2)
    got = asof.join(_spine(EVERY), _table([PROMPT], FEATURES), ["amount"], max_age=limit)
    assert got["amount"].to_pylist() == [None, 2, 2, None, None, None, None]


def test_times_as_far_apart_as_they_can_be_are_compared_exactly() -> None:
    """The difference of the first and the last moment of an int64 does not fit into one."""
    first, last = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    moments = {n: pa.array([first]).cast(log.MICROSECONDS) for n in ("event_time", "known_at")}
    features = pa.table({"entity": ["a"], **moments, "amount": [1]})
    times = pa.array([last, first, first + 1]).cast(log.MICROSECONDS)
    spine = pa.table({"entity": ["a"] * 3, "time": times})
    old = asof.join(spine, features, ["amount"], max_age=timedelta(days=200_000_000))
    assert old["amount"].to_pylist() == [None, None, 1]
    for limit in (None, timedelta.max):
        met = asof.join(spine, features, ["amount"], max_age=limit)
        assert met["amount"].to_pylist() == [1, None, 1]
    assert asof.join(spine, _at(features, last), ["amount"])["amount"].null_count == 3


def _at(features: pa.Table, moment: int) -> pa.Table:
    return features.set_column(1, "event_time", pa.array([moment]).cast(log.MICROSECONDS))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1], [2], None]),
        pa.array([{"x": 1}, {"x": 2}, None]),
        pa.array(["a", "b", None], pa.string_view()),
        pa.array([b"a", b"b", None], pa.binary_view()),
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array([1.0, 2.0, None], pa.float16()),
        pa.array([False, True, None]),
        pa.nulls(3),
    ],
    ids=lambda values: str(values.type).partition("<")[0],
)
def test_values_may_be_of_any_type(values: pa.Array) -> None:
    """Of three rows alike in both times the second is the greatest, whatever their order."""
    moments = {n: pa.array([START] * 3).cast(log.MICROSECONDS) for n in ("event_time", "known_at")}
    features = pa.table({"entity": ["a"] * 3, **moments, "value": values})
    spine = _spine([{"entity": "a", "time": 1}, {"entity": "b", "time": 1}])
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        shuffled = pa.concat_tables([features.slice(i, 1) for i in order])
        value = asof.join(spine, shuffled, ["value"])["value"]
        assert value.type == values.type
        assert value.to_pylist() == [values[1].as_py(), None]


ROWS: list[Row] = [
    {**row, "share": share, "stage": "b"}
    for row in (LATE, PROMPT, CORRECTED)
    for share in (0.0, -0.0)
] + [{"entity": "b", "event_time": None, "known_at": 0, "amount": 1, "share": 1.5, "stage": "b"}]
MUTANTS: dict[str, tuple[str, Callable[[Any], Callable[..., Any]]]] = {
    "an event at T is before T": (
        "_find",
        lambda find: lambda codes, event, *rest: find(codes, event - 1, *rest),
    ),
    "known from the start": (
        "_find",
        lambda find: lambda codes, event, known, *rest: find(codes, event, event, *rest),
    ),
    "corrections do not replace": (
        "_carry",
        lambda carry: lambda event, known, *rest: carry(event, known * 0, *rest),
    ),
    "ties go by position": ("_settle", lambda settle: lambda *rest: None),
    "floats by value alone": (
        "_ordered_bits",
        lambda bits: lambda column: pc.add(column.combine_chunks(), 0.0),
    ),
    "no limit of age": ("_limit", lambda limit: lambda max_age: limit(None)),
    "absent times are times": (
        "_times",
        lambda times: lambda column, codes: times(column, codes + 0),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_comparison_notices_a_broken_rule(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each rule of the join, switched off."""
    asked = [*EVERY, *({"entity": "b", "time": time} for time in (1, None))]
    orders = (ROWS, ROWS[::-1])
    assert not any(_wrong(asked, rows, age) for rows in orders for age in (None, 2))
    part, broken = MUTANTS[name]
    monkeypatch.setattr(asof, part, broken(getattr(asof, part)))
    assert any(_wrong(asked, rows, age) for rows in orders for age in (None, 2))


def test_a_skewed_table_is_joined_by_many_threads() -> None:
    """One entity has half of all rows; oracle: the same rows, one entity at a time."""
    rng = np.random.default_rng(5)
    features, spine = _many(rng, 20_000, "event_time", "known_at"), _many(rng, 3_000, "time")
    got = asof.join(spine, features, ["amount"])
    for entity in ("e0", "e1", "e99"):
        wanted = pc.equal(spine["entity"], entity)
        alone = asof.join(
            spine.filter(wanted), features.filter(pc.equal(features["entity"], entity)), ["amount"]
        )
        assert got.filter(wanted).equals(alone)


def _many(rng: np.random.Generator, rows: int, *times: str) -> pa.Table:
    entity = np.where(rng.random(rows) < 0.5, 0, rng.integers(0, 100, rows))
    moments = {
        name: pa.array(START + rng.integers(0, rows, rows)).cast(log.MICROSECONDS) for name in times
    }
    values = {"amount": rng.integers(0, rows, rows)} if len(times) > 1 else {}
    return pa.table({"entity": [f"e{k}" for k in entity], **moments, **values})


@pytest.mark.parametrize(
    ("columns", "max_age", "words"),
    [
        (["stag"], None, "features must have one column 'stag'"),
        (["place"], None, "features must have one column 'place'"),
        (["entity"], None, "new to the spine and named once, got entity"),
        (["stage", "stage"], None, "new to the spine and named once, got stage"),
        (["stage"], timedelta(0), "max_age must be positive, got 0:00:00"),
    ],
)
def test_wrong_questions_are_refused(
    columns: list[str], max_age: timedelta | None, words: str
) -> None:
    """With the rule and the value."""
    with pytest.raises(ValueError, match=words):
        asof.join(_spine(EVERY), _table([], FEATURES), columns, max_age=max_age)


@pytest.mark.parametrize("name", ["entity", "time"])
def test_tables_of_other_types_are_refused(name: str) -> None:
    """Local times and numbered entities are named."""
    spine = _spine(EVERY)
    place = spine.column_names.index(name)
    for wrong in (pa.int64(), pa.timestamp("us")):
        cells = pa.nulls(spine.num_rows, wrong)
        with pytest.raises(
            ValueError, match=f"'{name}' of spine must be .*{re.escape(str(wrong))}"
        ):
            asof.join(spine.set_column(place, name, cells), _table([], FEATURES), ["stage"])
    with pytest.raises(ValueError, match=f"spine must have one column '{name}', got place"):
        asof.join(spine.drop_columns([name]), _table([], FEATURES), ["stage"])
