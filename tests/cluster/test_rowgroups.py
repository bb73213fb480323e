"""Row groups: all rows come, those of a span alone, and no more is read or held than need be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster import datafiles, rowgroups
from cluster.database import open_database
from cluster.rowgroups import Span, filtered
from cluster.tables import Tables

if TYPE_CHECKING:
    from cluster.settings import Settings

STAMP = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema([
    pa.field("key", pa.string(), nullable=False),
    pa.field("at", STAMP, nullable=False),
    pa.field("text", pa.string()),
])  # fmt: skip
ROWS, GROUP = 1_000, 50


def _rows(times: np.ndarray) -> pa.Table:
    texts = [None if n % 3 == 0 else f"text-{n}" for n in range(len(times))]
    columns = [["one"] * len(times), pa.array(times).cast(STAMP), texts]
    return pa.table(columns, schema=SCHEMA)


@pytest.fixture
def tables(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Return a table `t` of one bucket: a file of rows in order, and one of rows in none."""
    monkeypatch.setattr(datafiles, "GROUP_ROWS", GROUP)
    open_database(settings.database).close()
    opened = Tables(settings.database, settings.warehouse)
    opened.create("t", SCHEMA, bucket_by="key", buckets=1)
    for times in (np.arange(ROWS), np.random.default_rng(0).permutation(ROWS)):
        writer = opened.writer("t")
        for start in range(0, ROWS, GROUP):
            writer.add(_rows(times[start : start + GROUP]))
        opened.commit("t", writer.close())
    return opened


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of columns of the row groups that are read, as they are."""
    original: Callable[..., pa.Table] = pq.ParquetFile.read_row_group
    seen: list[int] = []

    def counted(file: pq.ParquetFile, group: int, columns: list[str], **more: Any) -> pa.Table:
        seen.append(len(columns))
        return original(file, group, columns, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    return seen


def _plain(parts: list[pa.Table]) -> list[tuple[object, ...]]:
    rows = [tuple(row.values()) for part in parts for row in part.to_pylist()]
    return sorted(rows, key=str)


def test_all_rows_come_a_group_at_a_time(tables: Tables) -> None:
    """The rows of the bucket, never more than a group, texts as dictionaries."""
    (bucket,) = tables.buckets("t")
    parts = list(tables.read_groups(bucket, ["at", "text"]))
    assert {part.num_rows for part in parts} == {GROUP}
    assert all(pa.types.is_dictionary(part["text"].type) for part in parts)
    assert _plain(parts) == _plain([tables.read_bucket(bucket, ["at", "text"])])


@pytest.mark.parametrize(("low", "high"), [(0, 1), (49, 51), (-5, 2_000), (730, 731), (7, 7)])
def test_a_span_has_its_rows_and_no_others(tables: Tables, low: int, high: int) -> None:
    """The first moment belongs to it, the last one does not."""
    (bucket,) = tables.buckets("t")
    parts = list(tables.read_groups(bucket, ["at", "text"], Span(column="at", low=low, high=high)))
    whole = tables.read_bucket(bucket, ["at", "text"])
    times = whole["at"].cast(pa.int64()).to_numpy()
    assert _plain(parts) == _plain([whole.filter(pa.array((low <= times) & (times < high)))])
    alone = tables.read_groups(bucket, ["text"], Span(column="at", low=low, high=high))
    assert _plain(list(alone)) == _plain([part.select(["text"]) for part in parts])


def test_groups_outside_a_span_are_not_read(
    tables: Tables, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the statistics of rows in order, else by the one column; and a mutant that reads all."""
    (bucket,) = tables.buckets("t")
    span, columns = Span(column="at", low=100, high=110), ["key", "at", "text"]
    found = list(tables.read_groups(bucket, columns, span))
    assert reads.count(3) < 12
    assert reads.count(1) <= 21
    reads.clear()
    monkeypatch.setattr(rowgroups, "_may_hold", lambda file, group, span: True)
    assert _plain(list(tables.read_groups(bucket, columns, span))) == _plain(found)
    assert reads.count(3) == 2 * ROWS // GROUP


def test_words_of_rows_that_are_left_out_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of many groups must not hold the words of all; and a mutant that does."""
    rows = pa.table({"text": pa.array([f"text-{n}" for n in range(100)]).dictionary_encode()})
    keep = np.arange(100) % 10 == 3
    few = filtered(rows, keep)
    assert few["text"].to_pylist() == [f"text-{n}" for n in range(3, 100, 10)]
    assert len(few["text"].chunk(0).dictionary) == 10
    assert filtered(rows, ~np.zeros(100, bool)) is rows
    assert filtered(rows, np.zeros(100, bool)).num_rows == 0
    monkeypatch.setattr(rowgroups, "_shortened", lambda column: column)
    assert len(filtered(rows, keep)["text"].chunk(0).dictionary) == 100


def test_a_file_of_before_a_column_came_is_read_too(tables: Tables) -> None:
    """It has nulls there."""
    wider = pa.schema([*SCHEMA, pa.field("more", pa.string())])
    tables.reshape("t", wider)
    (bucket,) = tables.buckets("t")
    span = Span(column="at", low=10, high=12)
    parts = list(tables.read_groups(bucket, ["at", "more"], span))
    assert sum(part.num_rows for part in parts) == 4
    assert all(part["more"].null_count == part.num_rows for part in parts)
    others = list(tables.read_groups(bucket, ["at", "text"], span))
    assert sum(part.num_rows for part in others) == 4
