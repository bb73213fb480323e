"""Lines and cells that are refused with their reason, where they could be lost without a word."""

from __future__ import annotations

import functools
import json
import sqlite3
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
from features.sources import cells, lot, nested, objects, queries, read, records
from features.sources.mapping import SourceMapping

VISIT: dict[str, Any] = {
    "kind": "touch",
    "name": "web_visit",
    "event_time": {"fixed": "2025-01-01"},
    "known_at": {"lag_hours": 1},
    "keys": {"account": "account"},
    "text": "page",
}
FILE: dict[str, Any] = {"file": "f.jsonl", "row_key": "id", "optional": ["page", "n"]}
GOOD = '{"id": "1", "account": "a", "page": "/p", "n": 1}'
STEPS: dict[str, Any] = {"each": "deal.steps", "events": [{**VISIT, "text": "deal.steps.to"}]}
NO_LIST = "the list 'deal.steps' must be a list, got"
NO_VALUE = "is no object or list: field 'page' must be a text, number, boolean or null, got"
UNLISTED = "is on the list of its mapping: a value of 1 letters like '9'"


@functools.cache
def _terms() -> dict[str, contracts.Contract]:
    return contracts.load_contracts(CONFIGS / "contracts")


def _source(**how: Any) -> SourceMapping:
    whole = {**FILE, "events": [VISIT], **how}
    return SourceMapping.model_validate({"source": "test", "files": [whole]})


def _lot(folder: Path, mapping: SourceMapping, *lines: str) -> lot.Mapped:
    if lines:
        (folder / "f.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (strip,) = read.strips(mapping, folder, 1 << 30, _terms())
    (found,) = read.lots(mapping, strip, folder, lambda _, keys: keys)
    return found


def _reasons(found: lot.Mapped) -> dict[int, str]:
    """Return why rows are refused, by their number: unreadable lines, and cells that are broken."""
    checked = contracts.check(_terms(), found.events, found.broken)
    assert checked.good.num_rows + checked.bad.num_rows == found.events.num_rows
    said = zip(*(checked.bad[c].to_pylist() for c in ("source_row", "reasons")), strict=True)
    return {line.source_row: line.reason for line in found.unreadable} | dict(said)


def _good(found: lot.Mapped) -> list[int]:
    """Return the numbers of the rows that are events."""
    checked = contracts.check(_terms(), found.events, found.broken)
    return checked.good["source_row"].to_pylist()  # type: ignore[no-any-return]


def _half(where: str) -> str:
    return f"field '{where}' must hold whole letters, got half of a surrogate pair"


@pytest.mark.parametrize("half", [r"\ud800", r"x\udc00", r"\\\ude00\ud83d", r"\\ud83d\ude00"])
@pytest.mark.parametrize("first", [True, False])
def test_half_a_letter_makes_a_line_unreadable(tmp_path: Path, half: str, first: bool) -> None:
    """Its bytes are kept, and the lines beside it are events, those with whole pairs too."""
    pair = GOOD.replace("/p", r"\ud83d\ude00 \\ud800")
    bad = GOOD.replace("/p", half)
    found = _lot(tmp_path, _source(), *([bad, pair] if first else [pair, bad]))
    assert _reasons(found) == {2 - first: _half("page")}
    assert [line.raw.decode() for line in found.unreadable] == [bad]
    assert found.events["text"].to_pylist() == ["\N{GRINNING FACE} \\ud800"]


def test_half_a_letter_that_no_event_wants_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a field or a name that the mapping does not read; nor in what is said of the file. Mutant:
    were such names known, they would be said.
    """
    lines = [GOOD.replace('"n": 1', r'"x\ud800": "\ud800"'), r'{"pages\ud800": 1}']
    found = _lot(tmp_path, _source(), lines[0])
    assert (_reasons(found), _good(found)) == ({}, [1])
    mapping = _source(events=[{**VISIT, "text": "pages"}])
    with pytest.raises(WrongUse, match="no column 'pages': did you mean 'page'"):
        _lot(tmp_path, mapping, *lines)
    monkeypatch.setattr(nested, "is_halved", lambda text: False)
    with pytest.raises(WrongUse, match="did you mean 'pages\ud800'"):
        _lot(tmp_path, mapping, *lines)


def test_half_a_letter_of_an_item_or_below_a_name(tmp_path: Path) -> None:
    """The whole line is unreadable; an object with such names is an object."""
    items = r'{"id": "1", "account": "a", "deal": {"steps": [{"to": "x"}, {"to": "\udfff"}]}}'
    assert _reasons(_lot(tmp_path, _source(**STEPS), items)) == {1: _half("deal.steps.to")}
    below = GOOD.replace('"/p"', r'{"\ud800": 1}')
    assert _reasons(_lot(tmp_path, _source(), below)) == {1: f"text {NO_VALUE} an object"}


def test_without_the_look_for_halves_they_stop_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: what cannot be written stops the ingestion."""
    monkeypatch.setattr(objects, "halved", lambda *_: {})
    with pytest.raises(UnicodeEncodeError):
        _lot(tmp_path, _source(), GOOD, GOOD.replace("/p", r"\ud800"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("field", ["n", "page", "more"])
@pytest.mark.parametrize("others", [[GOOD], [GOOD.replace(": 1}", ': "x"}')]])
def test_what_is_no_number_makes_a_line_unreadable(
    tmp_path: Path, field: str, number: str, others: list[str]
) -> None:
    """Whether the mapping reads it or not, whether Arrow would read the block or not."""
    bad = json.dumps({**json.loads(GOOD), field: 0}).replace(": 0", f": {number}")
    event = {**VISIT, "number": {"column": "n"}}
    found = _lot(tmp_path, _source(events=[event]), GOOD, bad, *others)
    assert _reasons(found)[2] == f"a line must be one JSON object, got {number}: JSON has none"
    assert [line.raw.decode() for line in found.unreadable] == [bad]
    assert 1 in _good(found)


@pytest.mark.parametrize("word", ["Inf", "-Inf", "nan"])
def test_words_that_only_arrow_takes_for_numbers_are_none(tmp_path: Path, word: str) -> None:
    """However far they stand from the comma."""
    bad = GOOD.replace(": 1}", f':{word}\t,"m": [ {word} ]}}')
    assert _reasons(_lot(tmp_path, _source(), GOOD, bad)) == {2: records.NO_OBJECT}


def test_texts_that_look_like_no_number_are_texts(tmp_path: Path) -> None:
    """Quoted, and inside of others."""
    texts = ["NaN", "Infinity", "a, NaN, b", "[Inf]", "x:NaN}"]
    found = _lot(tmp_path, _source(), *(GOOD.replace("/p", text) for text in texts))
    assert (_reasons(found), found.events["text"].to_pylist()) == ({}, texts)


def test_without_either_look_no_number_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutants: Arrow takes it for a number or leaves it out; the careful reading makes it null."""
    lines = [GOOD.replace("1}", "1.5}"), GOOD.replace("1}", "NaN}")]
    mapping = _source(events=[{**VISIT, "text": "n"}])
    assert 2 in _reasons(_lot(tmp_path, mapping, *lines))
    with monkeypatch.context() as patch:
        patch.setattr(records, "_is_lax", lambda block: False)
        found = _lot(tmp_path, mapping, *lines)
        assert (_reasons(found), found.events["text"].to_pylist()) == ({}, ["1.5", "nan"])
    lenient = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=lambda word: None)
    monkeypatch.setattr(records, "_decoder", lambda number: lenient)
    found = _lot(tmp_path, mapping, *lines)
    assert (_reasons(found), found.events["text"].to_pylist()) == ({}, ["1.5", None])


def _deal(number: int, deal: Any) -> str:
    return json.dumps({"id": str(number), "account": "a", "deal": deal})


NO_LISTS = [
    ({"steps": "x"}, "a text"),
    ({"steps": ""}, "a text"),
    ({"steps": 7}, "a number"),
    ({"steps": 7.5}, "a number"),
    ({"steps": False}, "a boolean"),
    ({"steps": {"to": "x"}}, "an object"),
    ({"steps": {}}, "an object"),
    ("x", "a text in 'deal'"),
    (7, "a number in 'deal'"),
    ([{"steps": []}], "a list in 'deal'"),
]


@pytest.mark.parametrize(("deal", "what"), NO_LISTS)
@pytest.mark.parametrize("others", ["none", "lists", "nothing"])
def test_what_should_be_a_list_and_is_none_is_refused(
    tmp_path: Path, deal: Any, what: str, others: str
) -> None:
    """Whatever else the file has there; null and missing mean no items."""
    beside: dict[str, list[Any]] = {
        "none": [deal],
        "lists": [{"steps": [{"to": "x"}, {"to": "y"}]}],
        "nothing": [{"steps": None}, None, {}, {"steps": []}],
    }
    deals = [*beside[others], deal]
    how = {**STEPS, "optional": ["deal", "deal.steps", "deal.steps.to"]}
    found = _lot(tmp_path, _source(**how), *(_deal(n, d) for n, d in enumerate(deals)))
    wrong = range(1, len(deals) + 1) if others == "none" else [len(deals)]
    assert _reasons(found) == dict.fromkeys(wrong, f"{NO_LIST} {what}")
    assert found.unreadable[-1].raw.decode() == _deal(len(deals) - 1, deal)
    items = {"none": [], "lists": ["x", "y"], "nothing": []}
    assert found.events["text"].to_pylist() == items[others]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["steps", "to"]), inner)
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=20)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_every_line_leaves_its_items_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, deals: list[Any]
) -> None:
    """Oracle: the values themselves; whether Arrow reads the block or each line is read alone."""
    how = {**STEPS, "optional": ["deal", "deal.steps", "deal.steps.to"]}
    folder = tmp_path_factory.mktemp("deals")
    found = _lot(folder, _source(**how), *(_deal(n, deal) for n, deal in enumerate(deals)))
    steps = [deal.get("steps") if isinstance(deal, dict) else deal for deal in deals]
    is_list = [isinstance(deal, dict) and isinstance(deal.get("steps"), list) for deal in deals]
    rows = [number for number, here in enumerate(is_list) if here for _ in steps[number]]
    assert found.events["source_row"].to_pylist() == [row + 1 for row in rows]
    wrong = [n for n, here in enumerate(is_list) if not here and steps[n] is not None]
    assert [line.source_row for line in found.unreadable] == [row + 1 for row in wrong]


def test_without_the_look_at_the_list_rows_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: whether the first lines tell Arrow of a text or it refuses their block."""
    monkeypatch.setattr(objects, "no_list", lambda value, each: None)
    for steps in ("x", [{"to": "y"}]):
        deals = [{"steps": steps}, {"steps": "x"}]
        how = {**STEPS, "optional": ["deal.steps.to"]}
        found = _lot(tmp_path, _source(**how), *(_deal(n, deal) for n, deal in enumerate(deals)))
        assert _reasons(found) == {}
        assert 2 not in _good(found)


def test_a_list_of_parquet_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before a row is read; of any length or of one. Mutant: without that, none is there"""
    how = {"file": "f.parquet", "each": "steps", "optional": ["steps.to"]}
    mapping = _source(**how, events=[{**VISIT, "text": "steps"}])
    plain = {"id": ["1", "2"], "account": ["a", "b"]}
    pairs = pa.array([["x", "y"], None], pa.list_(pa.string(), 2))
    for steps, rows in ((pairs, [1, 1]), (pa.nulls(2), [])):
        pq.write_table(pa.table({**plain, "steps": steps}), tmp_path / "f.parquet")
        assert _good(_lot(tmp_path, mapping)) == rows
    pq.write_table(pa.table({**plain, "steps": ["x", "y"]}), tmp_path / "f.parquet")
    with pytest.raises(WrongUse, match="'each' must name a list, got string in column 'steps'"):
        _lot(tmp_path, mapping)
    monkeypatch.setattr(nested, "_require_list", lambda *_: None)
    assert _good(_lot(tmp_path, mapping)) == []


def _crm(folder: Path, monkeypatch: pytest.MonkeyPatch, *pages: Any) -> SourceMapping:
    """Put pages into a column without a type, of which a driver makes what their JSON says."""
    sqlite3.register_converter("json", json.loads)
    with sqlite3.connect(folder / "crm.db") as database:
        database.execute("create table visits (id integer, page json)")
        rows = [(n, json.dumps(page)) for n, page in enumerate(pages)]
        database.executemany("insert into visits values (?, ?)", rows)
    database.close()
    url = f"sqlite:///{folder / 'crm.db'}?detect_types={sqlite3.PARSE_DECLTYPES}"
    monkeypatch.setenv("CRM_URL", url)
    statement = "select id, 'a' as account, page from visits order by id"
    return _source(file="", query={"url_env": "CRM_URL", "statement": statement})


def test_nested_values_among_others_of_a_database_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their JSON in the cell; the values beside them are what they are alone."""
    pages = ["/p", {"u": 1, "w": "\u00fc"}, None, [1, {"a": []}], 7, {"\ud800": "\ud800"}]
    found = _lot(tmp_path, _crm(tmp_path, monkeypatch, *pages))
    written = ["/p", '{"u":1,"w":"ü"}', None, '[1,{"a":[]}]', "7", r'{"\ud800":"\ud800"}']
    assert found.raw["page"].to_pylist() == written
    what = [None, "an object", None, "a list", None, "an object"]
    assert found.raw["page (nested)"].to_pylist() == what
    wrong = {n: f"text {NO_VALUE} {said}" for n, said in enumerate(what, start=1) if said}
    assert _reasons(found) == wrong
    assert found.events["text"].to_pylist() == ["/p", None, None, None, "7", None]


def test_an_object_of_a_database_is_written_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the names of those beside it, nor with fewer digits."""
    found = _lot(tmp_path, _crm(tmp_path, monkeypatch, {"u": 1}, {"w": None}, {"u": 10**30}))
    written = ['{"u":1}', '{"w":null}', f'{{"u":1{"0" * 30}}}']
    assert found.raw["page"].to_pylist() == written


@pytest.mark.parametrize(
    ("cells", "written"),
    [
        ([{"b", "a"}, None], ['["a","b"]', None]),
        ([(1, "x"), "y"], ['[1,"x"]', "y"]),
        ([[1], [2]], ["[1]", "[2]"]),
        ([1, "y"], ["1", "y"]),
        ([2**70], [str(2**70)]),
    ],
)
def test_what_drivers_give_for_several_values_is_a_list(
    cells: list[Any], written: list[str | None]
) -> None:
    """Sets and tuples too; what is one value has nothing said of it."""
    said = ["a list" if isinstance(cell, set | tuple | list) else None for cell in cells]
    columns = {name: array.to_pylist() for name, array in queries._arrays("page", cells)}
    assert columns == {"page": written} | ({"page (nested)": said} if any(said) else {})


def test_without_the_look_at_a_mixed_column_objects_are_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: nothing is said of what a cell holds."""
    monkeypatch.setattr(queries, "_said", lambda cell: None)
    found = _lot(tmp_path, _crm(tmp_path, monkeypatch, "/p", {"u": 1}))
    assert (_reasons(found), found.events["text"].to_pylist()) == ({}, ["/p", '{"u":1}'])


LISTED = {"replace": {"n": {"values": {"1": "10", "2": "20"}, "others": "refuse"}}}
NUMBER = {"number": {"column": "n"}}
TIME = {"event_time": {"column": "n", "format": "epoch_seconds"}}
USES: list[tuple[dict[str, Any], str]] = [
    ({"where": {"n": ["10", "20"]}}, "kind"),
    ({"where": {"n": {"at_least": 5}}}, "kind"),
    ({"where": {"n": {"absent": True}}}, "kind"),
    (NUMBER, "number"),
    ({"number": {"fixed": 1, "currency": {"column": "n", "accepted": ["", "10"]}}}, "number"),
    (TIME, "event_time"),
    ({"known_at": TIME["event_time"]}, "known_at"),
    ({"event_time": {"order": True}}, "event_time"),
    ({"text": "n"}, "text"),
]


@pytest.mark.parametrize(("use", "column"), USES)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_value_that_a_replacement_refuses_is_told(
    tmp_path: Path, use: dict[str, Any], column: str, kind: str
) -> None:
    """Wherever the column is used, whether it has texts or numbers."""
    order = {"column": "n", "start": "2025-01-01"}
    if "currency" in use.get("number", {}):
        use = {"number": {**use["number"], "fixed": None, "column": "seconds"}}
    mapping = _source(**LISTED, file=f"f.{kind}", order=order, events=[{**VISIT, **use}])
    table = pa.table(
        {"id": ["a", "b"], "account": ["a"] * 2, "n": [1, 9], "page": ["/"] * 2, "seconds": [5, 6]}
    )
    _written(tmp_path / f"f.{kind}", table)
    assert f"{column} {UNLISTED}" in _reasons(_lot(tmp_path, mapping))[2]


def _written(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()))


def test_a_lookup_by_a_value_that_is_refused_is_told(tmp_path: Path) -> None:
    """And so is a value that was looked up."""
    (tmp_path / "names.jsonl").write_text('{"key": "10", "is": "9"}\n{"key": "20", "is": "1"}\n')
    lookup = {"file": "names.jsonl", "key": "key", "column": "n", "take": {"page": "is"}}
    lines = [GOOD.replace(', "page": "/p", "n": 1', f', "n": {n}') for n in (1, 2, 9)]
    replaced = {**LISTED["replace"], "page": {"values": {"1": "x"}, "others": "refuse"}}
    found = _lot(tmp_path, _source(lookups=[lookup], replace=replaced), *lines)
    assert _reasons(found) == {1: f"text {UNLISTED}", 3: f"text {UNLISTED}"}
    assert found.events["text"].to_pylist() == [None, "x", None]


def test_without_the_reasons_of_replacements_rows_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: what a replacement refuses is not told; the row is no event, or one without value."""
    monkeypatch.setattr(cells.Cells, "_unlisted", lambda *_: {})
    for use in (NUMBER, {"where": {"n": ["10"]}}):
        mapping = _source(**LISTED, events=[{**VISIT, **use}])
        assert _reasons(_lot(tmp_path, mapping, GOOD.replace("1}", "9}"))) == {}
