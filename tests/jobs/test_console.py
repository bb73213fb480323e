"""The console: exit codes, one-line errors, JSON, and runs that need not happen again."""

from __future__ import annotations

import dataclasses
import json
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster import runs
from cluster.errors import FunnelcastError
from jobs import console
from jobs.console import Job, Report
from jobs.ingest.run import JOB as INGEST
from jobs.ingest.run import IngestSettings
from jobs.materialize.run import JOB as MATERIALIZE

if TYPE_CHECKING:
    from cluster.workspace import Workspace

TINY = "tests/tiny_world.yaml"


def _main(job: Job[Any], monkeypatch: pytest.MonkeyPatch, home: Path, *options: str) -> int:
    """Call a job's command line in this process and return its exit code."""
    monkeypatch.setenv("FUNNELCAST_HOME", str(home))
    monkeypatch.setattr(sys, "argv", [job.verb, *options])
    with pytest.raises(SystemExit) as ended:
        console.main(job)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("job", "options", "words"),
    [
        (INGEST, ["--source", "wrld"], "did you mean 'world.yaml'?"),
        (INGEST, ["--source", "olist"], "say where with --path FOLDER"),
        (INGEST, ["--sauce", "x"], "No such option"),
        (MATERIALIZE, ["--target", "opportunity_wn"], "did you mean 'opportunity_win.yaml'?"),
        (MATERIALIZE, ["--target", "opportunity_win"], "python -m jobs.ingest"),
        (MATERIALIZE, ["--target", "opportunity_win", "--purpose", "trainig"], "'training'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    job: Job[Any],
    options: list[str],
    words: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is wrong, what it was, and what to do; no trace."""
    assert _main(job, monkeypatch, tmp_path / "home", *options) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_json_is_one_object_on_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program can read the report; progress stays on standard error."""
    assert _main(INGEST, monkeypatch, tmp_path / "home", "--source", TINY, "--json") == 0
    said = capsys.readouterr()
    report = json.loads(said.out.splitlines()[-1])
    assert report["unchanged"] is False
    assert report["figures"]["added"] == report["wrote"]["events"] > 0
    assert "strips" in said.err


def test_what_was_not_foreseen_is_one_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the error's name, and how to see the trace."""

    def run(workspace: Workspace, settings: IngestSettings, progress: Any) -> Report:
        raise ZeroDivisionError("division by zero")

    broken = dataclasses.replace(INGEST, run=run)
    assert _main(broken, monkeypatch, tmp_path / "home", "--source", TINY) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero: FUNNELCAST_TRACE=1 shows where" in said
    assert "Traceback" not in said


def test_the_jobs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m jobs` names every verb."""
    runpy.run_module("jobs", run_name="__main__")
    listed = capsys.readouterr().out
    assert all(f"python -m jobs.{verb}" in listed for verb in console.verbs())
    assert {"ingest", "materialize", "train", "score", "simulate", "report"} <= set(console.verbs())


def _quiet(done: int, total: int, what: str) -> None:
    pass


def test_the_same_run_is_not_done_twice(workspace: Workspace) -> None:
    """Unchanged inputs: the first report again. A change of the inputs: a new run."""
    settings = IngestSettings(source=TINY)
    first = console.perform(INGEST, settings, workspace, _quiet)
    second = console.perform(INGEST, settings, workspace, _quiet)
    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.report["wrote"] == first.report["wrote"]
    kinds = [entry.body["status"] for entry in workspace.journal.entries("job")]
    assert kinds == ["done"]


def test_changed_code_is_another_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of a run covers the code that makes the result."""
    settings = IngestSettings(source=TINY)
    console.perform(INGEST, settings, workspace, _quiet)
    monkeypatch.setattr(runs, "code_version", lambda *more: "another")
    assert not console.perform(INGEST, settings, workspace, _quiet).unchanged


def test_a_failed_run_is_recorded_and_done_again(workspace: Workspace) -> None:
    """Failure is journalled with its reason and never mistaken for a result."""
    tries: list[int] = []

    def run(workspace: Workspace, settings: IngestSettings, progress: Any) -> Report:
        tries.append(1)
        if len(tries) == 1:
            raise FunnelcastError("the disk is full")
        return Report(read={}, wrote={}, decided=[])

    job = Job(
        verb="ingest",
        summary="",
        settings=IngestSettings,
        needs=None,
        inputs=lambda w, s: {},
        run=run,
    )
    with pytest.raises(FunnelcastError):
        console.perform(job, IngestSettings(source="x"), workspace, _quiet)
    assert not console.perform(job, IngestSettings(source="x"), workspace, _quiet).unchanged
    statuses = [entry.body["status"] for entry in workspace.journal.entries("job")]
    assert statuses == ["failed", "done"]
