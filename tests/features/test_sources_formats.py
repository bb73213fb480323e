"""Parquet, JSON lines and SQL through a mapping: the same rows are the same events."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, validated
from features.contracts import Contract, load_contracts
from features.sources import objects, read, records
from features.sources.mapping import SourceMapping, load_source

if TYPE_CHECKING:
    from features.sources.lot import Mapped

STEPS: dict[str, Any] = {
    "kind": "stage",
    "name": {"column": "stage", "snake": True},
    "event_time": {"column": "at"},
    "known_at": {"lag_hours": 1},
    "keys": {"opportunity": "id"},
    "number": {"column": "amount", "times": 100},
}
ROWS = [("d1", "Open", datetime(2024, 1, 2, 3, 4, 5), 10.5), ("d2", "Won", None, None)]  # noqa: DTZ001 - as stored
DEALS = [
    {
        "id": "d1",
        "name": {"x.y": "dotted"},
        "steps": [{"to": "open", "n": 1}, {"to": "won", "n": 2.5}],
    },
    {"id": "d2", "steps": []},
    {"id": "d3", "name": None, "steps": [{"to": "lost"}], "tags": ["a", "b"]},
]


@functools.cache
def _terms() -> dict[str, Contract]:
    return load_contracts(CONFIGS / "contracts")


def _source(file: dict[str, Any]) -> SourceMapping:
    whole = {"row_key": "id", "events": [STEPS], **file}
    return validated(SourceMapping, {"source": "test", "files": [whole]}, where="test.yaml")


def _lots(mapping: SourceMapping, folder: Path, strip_bytes: int = 1 << 30) -> list[Mapped]:
    strips = read.strips(mapping, folder, strip_bytes, _terms())
    return [lot for s in strips for lot in read.lots(mapping, s, folder, lambda _, v: v, 1000)]


def _events(mapping: SourceMapping, folder: Path) -> list[tuple[Any, ...]]:
    columns = ("source_row", "opportunity", "name", "event_time", "number")
    rows = [row for lot in _lots(mapping, folder) for row in lot.events.to_pylist()]
    return [tuple(row[c] for c in columns) for row in rows]


EXPECTED = [
    (1, "d1", "open", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), 1050),
    (2, "d2", "won", None, None),
]


def test_parquet_is_read_by_row_groups(tmp_path: Path) -> None:
    """Typed columns need no parsing; row numbers go on from group to group."""
    names = ["id", "stage", "at", "amount"]
    table = pa.table([pa.array(list(column)) for column in zip(*ROWS, strict=True)], names=names)
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=1)
    mapping = _source({"file": "f.parquet"})
    assert _events(mapping, tmp_path) == EXPECTED
    strips = read.strips(mapping, tmp_path, 1)
    assert [(s.start, s.stop, s.first_row) for s in strips] == [(0, 1, 1), (1, 2, 2)]
    assert [read.rows_of(mapping, s, tmp_path) for s in strips] == [1, 1]
    parts = [lot for s in strips for lot in read.lots(mapping, s, tmp_path, lambda _, v: v)]
    assert [e["source_row"] for lot in parts for e in lot.events.to_pylist()] == [1, 2]


def test_json_lines_are_read(tmp_path: Path) -> None:
    """Numbers as they are, what is absent as null."""
    lines = [
        {"id": i, "stage": s, "at": at and at.isoformat(), "amount": n} for i, s, at, n in ROWS
    ]
    (tmp_path / "f.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert _events(_source({"file": "f.jsonl"}), tmp_path) == EXPECTED


def test_a_query_is_read_as_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the database that the environment names; a changed row is a changed source."""
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    table = sa.table("deals", *(sa.column(c) for c in ("id", "stage", "at", "amount")))
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(
            sa.text("create table deals (id text, stage text, at text, amount real)")
        )
        rows = [{"id": i, "stage": s, "at": at and str(at), "amount": n} for i, s, at, n in ROWS]
        connection.execute(sa.insert(table), rows)
    monkeypatch.setenv("CRM_URL", url)
    query = {"url_env": "CRM_URL", "statement": "select * from deals order by id"}
    mapping = _source({"query": query})
    assert _events(mapping, tmp_path) == EXPECTED
    before = read.fingerprint(mapping, tmp_path)
    with engine.begin() as connection:
        connection.execute(sa.text("update deals set amount = 11 where id = 'd1'"))
    assert read.fingerprint(mapping, tmp_path) != before


def test_a_query_without_its_database_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no message ever holds the URL, which may hold a password."""
    query = {"url_env": "CRM_URL", "statement": "select 1 as id order by 1"}
    with pytest.raises(WrongUse, match="variable 'CRM_URL', got none"):
        read.strips(_source({"query": query}), tmp_path, 1)
    monkeypatch.setenv("CRM_URL", f"sqlite:///{tmp_path}/no/such/secret.db")
    with pytest.raises(WrongUse, match="got OperationalError") as error:
        read.strips(_source({"query": query}), tmp_path, 1)
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_query_must_say_its_order() -> None:
    """Row numbers would mean nothing."""
    with pytest.raises(WrongUse, match="'order by'"):
        _source({"query": {"url_env": "X", "statement": "select * from deals"}})


def _exploded(**event: Any) -> SourceMapping:
    steps = {
        **STEPS,
        "name": {"column": "steps.to"},
        "event_time": {"fixed": "2024-01-01"},
        "number": {"column": "steps.n", "times": 10},
        "text": "name.x.y",
        **event,
    }
    keys = ["id", "steps.to"]
    optional = ["tags.1"]
    return _source(
        {
            "file": "f.jsonl",
            "each": "steps",
            "row_key": keys,
            "events": [steps],
            "optional": optional,
        }
    )


@pytest.mark.parametrize(
    "broken", [b"", b'{"id": \n', b"[1]\n", b'{"id": "\xff"}\n', b'{"a":1}{}\n']
)
def test_the_items_of_a_list_are_rows(tmp_path: Path, broken: bytes) -> None:
    """With the fields of their parent; the same whether Arrow reads a block or each line is."""
    lines = b"".join(json.dumps(deal).encode() + b"\n" for deal in DEALS)
    (tmp_path / "f.jsonl").write_bytes(lines + broken)
    (lot,) = _lots(_exploded(), tmp_path)
    columns = ("source_row", "opportunity", "name", "number", "text")
    found = [tuple(row[c] for c in columns) for row in lot.events.to_pylist()]
    assert found == [
        (1, "d1", "open", 10, "dotted"),
        (1, "d1", "won", 25, "dotted"),
        (3, "d3", "lost", None, None),
    ]
    assert lot.events["row_key"][0].as_py() == "test:f.jsonl:stage.[steps.to]:d1:open"
    assert [(u.source_row, u.raw) for u in lot.unreadable] == [(4, broken[:-1])] * bool(broken)


def test_a_value_of_two_types_is_read_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers keep their digits. Mutant: without that, they are gone."""
    lines = ['{"id": 7, "stage": "a"}', '{"id": "x", "stage": "b"}', '{"id": 1.50, "stage": "c"}']
    (tmp_path / "f.jsonl").write_text("\n".join(lines))
    event = {**STEPS, "event_time": {"fixed": "2024-01-01"}, "number": None}
    mapping = _source({"file": "f.jsonl", "events": [event]})
    assert [e[1] for e in _events(mapping, tmp_path)] == ["7", "x", "1.50"]
    ints = pa.schema([("id", pa.int64()), ("stage", pa.string())])
    monkeypatch.setattr(objects, "schema", lambda *_: ints)
    assert [e[1] for e in _events(mapping, tmp_path)] == ["7", "x", "1.50"], "Arrow refuses it"
    nothing = pa.table({name: pa.array([], pa.string()) for name in ints.names})
    none = records.Rows(table=nothing, numbers=np.arange(0), unreadable=[])
    monkeypatch.setattr(records, "_careful", lambda *_: (none, 0))
    assert _events(mapping, tmp_path) == []


def test_a_place_in_a_list_is_a_path(tmp_path: Path) -> None:
    """The second tag, where there is one."""
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(deal) + "\n" for deal in DEALS))
    (lot,) = _lots(_exploded(text="tags.1"), tmp_path)
    assert lot.events["text"].to_pylist() == [None, None, "b"]


def test_a_path_that_no_line_has_is_refused(tmp_path: Path) -> None:
    """Unless the mapping says that it is optional."""
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(deal) + "\n" for deal in DEALS))
    with pytest.raises(WrongUse, match=r"f.jsonl: no column 'steps.two': did you mean 'steps.to'"):
        _lots(_exploded(text="steps.two"), tmp_path)


def test_json_lines_are_cut_behind_lines(tmp_path: Path) -> None:
    """The same events from strips of any size."""
    lines = [json.dumps({"id": f"d{n}", "stage": "a" * (n % 7 + 1), "at": None}) for n in range(99)]
    (tmp_path / "f.jsonl").write_text("\n".join(lines) + "\n\n")
    mapping = _source({"file": "f.jsonl", "optional": ["amount"]})
    whole = [e for lot in _lots(mapping, tmp_path) for e in lot.events.to_pylist()]
    cut = [e for lot in _lots(mapping, tmp_path, 500) for e in lot.events.to_pylist()]
    assert len(read.strips(mapping, tmp_path, 500)) > 5
    assert cut == whole
    assert [e["source_row"] for e in cut] == list(range(1, 100))


@pytest.mark.parametrize("name", ["f.csv", "f.jsonl"])
def test_a_repaired_row_is_the_event_that_it_should_have_been(tmp_path: Path, name: str) -> None:
    """Raw rows, corrected and handed back, give what a good file would have given."""
    good = {"id": "d1", "stage": "Open", "at": "2024-01-02", "amount": "10.5"}
    bad = {**good, "amount": "ten"}
    for row, folder in ((good, tmp_path / "good"), (bad, tmp_path / "bad")):
        folder.mkdir()
        csv = f"{','.join(row)}\n{','.join(row.values())}\n"
        (folder / name).write_text(csv if name == "f.csv" else json.dumps(row))
    mapping = _source({"file": name})
    (right,), (wrong,) = _lots(mapping, tmp_path / "good"), _lots(mapping, tmp_path / "bad")
    assert [b.column for b in wrong.broken] == ["number"]
    names = wrong.raw.column_names
    fixed = wrong.raw.set_column(names.index("amount"), "amount", pa.array(["10.5"]))
    fixed = fixed.append_column("source_row", pa.array(["1"]))
    mended = read.repaired(mapping, 0, fixed, tmp_path, lambda _, v: v)
    assert mended.events.equals(right.events)


def test_a_world_is_read_by_parts(tmp_path: Path) -> None:
    """Its persons are pseudonyms, and the vault gets the same ones."""
    mapping = load_source(str(Path(__file__).parents[1] / "tiny_world.yaml"))
    (strip,) = read.strips(mapping, tmp_path, 1)
    seen: list[str] = []

    def hidden(namespace: str, values: pa.Array) -> pa.Array:
        seen.append(namespace)
        return pa.array([None if v is None else f"p{v[::-1]}" for v in values.to_pylist()])

    lots = list(read.lots(mapping, strip, tmp_path, hidden, 1000))
    persons = {p for lot in lots for p in lot.events["person"].to_pylist() if p}
    subjects = {s for lot in lots for s in lot.people["subject"].to_pylist()}
    assert set(seen) == {"world-contact"}
    assert all(person.startswith("p") for person in persons | subjects)
    assert persons & subjects
    assert all(lot.events.num_rows <= 1000 for lot in lots)
