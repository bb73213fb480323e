"""The whole ground together, on SQLite and on PostgreSQL, and again from another process's eyes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from cluster.settings import Settings
from cluster.workspace import Workspace, utc_now

SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False)])


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings on each database."""
    return Settings.model_validate({"home": tmp_path / "home", "database_url": database_url})


def _fill(workspace: Workspace) -> tuple[str, int]:
    now = utc_now()
    blob = workspace.blobs.put(b"bytes")
    workspace.refs.move("a/ref", to=blob, expect_epoch=0, actor="test", reason="first", now=now)
    workspace.journal.record("note", {"blob": blob}, id="n1", now=now)
    workspace.runs.start("key", "job", {"in": "1"}, now)
    workspace.runs.finish("key", "done", {"out": 2}, now)
    workspace.tables.create("t", SCHEMA, bucket_by="key")
    return blob, workspace.tables.append("t", pa.table({"key": ["a", "b"]}, schema=SCHEMA))


def test_what_one_process_wrote_another_finds(settings: Settings) -> None:
    """Database, tables, blobs, refs, journal and runs survive closing, and settings travel."""
    with Workspace.open(settings) as workspace:
        blob, snapshot = _fill(workspace)
    elsewhere = pickle.loads(pickle.dumps(settings))
    with Workspace.open(elsewhere) as workspace:
        ref, run = workspace.refs.get("a/ref"), workspace.runs.find("key")
        assert (ref and ref.target, run and run.report) == (blob, {"out": 2})
        assert workspace.blobs.get(blob) == b"bytes"
        assert workspace.tables.read("t", snapshot).num_rows == 2
        entry = workspace.journal.get("n1")
        assert entry is not None
        assert workspace.journal.verify()


def test_a_workspace_can_be_opened_twice_at_once(settings: Settings) -> None:
    """Two openers write their own chains and commit to the same tables."""
    with Workspace.open(settings) as one, Workspace.open(settings) as two:
        _fill(one)
        two.tables.append("t", pa.table({"key": ["c"]}, schema=SCHEMA))
        two.journal.record("note", {}, id="n2", now=utc_now())
        assert one.tables.read("t").num_rows == 3
        assert {e.id for e in one.journal.entries()} == {"n1", "n2"}
        assert one.journal.verify()
