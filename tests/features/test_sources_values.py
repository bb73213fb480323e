"""Cells into moments and whole numbers: every form that is declared, and nothing else; an object or
a list is no cell.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features import contracts
from features.sources import amounts, cells, lot, moments, nested, read
from features.sources.mapping import SourceMapping
from features.sources.phrases import Moment, Number, Order

SPRING, AUTUMN = "2024-03-10 02:30", "2024-11-03 01:30"  # clock changes in Chicago
VISIT: dict[str, Any] = {
    "kind": "touch",
    "name": "web_visit",
    "event_time": {"column": "at"},
    "known_at": {"lag_hours": 1},
    "keys": {"account": "account", "person": "email", "product": "product.name"},
    "number": {"column": "n", "currency": {"column": "money", "accepted": ["USD", ""]}},
    "text": "page",
}
FILE: dict[str, Any] = {
    "file": "*.jsonl",
    "row_key": "id",
    "people": [{"key": "email", "namespace": "e-mail", "fields": {"phone": "phone"}}],
    "optional": ["phone", "n", "money", "page", "email", "account", "at", "product.name"],
    "events": [VISIT],
}
GOOD: dict[str, Any] = {
    "id": "1",
    "at": "2025-01-01",
    "email": "p1",
    "phone": "0",
    "account": "a",
    "product": {"name": "x"},
    "n": 7,
    "money": "USD",
    "page": "/p",
}
NO_VALUE = "is no object or list: field '{}' must be a text, number, boolean or null, got {}"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "{}", "[1]", "ü"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "a", "0"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def _moments(cells: list[str | None], **how: Any) -> list[Any]:
    found = moments.moments(pa.array(cells, pa.string()), Moment(column="c", **how))
    return [None if v is None else v.isoformat()[:-6] for v in found.values.to_pylist()]


def _numbers(cells: list[str | None], **how: Any) -> list[int | None]:
    return amounts.integers(
        pa.array(cells, pa.string()), Number(column="c", **how)
    ).values.to_pylist()


@pytest.mark.parametrize(
    ("cell", "how", "expected"),
    [
        ("2018-02-01", {}, "2018-02-01T00:00:00"),
        ("2018-02-01 10:11:12.123456789", {}, "2018-02-01T10:11:12.123456"),
        ("2018-02-01T10:11:12+0200", {}, "2018-02-01T08:11:12"),
        ("2018-02-30", {}, None),
        ("2018-02-01", {"end_of_day": True}, "2018-02-02T00:00:00"),
        ("2/1/2024", {"format": "%m/%d/%Y", "plus_hours": 24}, "2024-02-02T00:00:00"),
        ("2/30/2024", {"format": "%m/%d/%Y"}, None),
        ("02/29/2023", {"format": "%D"}, None),
        ("3 Mar 2024", {"format": "%d %b %Y"}, "2024-03-03T00:00:00"),
        ("02/23/26 08:55 PM", {"format": "%m/%d/%y %I:%M %p"}, "2026-02-23T20:55:00"),
        ("1517443200", {"format": "epoch_seconds"}, "2018-02-01T00:00:00"),
        ("1517443200123", {"format": ["ISO8601", "epoch_ms"]}, "2018-02-01T00:00:00.123000"),
        ("2024-07-01 12:00", {"zone": "America/Chicago"}, "2024-07-01T17:00:00"),
        ("2024-07-01T12:00Z", {"zone": "America/Chicago"}, "2024-07-01T12:00:00"),
        ("2024-07-01T12:00Z", {"zone": "Asia/Tokyo", "end_of_day": True}, "2024-07-01T15:00:00"),
        (AUTUMN, {"zone": "America/Chicago"}, None),
        (AUTUMN, {"zone": "America/Chicago", "ambiguous": "earliest"}, "2024-11-03T06:30:00"),
        (AUTUMN, {"zone": "America/Chicago", "ambiguous": "latest"}, "2024-11-03T07:30:00"),
        (SPRING, {"zone": "America/Chicago", "ambiguous": "latest"}, None),
        (SPRING, {"zone": "America/Chicago", "nonexistent": "latest"}, "2024-03-10T08:00:00"),
    ],
)
def test_a_time_is_read_as_declared(cell: str, how: dict[str, Any], expected: str | None) -> None:
    """Alone, and beside cells that are absent or broken."""
    assert _moments([cell], **how) == [expected]
    assert _moments([None, cell, "no time", cell], **how) == [None, expected, None, expected]


def test_forms_of_iso_may_be_mixed_in_a_column() -> None:
    """With a zone and without, dates alone, more digits than microseconds."""
    cells: list[str | None] = ["2018-02-01", "2018-02-01T10:00:00.1234567Z", "2018-02-01 10:00+02"]
    assert _moments(cells) == [
        "2018-02-01T00:00:00",
        "2018-02-01T10:00:00.123456",
        "2018-02-01T08:00:00",
    ]


def test_the_hour_of_a_clock_change_is_refused_with_its_reason() -> None:
    """And the reason does not quote the cell."""
    cells = pa.array([SPRING, AUTUMN])
    found = moments.moments(cells, Moment(column="c", zone="America/Chicago"))
    assert found.reasons == {
        0: "exists in America/Chicago: a time in the hour of a clock change",
        1: "comes once in America/Chicago: a time in the hour of a clock change",
    }


def test_strptime_alone_would_make_march_of_30_february(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: without the look at what was carried over, the wrong day passes."""
    monkeypatch.setattr(moments, "_without_overflow", lambda texts, values, form: values)
    assert _moments(["2/30/2024"], format="%m/%d/%Y") == ["2024-03-01T00:00:00"]


@settings(deadline=None, max_examples=30)
@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_every_day_is_a_day(day: date) -> None:
    """The look at what strptime carries over refuses no true date."""
    cells: list[str | None] = [day.strftime("%d.%m.%Y"), day.strftime("%e %B %Y")]
    found = _moments(cells, format=["%d.%m.%Y", "%e %B %Y"])
    assert found == [f"{day.isoformat()}T00:00:00"] * 2


@pytest.mark.parametrize(
    ("cell", "how", "expected"),
    [
        ("10.5", {"times": 100}, 1050),
        ("0.005", {"times": 100}, 0),
        ("1.015", {"times": 100}, 102),
        ("1100.04", {"times": 100_000_000}, 110_004_000_000),
        ("90071992547409.93", {"times": 100}, 9_007_199_254_740_993),
        ("92233720368547758.07", {"times": 100}, 2**63 - 1),
        ("92233720368547758.08", {"times": 100}, None),
        ("1,234.56", {"times": 100, "thousands": ","}, 123_456),
        ("1,2,3", {"thousands": ","}, None),
        ("1.234,56", {"times": 100, "thousands": ".", "decimal": ","}, 123_456),
        ("1.5", {"decimal": ","}, None),
        ("$ 1,234", {"thousands": ",", "marks": "$"}, 1234),
        ("1500", {"times": Decimal("0.001")}, 2),
        ("0x10", {}, None),
        ("nan", {}, None),
        ("inf", {"times": 100}, None),
        ("1e3", {}, 1000),
        ("", {}, None),
    ],
)
def test_a_number_is_read_as_declared(cell: str, how: dict[str, Any], expected: int | None) -> None:
    """Alone, and beside cells that are absent or broken."""
    assert _numbers([cell], **how) == [expected]
    assert _numbers([None, "x", cell, "2"], **how)[:3] == [None, None, expected]


@settings(deadline=None, max_examples=30)
@given(
    st.decimals(-(10**12), 10**12, places=4),
    st.sampled_from(["1", "100", "0.01", "1000000", "60", "0.001"]),
)
def test_scaling_is_exact(value: Decimal, times: str) -> None:
    """As decimal arithmetic has it, halves to even, whichever way was taken."""
    expected = int((value * Decimal(times)).to_integral_value(ROUND_HALF_EVEN))
    assert _numbers([str(value)], times=Decimal(times)) == [expected]


def test_doubles_alone_would_lose_a_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: without decimal arithmetic for what is doubtful, large and half cents go wrong."""
    monkeypatch.setattr(amounts, "DOUBTFUL_FROM", float("inf"))
    monkeypatch.setattr(amounts, "NEAR_HALF", 0.0)
    assert _numbers(["90071992547409.93"], times=100) != [9_007_199_254_740_993]
    assert _numbers(["1.015"], times=100) == [101], "101.5 goes to the even neighbour, 102"


def test_an_order_is_a_nominal_clock() -> None:
    """Start, plus a step for each number after the first; what is no number is named."""
    order = Order(column="c", start="2020-01-01", step_seconds=60, first=100)
    found = moments.by_order(pa.array(["100", "103", "x"]), order)
    expected = [datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 0, 3, tzinfo=UTC), None]
    assert found.values.to_pylist() == expected
    assert list(found.reasons) == [2]


@functools.cache
def _terms() -> dict[str, contracts.Contract]:
    return contracts.load_contracts(CONFIGS / "contracts")


def _source(**how: Any) -> SourceMapping:
    return SourceMapping.model_validate({"source": "test", "files": [{**FILE, **how}]})


def _lot(folder: Path, mapping: SourceMapping, *rows: dict[str, Any]) -> lot.Mapped:
    if rows:
        (folder / "f.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (strip,) = read.strips(mapping, folder, 1 << 30, _terms())
    (found,) = read.lots(mapping, strip, folder, lambda _, keys: keys)
    return found


def _reasons(found: lot.Mapped) -> dict[int, str]:
    """Return the reasons of each row that the contracts refuse, by its number."""
    checked = contracts.check(_terms(), found.events, found.broken)
    assert checked.good.num_rows + checked.bad.num_rows == found.events.num_rows
    return dict(zip(*(checked.bad[c].to_pylist() for c in ("source_row", "reasons")), strict=True))


@pytest.mark.parametrize(
    ("value", "what", "written"),
    [
        ({"a": 1}, "an object", '{"a":1}'),
        ({}, "an object", "{}"),
        ([], "a list", "[]"),
        (["x", {"b": [None, True, "\u00fc\n\ud800"]}], "a list", None),
    ],
)
@pytest.mark.parametrize(
    ("field", "column"),
    [
        *(("id", "row_key"), ("at", "event_time"), ("account", "account"), ("email", "person")),
        *(("phone", "person"), ("product.name", "product"), ("n", "number"), ("money", "number")),
        ("page", "text"),
    ],
)
@pytest.mark.parametrize("others", [0, 3])
def test_an_object_or_a_list_is_no_value(
    tmp_path: Path, field: str, column: str, value: Any, what: str, written: str | None, others: int
) -> None:
    """Wherever the mapping wants one: the row is refused with its reason, its cells are kept, and
    the rows beside it are events, also those whose field is null or missing.
    """
    name, _, inner = field.partition(".")
    bad = {**GOOD, name: {inner: value} if inner else value}
    absent = {key: cell for key, cell in GOOD.items() if key != name}
    null = {**GOOD, name: {inner: None} if inner else None}
    beside = [GOOD, GOOD] if field in ("id", "at") else [absent, null]
    found = _lot(tmp_path, _source(), *[GOOD] * others, bad, *beside)
    reasons = _reasons(found)
    assert list(reasons) == [others + 1]
    assert f"{column} {NO_VALUE.format(field, what)}" in reasons[others + 1]
    assert f"{column} is required" not in reasons[others + 1]
    kept = found.raw[field][others].as_py()
    assert kept == written or json.loads(kept) == value
    assert found.raw[field + nested.NESTED].to_pylist() == [*[None] * others, what, None, None]
    assert found.unreadable == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries({"x": VALUES, "y": VALUES}), min_size=1, max_size=4))
def test_no_object_or_list_becomes_null(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]
) -> None:
    """Oracle: the values themselves; whether Arrow reads the block or each line is read alone."""
    event = {**VISIT, "number": None, "text": "y", "keys": {"account": "x.name", "product": "x.0"}}
    mapping = _source(people=[], optional=["x", "y", "x.name", "x.0"], events=[event])
    folder = tmp_path_factory.mktemp("values")
    rows = [{"id": str(n), "at": "2025-01-01", **row} for n, row in enumerate(found)]
    whole = _lot(folder, mapping, *rows)
    broken = {(b.column, row) for b in whole.broken for row in b.rows.tolist()}
    for row, value in enumerate(found):
        x = value["x"] if isinstance(value["x"], dict) else {}
        place = value["x"][0] if isinstance(value["x"], list) and value["x"] else x.get("0")
        for column, cell in (("account", x.get("name")), ("product", place), ("text", value["y"])):
            got = whole.events[column][row].as_py()
            assert ((column, row) in broken) == isinstance(cell, dict | list)
            text = json.dumps(cell) if isinstance(cell, bool | int) else cell
            assert got == (None if isinstance(cell, dict | list) else text or None)


def test_a_condition_on_an_object_is_in_doubt(tmp_path: Path) -> None:
    """The row is refused, unless another condition says that the event is not there."""
    where = {"page": ["/p"], "n": {"at_least": 5}}
    lines = [{**GOOD, "page": {"url": "/p"}, "n": n} for n in (7, 1)]
    found = _lot(tmp_path, _source(events=[{**VISIT, "text": None, "where": where}]), *lines)
    assert _reasons(found) == {1: f"kind {NO_VALUE.format('page', 'an object')}"}
    assert found.events.num_rows == 1


def test_words_for_no_value_may_be_lists(tmp_path: Path) -> None:
    """Some programs write an empty list for what is absent: a mapping can say so."""
    found = _lot(tmp_path, _source(empty=["[]"]), {**GOOD, "page": []}, {**GOOD, "page": [1]})
    assert list(_reasons(found)) == [2]
    assert found.events["text"].to_pylist() == [None, None]


def test_only_the_item_with_an_object_is_refused(tmp_path: Path) -> None:
    """The other items of its list are rows as ever."""
    steps = [{"to": "a"}, {"to": {"b": 1.50}}, {"to": None}]
    mapping = _source(each="steps", events=[{**VISIT, "text": "steps.to"}])
    for rows in ([{**GOOD, "steps": steps}], [GOOD, {**GOOD, "steps": steps, "n": "7"}]):
        found = _lot(tmp_path, mapping, *rows)
        assert found.events["text"].to_pylist() == ["a", None, None]
        assert [b.rows.tolist() for b in found.broken] == [[1]]


def test_a_value_is_kept_as_it_was_written(tmp_path: Path) -> None:
    """Digits and depth; a text that looks like an object is a text."""
    lines = ['{"id":"1","page":{"n":1.50,"m":12345678901234567890.10}}', '{"id":"2","page":"{}"}']
    deep = '{"id":"3","page":' + "[" * 1300 + "]" * 1300 + "}"
    (tmp_path / "f.jsonl").write_text("\n".join([*lines, deep, ""]))
    found = _lot(tmp_path, _source(events=[{**VISIT, "event_time": {"fixed": "2025-01-01"}}]))
    raw = ['{"n":1.50,"m":12345678901234567890.10}', "{}", "[" * 1300 + "]" * 1300]
    assert found.raw["page"].to_pylist() == raw
    assert found.events["text"].to_pylist() == [None, "{}", None]
    assert found.unreadable == []


def test_nested_columns_of_parquet_are_refused(tmp_path: Path) -> None:
    """Structs, maps and lists; where they are null there is no value."""
    pairs = pa.map_(pa.string(), pa.date32())
    columns = {
        "id": ["1", "2", "3"],
        "at": ["2025-01-01"] * 3,
        "account": ["a", "b", "c"],
        "page": pa.array([{"u": b"/p", "d": Decimal("1.50")}, None, None]),
        "email": pa.array([None, [("day", date(2025, 1, 2))], None], pairs),
        "phone": pa.array([None, None, [1, 2]], pa.list_(pa.int8(), 2)),
        "n": pa.array([1, 2, 3]),
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    found = _lot(tmp_path, _source(file="f.parquet"))
    assert _reasons(found) == {
        1: f"text {NO_VALUE.format('page', 'an object')}",
        2: f"person {NO_VALUE.format('email', 'an object')}",
        3: f"person {NO_VALUE.format('phone', 'a list')}",
    }
    kept = [found.raw[name][row].as_py() for row, name in enumerate(("page", "email", "phone"))]
    assert kept == ['{"u":"b\'/p\'","d":"1.50"}', '{"day":"2025-01-02"}', "[1,2]"]


def test_nested_values_of_a_database_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As drivers give them for columns of JSON."""
    sqlite3.register_converter("json", json.loads)
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.execute("create table visits (id text, at text, account text, page json)")
        lines = [("1", '{"u": 1}'), ("2", None)]
        database.executemany("insert into visits values (?, '2025-01-01', 'a', ?)", lines)
    types = sqlite3.PARSE_DECLTYPES
    monkeypatch.setenv("CRM_URL", f"sqlite:///{tmp_path / 'crm.db'}?detect_types={types}")
    query = {"url_env": "CRM_URL", "statement": "select * from visits order by id"}
    found = _lot(tmp_path, _source(file="", query=query))
    assert _reasons(found) == {1: f"text {NO_VALUE.format('page', 'an object')}"}
    assert found.raw["page"].to_pylist() == ['{"u":1}', None]


def test_a_lookup_holds_no_objects(tmp_path: Path) -> None:
    """It has no rows that could be refused; and a key that is an object finds nothing."""
    (tmp_path / "names.ndjson").write_text('{"key": "a", "text": "first"}\n')
    lookup = {"file": "names.ndjson", "key": "key", "column": "account", "take": {"page": "text"}}
    mapping = _source(lookups=[lookup])
    lines = [{**GOOD, "page": None}, {**GOOD, "account": ["a"]}]
    for line in lines:
        del line["page"]
    found = _lot(tmp_path, mapping, *lines)
    assert found.events["text"].to_pylist() == ["first", None]
    assert f"text {NO_VALUE.format('account', 'a list')}" in _reasons(found)[2]
    (tmp_path / "names.ndjson").write_text('{"key": "a", "text": {"en": "first"}}\n')
    with pytest.raises(WrongUse, match=r"got an object in field 'text' of 'names.ndjson'"):
        _lot(tmp_path, mapping)


def _repaired(found: lot.Mapped, folder: Path, **cells: str) -> lot.Mapped:
    """Hand the first row back, some of its cells corrected."""
    row = {**found.raw.to_pylist()[0], **cells, "source_row": "1"}
    table = pa.table({name: pa.array([cell], pa.string()) for name, cell in row.items()})
    return read.repaired(_source(), 0, table, folder, lambda _, keys: keys)


def test_a_repair_that_leaves_the_object_is_refused_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Corrected it is an event. Mutant: were it not said what the cell is, its JSON would pass."""
    found = _lot(tmp_path, _source(), {**GOOD, "page": {"url": "/p"}})
    assert _reasons(_repaired(found, tmp_path)) == _reasons(found)
    right = _repaired(found, tmp_path, page="/p")
    assert (_reasons(right), right.events["text"].to_pylist()) == ({}, ["/p"])
    monkeypatch.setattr(nested, "marked", lambda table: [])
    assert _reasons(_repaired(found, tmp_path)) == {}


def test_without_the_reasons_objects_would_be_null(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: what the cells find is not told."""
    lines = [{**GOOD, "page": {"url": "/p"}}, {**GOOD, "page": ["/p"]}]
    monkeypatch.setattr(cells.Cells, "broken", lambda *_: {})
    found = _lot(tmp_path, _source(), *lines)
    assert (_reasons(found), found.events["text"].to_pylist()) == ({}, [None, None])
