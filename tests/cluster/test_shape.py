"""The shape of a table: other columns for what comes, the old ones for what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from cluster.database import open_database
from cluster.tables import Tables

if TYPE_CHECKING:
    from cluster.settings import Settings

KEY = pa.field("key", pa.string(), nullable=False)
OLD = pa.schema([KEY, pa.field("count", pa.int64()), pa.field("gone", pa.string())])
NEW = pa.schema([KEY, pa.field("count", pa.string()), pa.field("mean", pa.float64())])
ROWS = pa.table({"key": ["k"], "count": [1], "gone": ["x"]}, OLD)
OTHERS = pa.table({"key": ["k"], "count": ["one"], "mean": [0.5]}, NEW)


@pytest.fixture
def tables(settings: Settings) -> Tables:
    """Return a catalog with a table `t` of one row."""
    open_database(settings.database).close()
    opened = Tables(settings.database, settings.warehouse)
    opened.reshape("t", OLD)
    opened.replace("t", ROWS)
    return opened


def test_each_snapshot_has_the_columns_it_was_made_with(tables: Tables) -> None:
    """A column that goes, one that comes, and one of another type."""
    before = tables.head("t")
    tables.reshape("t", NEW)
    tables.replace("t", OTHERS)
    assert set(tables.read("t").column_names) == set(NEW.names)
    assert tables.read("t").select(NEW.names).to_pylist() == OTHERS.to_pylist()
    assert tables.read("t", before).select(OLD.names).to_pylist() == ROWS.to_pylist()


def test_the_same_shape_changes_nothing(tables: Tables) -> None:
    """Not even the order of columns counts."""
    before = tables.schema("t")
    tables.reshape("t", pa.schema([OLD.field(name) for name in ("gone", "key", "count")]))
    assert tables.schema("t").equals(before, check_metadata=True)


def test_a_written_file_is_found_while_it_fits(tables: Tables) -> None:
    """As it was described when it was written; not when it is gone, cut, or for other columns."""
    [file] = tables.write("t", ROWS)
    [found] = tables.find("t", [file.file_path, f"{file.file_path}x"])
    assert found.__dict__ == file.__dict__
    tables.reshape("t", NEW)
    assert tables.find("t", [file.file_path]) == []
    tables.reshape("t", OLD)
    assert tables.find("t", [file.file_path]) == []


def test_a_file_for_other_columns_would_read_as_nulls(tables: Tables) -> None:
    """Why it is not found: committed all the same, what it holds would be lost."""
    files = tables.write("t", ROWS)
    tables.reshape("t", NEW)
    tables.reshape("t", OLD)
    tables.commit("t", files, replace=True)
    assert tables.read("t")["gone"].to_pylist() == [None]
