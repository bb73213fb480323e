"""The look at quarantine: what it says of rows and of none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from cluster.settings import CONFIGS
from features import ingest
from features.contracts import load_contracts
from features.sources.mapping import SourceMapping
from jobs import console
from jobs.quarantine import run
from jobs.quarantine.run import JOB, QuarantineSettings

if TYPE_CHECKING:
    from cluster.workspace import Workspace

VISIT: dict[str, Any] = {
    "kind": "touch",
    "name": "web_visit",
    "event_time": {"column": "at"},
    "known_at": {"column": "at"},
    "keys": {"account": "account"},
}
MAPPING = {"source": "shop", "files": [{"file": "f.jsonl", "row_key": "id", "events": [VISIT]}]}
GOOD = {"id": "0", "at": "2025-01-01", "account": "a"}
BAD = [
    json.dumps({**GOOD, "at": "yesterday"}),
    r'{"account":"\ud800","at":"2025-01-01","id":"2"}',
    '{"account":"a","at":"2025-01-01","id":NaN}',
]


def _quiet(done: int, total: int, words: str) -> None:
    pass


def _shop(folder: Path) -> ingest.Source:
    (folder / "f.jsonl").write_text("".join(f"{line}\n" for line in BAD))
    mapping, terms = SourceMapping.model_validate(MAPPING), load_contracts(CONFIGS / "contracts")
    return ingest.Source(mapping=mapping, folder=folder, terms=terms)


def _look(workspace: Workspace, **how: Any) -> dict[str, Any]:
    return console.perform(JOB, QuarantineSettings(**how), workspace, _quiet).report


def test_an_empty_quarantine_is_said_to_be_empty(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any ingestion; the file that was asked for has no lines, also where one lay there.
    Mutant: were the reasons of no rows counted, it would be a failure.
    """
    out = tmp_path / "open.jsonl"
    out.write_text("a line of another day\n")
    report = _look(workspace, out=str(out))
    assert report["decided"] == ["nothing is in quarantine"]
    assert (report["figures"], report["table"]["data"]) == ({"open": 0, "repaired": 0}, [])
    assert (out.read_text(), report["wrote"]["rows"]) == ("", 0)
    monkeypatch.setattr(run, "_reasons", lambda rows: run.joined([run.counted(rows["reasons"])]))
    with pytest.raises(pa.ArrowInvalid, match="string"):
        _look(workspace)


def test_what_is_written_out_comes_back_as_events(workspace: Workspace, tmp_path: Path) -> None:
    """Broken rows and unreadable lines, corrected; a source without any is said to have none."""
    what = _shop(tmp_path)
    assert ingest.source(workspace, what, "inline", _quiet).quarantined == 3
    assert _look(workspace, source="web")["decided"] == ["nothing of source 'web' is in quarantine"]
    out = tmp_path / "open.jsonl"
    report = _look(workspace, source="shop", out=str(out))
    assert report["decided"] == ["3 rows are open, 0 repaired"]
    assert [count for _, count in report["table"]["data"]] == [1, 1, 1]
    rows = sorted(map(json.loads, out.read_text().splitlines()), key=lambda row: row["source_row"])
    assert [row["cells"] for row in rows] == [json.loads(BAD[0]), *({"line": x} for x in BAD[1:])]
    right = [{**row, "cells": {**GOOD, "id": str(row["source_row"])}} for row in rows]
    out.write_text("".join(f"{json.dumps(row)}\n" for row in right))
    assert ingest.repair(workspace, what, out).added == 3
    report = _look(workspace)
    assert report["decided"] == ["0 rows are open, 3 repaired"]
    assert report["table"]["data"] == []
