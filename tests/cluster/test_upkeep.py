"""Upkeep: old snapshots go, with the files that only they had; what is pinned stays readable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from cluster import upkeep
from cluster.database import open_database
from cluster.tables import SnapshotMissing, Tables

if TYPE_CHECKING:
    from cluster.settings import Settings

SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False)])


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


@pytest.fixture
def tables(settings: Settings) -> Tables:
    """Return a catalog with one empty table `t`."""
    open_database(settings.database).close()
    opened = Tables(settings.database, settings.warehouse)
    opened.create("t", SCHEMA)
    return opened


def _replaced(tables: Tables, times: int) -> list[int]:
    """Return the snapshots of a table that is written anew again and again."""
    return [tables.replace("t", pa.table({"key": [str(n)]}, SCHEMA)) for n in range(times)]


def test_only_pinned_snapshots_and_the_newest_stay(tables: Tables) -> None:
    """Of six, the newest, a tagged one and one that somebody rests on."""
    made = _replaced(tables, 6)
    tables.tag("t", made[1], "training")
    assert tables.expire("t", _later(), keep={made[3]}) == 3
    for number in (1, 3, 5):
        assert tables.read("t", made[number])["key"].to_pylist() == [str(number)]
    for number in (0, 2, 4):
        with pytest.raises(SnapshotMissing):
            tables.read("t", made[number])
    assert tables.expire("t", _later(), keep={made[3]}) == 0


def test_young_snapshots_stay(tables: Tables) -> None:
    """Nothing is older than an hour."""
    _replaced(tables, 2)
    assert tables.expire("t", datetime.now(UTC) - timedelta(hours=1)) == 0


def test_files_of_snapshots_that_were_given_up_are_swept(
    tables: Tables, settings: Settings
) -> None:
    """Data, manifests and their lists; every snapshot that is left is read to the end after it."""
    made = _replaced(tables, 4)
    tables.tag("t", made[1], "training")
    assert tables.sweep("t", _later()) == 0
    before = _files(settings)
    tables.expire("t", _later())
    swept = tables.sweep("t", _later())
    gone = before - _files(settings)
    assert swept == len(gone) >= 4
    assert {file.suffix for file in gone} == {".parquet", ".avro"}
    assert tables.read("t")["key"].to_pylist() == ["3"]
    assert tables.read("t", made[1])["key"].to_pylist() == ["1"]


def test_a_sweep_that_forgets_the_manifests_is_noticed(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: files of kept snapshots are taken for orphans."""
    _replaced(tables, 2)
    monkeypatch.setattr(upkeep, "_used", lambda *_: iter(()))
    assert tables.sweep("t", _later()) > 0
    with pytest.raises(FileNotFoundError):
        tables.read("t")


def test_metadata_does_not_grow_with_every_commit(tables: Tables, settings: Settings) -> None:
    """Each commit writes one file that names all snapshots: only the latest fifty stay."""
    for number in range(60):
        tables.append("t", pa.table({"key": [str(number)]}, SCHEMA))
    kept = [file for file in _files(settings) if file.name.endswith(".metadata.json")]
    assert len(kept) <= 52
    assert tables.read("t").num_rows == 60


def _files(settings: Settings) -> set[Path]:
    return {file for file in Path(settings.warehouse).rglob("*") if file.is_file()}
