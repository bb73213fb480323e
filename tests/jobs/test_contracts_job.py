"""`python -m jobs.contracts` shows what is in force and checks what is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from cluster.settings import CONFIGS
from features.contracts import load_contracts, register
from jobs import console
from jobs.contracts.run import JOB, ContractsSettings

if TYPE_CHECKING:
    from cluster.workspace import Workspace

CONTRACTS = load_contracts(CONFIGS / "contracts")


@pytest.fixture
def in_force(workspace: Workspace) -> Workspace:
    """Return a workspace in which the contracts are in force."""
    register.put_in_force(workspace, CONTRACTS, "ingest", "world")
    return workspace


def folder(path: Path, old: str, new: str) -> Path:
    """Write one contract with a change."""
    text = (CONFIGS / "contracts" / "stage.yaml").read_text()
    assert old in text
    (path / "stage.yaml").write_text(text.replace(old, new))
    return path


def quiet(done: int, total: int, what: str) -> None:
    """Say nothing."""


def exit_code(monkeypatch: pytest.MonkeyPatch, workspace: Workspace, *options: str) -> int:
    """Call the command line in this process."""
    monkeypatch.setenv("FUNNELCAST_HOME", str(workspace.settings.home))
    monkeypatch.setattr(sys, "argv", ["contracts", *options])
    with pytest.raises(SystemExit) as ended:
        console.main(JOB)
    return int(ended.value.code or 0)


def test_the_list_names_version_owner_freshness_and_since_when(in_force: Workspace) -> None:
    report = JOB.run(in_force, ContractsSettings(), quiet)
    assert report.table is not None
    rows = report.table.set_index("kind")
    assert set(rows.index) == set(CONTRACTS)
    stage = rows.loc["stage"]
    assert stage["version"] == CONTRACTS["stage"].version
    assert (stage["owner"], stage["fresh_h"]) == ("sales operations", 72)
    assert stage["since"] == in_force.clock().date().isoformat()
    assert any("stage" in line and "by ingest: world" in line for line in report.decided)


def test_before_any_ingestion_nothing_is_in_force(workspace: Workspace) -> None:
    report = JOB.run(workspace, ContractsSettings(), quiet)
    assert report.table is not None
    assert set(report.table["since"]) == {"not in force"}
    assert report.decided == []


def test_a_folder_that_passes_says_what_would_change(in_force: Workspace, tmp_path: Path) -> None:
    folder(tmp_path, "maxLength: 500", "maxLength: 600")
    folder_text = (tmp_path / "stage.yaml").read_text()
    document = yaml.safe_load(folder_text)
    (tmp_path / "stage.yaml").write_text(yaml.safe_dump(document | {"version": "1.9.0"}))
    report = JOB.run(in_force, ContractsSettings(check=str(tmp_path)), quiet)
    assert report.decided == ["stage passes: 1.1.0 -> 1.9.0 with 1 changes"]
    assert report.table is not None
    assert list(report.table["level"]) == ["minor"]


def test_a_folder_that_is_refused_ends_with_1_and_names_the_change(
    in_force: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder(tmp_path, "maxLength: 500", "maxLength: 400")
    assert exit_code(monkeypatch, in_force, "--check", str(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "text: length narrowed (maxLength 500 -> maxLength 400)" in said
    assert "write version 2.0.0" in said
    assert {c.ref.epoch for c in register.in_force(in_force, CONTRACTS).values()} == {1}


def test_the_same_contracts_pass_with_nothing_to_change(
    in_force: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, in_force, "--check", str(CONFIGS / "contracts")) == 0
    assert "nothing would change" in capsys.readouterr().out


def test_a_folder_without_contracts_is_wrong_use(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exit_code(monkeypatch, workspace, "--check", str(tmp_path)) == 2
