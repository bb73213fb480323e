"""Tables: one commit per change, old snapshots readable, concurrent writers lose nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.exceptions import CommitFailedException

from cluster import tables as module
from cluster.database import open_database
from cluster.settings import Settings
from cluster.tables import SnapshotMissing, TableMissing, Tables

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("number", pa.int64())])


def _rows(*keys: str) -> pa.Table:
    return pa.table({"key": list(keys), "number": list(range(len(keys)))}, schema=SCHEMA)


@pytest.fixture
def tables(settings: Settings) -> Tables:
    """Return an empty catalog with one bucketed table `t`."""
    open_database(settings.database).close()
    opened = Tables(settings.database, settings.warehouse)
    opened.create("t", SCHEMA, bucket_by="key", buckets=4)
    return opened


def test_a_snapshot_stays_readable_after_a_replacement(tables: Tables) -> None:
    """What a training set was pinned to does not change under it."""
    first = tables.append("t", _rows("a", "b", "c"), {"made-by": "test"})
    second = tables.replace("t", _rows("z"))
    assert tables.read("t", first).num_rows == 3
    assert tables.read("t")["key"].to_pylist() == ["z"]
    assert tables.head("t") == second
    assert tables.properties("t", first)["made-by"] == "test"


def test_buckets_cover_every_row_once(tables: Tables) -> None:
    """The buckets of a snapshot are a partition of its rows, by key."""
    tables.append("t", _rows(*(f"key-{n}" for n in range(100))))
    tables.append("t", _rows(*(f"key-{n}" for n in range(100, 150))))
    buckets = tables.buckets("t")
    parts = [tables.read_bucket(b) for b in buckets]
    assert [b.rows for b in buckets] == [p.num_rows for p in parts]
    keys = [set(p["key"].to_pylist()) for p in parts]
    assert sum(map(len, keys)) == 150 == len(set.union(*keys))


def test_a_bucket_is_found_again_by_key(tables: Tables) -> None:
    """Equal keys always lie in the same bucket, whichever commit wrote them."""
    tables.append("t", _rows("a", "b"))
    tables.append("t", _rows("a", "b"))
    for bucket in tables.buckets("t"):
        counts = pc.value_counts(tables.read_bucket(bucket)["key"]).to_pylist()
        assert all(c["counts"] == 2 for c in counts)


def test_written_files_are_invisible_until_committed(tables: Tables) -> None:
    """A crash between the two leaves the table as it was."""
    tables.append("t", _rows("a"))
    files = tables.write("t", _rows("b", "c"))
    assert tables.read("t").num_rows == 1
    tables.commit("t", files)
    assert tables.read("t").num_rows == 3


def _append_from(tables: Tables, writers: int, each: int) -> int:
    def append(writer: int) -> int:
        done = 0
        for n in range(each):
            try:
                tables.append("t", _rows(f"{writer}-{n}"))
            except (module.FunnelcastError, CommitFailedException):
                continue
            done += 1
        return done

    with ThreadPoolExecutor(writers) as pool:
        return sum(pool.map(append, range(writers)))


def test_concurrent_writers_lose_nothing(tables: Tables) -> None:
    """Every acknowledged commit is there, whoever raced it."""
    acknowledged = _append_from(tables, writers=4, each=5)
    assert acknowledged == 20
    assert tables.read("t").num_rows == 20


def test_without_the_retry_a_race_is_noticed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: without retries the loser's commit fails, so the test above would count fewer."""
    monkeypatch.setitem(module.PROPERTIES, "commit.retry.num-retries", "0")
    open_database(settings.database).close()
    tables = Tables(settings.database, settings.warehouse)
    tables.create("t", SCHEMA, bucket_by="key", buckets=4)
    assert _append_from(tables, writers=4, each=5) < 20


def test_what_is_missing_is_named(tables: Tables) -> None:
    """A table or snapshot that is not there is one clear line."""
    with pytest.raises(TableMissing, match="no table is called 'x'"):
        tables.read("x")
    with pytest.raises(SnapshotMissing, match="no snapshot 17"):
        tables.read("t", 17)
    assert tables.head("x") is None
    assert tables.buckets("t") == []


def test_a_table_is_made_once(tables: Tables) -> None:
    """Making it again changes nothing, and rows keep the declared columns' order."""
    tables.create("t", SCHEMA)
    tables.append("t", _rows("a").select(["number", "key"]))
    assert tables.read("t").column_names == ["key", "number"]


def test_no_rows_are_a_snapshot_too(tables: Tables) -> None:
    """A job that finds nothing still commits, so that readers see the emptiness."""
    tables.append("t", _rows("a"))
    emptied = tables.replace("t", _rows())
    assert tables.read("t", emptied).num_rows == 0
    assert tables.read("t", tables.replace("t", _rows())).num_rows == 0


def test_any_number_may_be_the_first(tmp_path: Path) -> None:
    """Catalog, namespace and table are made once, whoever comes at the same moment."""
    schema = pa.schema([pa.field("key", pa.string(), nullable=False)])
    settings = Settings(home=tmp_path / "new")

    def first(_: int) -> int | None:
        tables = Tables(settings.database, settings.warehouse)
        tables.create("first", schema, bucket_by="key", buckets=2)
        tables.append("first", pa.table({"key": ["a"]}, schema=schema))
        tables.close()
        return tables.head("first")

    settings.home.mkdir()
    with ThreadPoolExecutor(6) as pool:
        assert None not in set(pool.map(first, range(6)))
    assert Tables(settings.database, settings.warehouse).read("first").num_rows == 6


def test_texts_may_be_read_as_dictionaries(tables: Tables) -> None:
    """The same rows, whatever the number of files; a file of before a column came is read too."""
    schema = pa.schema([pa.field("shard", pa.string()), pa.field("n", pa.int64())])
    tables.create("coded", schema, bucket_by="shard", buckets=2)
    for start in (0, 50):
        rows = {"shard": [f"s{n % 7}" for n in range(start, start + 50)], "n": range(50)}
        tables.append("coded", pa.table(rows, schema=schema))
    for columns in (None, ["n"], ["shard"]):
        for bucket in tables.buckets("coded"):
            coded = tables.read_bucket(bucket, columns, coded=True)
            assert coded.to_pylist() == tables.read_bucket(bucket, columns).to_pylist()
            texts = [f for f in coded.schema if f.name == "shard"]
            assert all(pa.types.is_dictionary(field.type) for field in texts)
    wider = pa.schema([*schema, pa.field("text", pa.string())])
    tables.reshape("coded", wider)
    tables.append("coded", pa.table({"shard": ["s1"], "n": [1], "text": ["x"]}, schema=wider))
    found = [
        row
        for bucket in tables.buckets("coded")
        for row in tables.read_bucket(bucket, coded=True).to_pylist()
    ]
    assert sorted(row["text"] or "" for row in found) == [""] * 100 + ["x"]
    old = [tables.read_bucket(each, ["n", "shard"], coded=True) for each in tables.buckets("coded")]
    assert sum(part.num_rows for part in old) == 101
