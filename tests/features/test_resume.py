"""A plan that is killed goes on: no bucket twice that was done, one commit, the same rows."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster import datafiles, session
from cluster.settings import ROOT
from cluster.tables import Tables
from cluster.workspace import Workspace
from features import compaction, content, engine, log
from features.plan import Plan
from tests.features import child_plan
from tests.features.child_plan import BUCKET, BUCKETS, ENDED, WORKER, plan, quiet

if TYPE_CHECKING:
    import pyarrow as pa

    from features.engine import Materialized

TABLE = "training_lead_qualification"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Open a workspace with a small log in many buckets."""
    with Workspace.open(child_plan.settings(tmp_path / "home")) as opened:
        child_plan.fill(opened)
        yield opened


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the content of a run that nobody disturbs."""
    with Workspace.open(child_plan.settings(tmp_path_factory.mktemp("clean"))) as opened:
        child_plan.fill(opened)
        return _made(opened).content


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Return a list that grows by the plan whenever a bucket is computed."""
    rows_of, seen = Plan.rows_of, []

    def counted(mine: Plan, events: pa.Table) -> pa.Table:
        seen.append(mine)
        return rows_of(mine, events)

    monkeypatch.setattr(Plan, "rows_of", counted)
    return seen


def _made(workspace: Workspace, **changes: Any) -> Materialized:
    return engine.materialize(workspace, plan(workspace, **changes), "inline", quiet)


def _interrupted(workspace: Workspace, after: int, **changes: Any) -> None:
    """Press Ctrl-C when so many buckets are done."""

    def press(done: int, total: int, what: str) -> None:
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.materialize(workspace, plan(workspace, **changes), "inline", press)


def _threads(workspace: Workspace) -> int:
    return session.cores(workspace.settings)


def _content(workspace: Workspace) -> str:
    rows = workspace.tables.read(TABLE)
    return content.of(rows).digest(plan(workspace).schema)


def test_what_was_done_before_an_interruption_is_not_done_again(
    workspace: Workspace, clean: str, computed: list[Plan]
) -> None:
    """Ctrl-C after three buckets: nothing is to be seen, the rest is done, the rows are right."""
    _interrupted(workspace, after=3)
    assert workspace.tables.head(TABLE) is None
    before = len(computed)
    assert 3 <= before <= 3 + _threads(workspace) + 1
    made = _made(workspace)
    assert made.computed == BUCKETS - before
    assert len(computed) == BUCKETS
    assert made.content == _content(workspace) == clean


def test_a_record_that_nobody_reads_is_noticed(
    workspace: Workspace, computed: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: every bucket is to be done."""
    _interrupted(workspace, after=3)
    monkeypatch.setattr(engine, "_todo", lambda workspace, plan, work, buckets: buckets)
    _made(workspace)
    assert len(computed) > BUCKETS + _threads(workspace)


@pytest.mark.parametrize("is_mutant", [False, True])
def test_another_plan_does_not_take_up_what_is_not_its_own(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """Other knowledge, other rows. Mutant: one name for all work."""
    whole = _made(workspace).content
    if is_mutant:
        monkeypatch.setattr(engine, "work_of", lambda plan: "work")
    earlier = child_plan.AS_OF - timedelta(days=200)
    _interrupted(workspace, after=4, as_of=earlier)
    assert (_made(workspace).content == whole) != is_mutant


@pytest.mark.parametrize("change", ["target", "views", "snapshot", "purpose"])
def test_all_that_rows_depend_on_is_in_the_name_of_the_work(
    workspace: Workspace, change: str
) -> None:
    """Each change is other work; a time zone is none."""
    usual = plan(workspace)
    target = usual.target
    others: dict[str, Any] = {
        "target": {"target": target.model_copy(update={"horizon_days": 7.0})},
        "views": {"target": target.model_copy(update={"views": ("opportunity_progress",)})},
        "snapshot": {"snapshot": 7},
        "purpose": {"purpose": "scoring"},
    }
    assert engine.work_of(plan(workspace, **others[change])) != engine.work_of(usual)
    elsewhere = child_plan.AS_OF.astimezone(tz=datetime.now().astimezone().tzinfo)
    assert engine.work_of(plan(workspace, as_of=elsewhere)) == engine.work_of(usual)


@pytest.mark.parametrize("fault", ["gone", "cut"])
def test_a_bucket_that_lost_its_file_is_done_again(
    workspace: Workspace, clean: str, computed: list[Plan], fault: str
) -> None:
    """Deleted, or half of it written when the power went."""
    _interrupted(workspace, after=3)
    before, lost = len(computed), _files(workspace)[0]
    lost.unlink() if fault == "gone" else os.truncate(lost, 100)
    assert _made(workspace).content == _content(workspace) == clean
    assert len(computed) == BUCKETS + 1 > before


def test_a_file_that_is_not_looked_for_breaks_the_table(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: whatever is on record is committed."""
    find, known = datafiles.find, dict[str, Any]()

    def believed(table: Any, paths: list[str]) -> list[Any]:
        known.update({file.file_path: file for file in find(table, paths)})
        return [known[path] for path in paths]

    monkeypatch.setattr(datafiles, "find", believed)
    _interrupted(workspace, after=3)
    _interrupted(workspace, after=0)
    _files(workspace)[0].unlink()
    _made(workspace)
    with pytest.raises(FileNotFoundError):
        workspace.tables.read(TABLE)


@pytest.mark.parametrize("is_mutant", [False, True])
def test_killed_after_the_commit_it_is_not_committed_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """The records are still there. Mutant: a run that does not look at what is committed."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(engine.Parts, "drop", _dying(engine.Parts.drop))
        _made(workspace)
    snapshot = workspace.tables.head(TABLE)
    if is_mutant:
        monkeypatch.setattr(engine, "_committed", lambda tables, table, work: None)
    made = _made(workspace)
    assert (made.snapshot == snapshot) != is_mutant
    assert made.computed == 0
    assert workspace.tables.read(TABLE, made.snapshot).num_rows == made.rows > 0


def _dying(drop: Callable[..., None]) -> Callable[..., None]:
    def die(parts: Any, work: str, numbers: Any = None) -> None:
        if numbers is None:
            raise KeyboardInterrupt
        drop(parts, work, numbers)

    return die


def test_of_two_runs_of_the_same_plan_one_commits(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other is done between our look at the head and our commit: its snapshot is ours too."""
    commit, theirs = Tables.commit_after, []

    def overtaken(tables: Tables, name: str, files: Any, **said: Any) -> int | None:
        monkeypatch.setattr(Tables, "commit_after", commit)
        theirs.append(_made(workspace).snapshot)
        return commit(tables, name, files, **said)

    monkeypatch.setattr(Tables, "commit_after", overtaken)
    assert _made(workspace).snapshot == theirs[0]
    assert len(workspace.tables.history(TABLE)) == 1


@pytest.mark.parametrize("is_mutant", [False, True])
def test_a_sweep_spares_what_unfinished_work_has_written(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, is_mutant: bool
) -> None:
    """However old the files are, as long as a bucket is young. Mutant: nothing is spared."""
    _interrupted(workspace, after=3)
    for file in _files(workspace):
        os.utime(file, (0, 0))
    if is_mutant:
        monkeypatch.setattr(compaction.Parts, "files", lambda parts: set())
    swept = compaction.sweep(workspace, timedelta(hours=24))
    assert (swept > 0) == is_mutant
    assert (_made(workspace).computed < BUCKETS - 2) != is_mutant


def test_work_that_nobody_takes_up_again_is_swept(workspace: Workspace) -> None:
    """After the age at which a file without a snapshot goes: records and files."""
    _interrupted(workspace, after=3)
    assert _files(workspace)
    assert compaction.sweep(_tomorrow(workspace), timedelta(hours=24)) >= 3
    assert not _files(workspace)
    assert _made(workspace).computed == BUCKETS


def _tomorrow(workspace: Workspace) -> Workspace:
    later = datetime.now(UTC) + timedelta(hours=25)
    return Workspace.open(workspace.settings, clock=lambda: later)


def _files(workspace: Workspace) -> list[Path]:
    return sorted(Path(workspace.settings.warehouse).rglob(f"{TABLE}/data/*.parquet"))


def test_a_killed_plan_ends_in_the_rows_of_a_clean_run(workspace: Workspace, clean: str) -> None:
    """Three kills at random moments."""
    begun, kills = _drill(workspace, kills=3)
    assert begun <= BUCKETS + kills * _threads(workspace)
    assert _content(workspace) == clean


@pytest.mark.drill
def test_twenty_kills(tmp_path: Path, clean: str) -> None:
    """The long form, over many buckets."""
    with Workspace.open(child_plan.settings(tmp_path, buckets=128)) as workspace:
        child_plan.fill(workspace)
        buckets = len(workspace.tables.buckets(log.TABLE))
        begun, kills = _drill(workspace, kills=20)
        assert kills >= 10
        assert buckets <= begun <= buckets + kills * _threads(workspace)
        assert _content(workspace) == clean


@pytest.mark.drill
def test_a_worker_that_heeds_no_record_does_far_too_much(tmp_path: Path, clean: str) -> None:
    """Mutant, killed at work. Its rows are right all the same."""
    with Workspace.open(child_plan.settings(tmp_path, buckets=128)) as workspace:
        child_plan.fill(workspace)
        buckets = len(workspace.tables.buckets(log.TABLE))
        way: dict[str, Any] = {"kills": 20, "marks": (BUCKET,), "longest_s": 0.8}
        begun, kills = _drill(workspace, "inline", "forget", **way)
        assert begun > buckets + kills * _threads(workspace)
        assert _content(workspace) == clean


@pytest.mark.drill
def test_a_driver_killed_on_ray_goes_on(workspace: Workspace, clean: str) -> None:
    """A part of the buckets may be on record; another process ends the work."""
    assert _drill(workspace, "ray", kills=1, marks=(WORKER,), longest_s=15)[1] == 1
    assert _content(workspace) == clean


def _drill(
    workspace: Workspace,
    *arguments: str,
    kills: int,
    marks: Sequence[str] = (WORKER, BUCKET),
    longest_s: float = 0.2,
) -> tuple[int, int]:
    """Kill workers, some after they began, some after their first bucket did; the last one comes to
    its end. Returns how many buckets were begun, and the kills.
    """
    home, rng = workspace.settings.home, random.Random()
    command = [sys.executable, "-m", "tests.features.child_plan", str(home), *arguments]
    ended: list[int] = []
    mark = rng.choice(marks)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        for line in child.stdout:
            if line.startswith(ENDED):
                ended.append(int(line.removeprefix(ENDED)))
                mark = rng.choice(marks)
            elif line.startswith(mark) and len(ended) < kills:
                _kill(int(line.removeprefix(mark)), rng.uniform(0, longest_s))
    assert child.returncode == 0
    assert ended == [signal.SIGKILL] * (len(ended) - 1) + [0]
    begun = home / "begun"
    return len(begun.read_text().splitlines()) if begun.exists() else 0, len(ended) - 1


def _kill(worker: int, after_s: float) -> None:
    def kill() -> None:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)

    threading.Timer(after_s, kill).start()
