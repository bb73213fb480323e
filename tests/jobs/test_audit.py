"""`python -m jobs.audit`: no change of a sealed journal stays hidden, and none is imagined."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cluster import chain, chains, sealing, signing
from cluster.errors import WrongUse
from cluster.settings import Settings
from cluster.workspace import Workspace
from jobs.audit import run, walks
from tests.commands import command
from tests.jobs import tampering

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TAMPERINGS, DRILL_TAMPERINGS = 300, 10_000
CLEAN, DRILL_CLEAN = 10, 100
BY_HASH = ("flip", "retype", "delete", "insert", "append", "swap", "duplicate", "respell")
BY_SEAL = ("truncate", "rewrite", "restore")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tampering.Sealed:
    """A sealed journal, to be copied."""
    return tampering.make(tmp_path_factory.mktemp("sealed") / "home", random.Random(7))


@pytest.fixture
def change(sealed: tampering.Sealed, tmp_path: Path) -> tampering.Tampering:
    """Changes of copies of it."""
    return tampering.Tampering(sealed, tmp_path / "home", random.Random(8))


def test_a_sealed_journal_is_found_whole(sealed: tampering.Sealed) -> None:
    found = tampering.audited(sealed)
    assert found.problems == ()
    assert (found.chains, found.entries, found.checkpoints) == (3, 45, 5)
    assert (found.newest or "").startswith("00000000/0000000005-")
    assert found.unsealed == 0


@pytest.mark.parametrize(
    "count",
    [TAMPERINGS, pytest.param(DRILL_TAMPERINGS, marks=pytest.mark.drill)],
    ids=["short", "long"],
)
def test_every_change_is_found_and_named(change: tampering.Tampering, count: int) -> None:
    missed = []
    ways = list(change.ways)
    for number in range(count):
        way = ways[number % len(ways)]
        expected = change.once(way)
        found = tampering.audited(change.there)
        if not expected.is_named(found):
            missed.append((way, expected, [str(problem) for problem in found.problems]))
    assert missed == []


@pytest.mark.parametrize("way", BY_SEAL)
def test_without_checkpoints_a_cut_and_a_rewritten_chain_pass(
    change: tampering.Tampering, way: str
) -> None:
    change.once(way)
    shutil.rmtree(change.there.home / "checkpoints")
    found = tampering.audited(change.there, with_key=False)
    assert found.problems == ()
    assert found.unsealed == found.entries
    assert tampering.audited(change.there).problems  # whoever kept the key knows there were some


def test_without_the_kept_key_a_forged_series_passes(change: tampering.Tampering) -> None:
    change.once("forge_checkpoint")
    assert tampering.audited(change.there, with_key=False).problems == ()
    assert "trusted key" in str(tampering.audited(change.there).problems[0])


@pytest.mark.parametrize("way", ["respell", "append"])
def test_without_the_hash_of_an_entry_a_change_passes(
    change: tampering.Tampering, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "_true_hash", lambda row: row.hash)
    change.once(way)
    assert tampering.audited(change.there).problems == ()


def test_without_the_signature_a_forged_checkpoint_passes(
    change: tampering.Tampering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing.PublicKey, "holds", lambda *_: True)
    change.once("forge_checkpoint")
    kept = signing.read_public_keys(change.there.public_key)
    forger = next(
        key
        for key in sealing.open_store(change.there.settings.checkpoints).public_keys()
        if key not in kept
    )
    monkeypatch.setattr(signing, "read_public_keys", lambda _: {forger: next(iter(kept.values()))})
    assert tampering.audited(change.there).problems == ()


def test_a_checkpoint_between_two_is_missed_by_the_next(change: tampering.Tampering) -> None:
    change.once("delete_checkpoint")
    (found,) = tampering.audited(change.there).problems
    assert "the checkpoints that one follows must be there" in str(found)


@pytest.mark.parametrize(
    "count", [CLEAN, pytest.param(DRILL_CLEAN, marks=pytest.mark.drill)], ids=["short", "long"]
)
def test_nothing_is_imagined(tmp_path: Path, count: int) -> None:
    for number in range(count):
        made = tampering.make(tmp_path / f"{number}", random.Random(number), rounds=1 + number % 4)
        assert tampering.audited(made).problems == ()


def test_what_came_after_the_seal_is_counted(change: tampering.Tampering) -> None:
    shutil.copytree(change.original.home, change.there.home)
    with Workspace.open(change.there.settings, writer="new") as workspace:
        for _ in range(4):
            workspace.journal.record("k", {}, now=workspace.clock())
    found = tampering.audited(change.there)
    assert (found.problems, found.entries, found.unsealed) == ((), 49, 4)


def test_slices_find_what_one_walk_finds(
    change: tampering.Tampering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut inside chains and between them; here in this process, one after another."""
    monkeypatch.setattr(walks, "SLICE", 4)
    monkeypatch.setattr(walks, "ProcessPoolExecutor", _Here)
    for number in range(120):
        change.once(BY_HASH[number % len(BY_HASH)])
        url = change.there.settings.database
        found = []
        for limit in (10**9, 0):
            monkeypatch.setattr(walks, "APART_FROM", limit)
            found.append(walks.verify(url, lambda *_: None))
        assert found[0] == found[1]


def test_large_journals_are_walked_by_processes(
    sealed: tampering.Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "SLICE", 20)
    alone = walks.verify(sealed.settings.database, lambda *_: None)
    monkeypatch.setattr(walks, "APART_FROM", 10)
    assert walks.verify(sealed.settings.database, lambda *_: None) == alone


def test_the_database_is_not_written(change: tampering.Tampering) -> None:
    change.once("flip")
    change.there.file.chmod(0o400)
    before = change.there.file.read_bytes()
    tampering.audited(change.there)
    assert change.there.file.read_bytes() == before
    with (
        chains.open_chains(change.there.settings.database) as there,
        pytest.raises(Exception, match=r"readonly|read-only"),
    ):
        there._rows("DELETE FROM journal", ())


def test_an_older_schema_is_audited_as_it_is(change: tampering.Tampering) -> None:
    """A job would upgrade it, which is a change that nobody asked the auditor for."""
    change.once("respell")
    with closing(sqlite3.connect(change.there.file, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
    assert tampering.audited(change.there).problems
    with closing(sqlite3.connect(change.there.file)) as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("0003",)]


def test_the_command_names_the_record_and_ends_with_1(
    change: tampering.Tampering, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = change.once("respell")
    code = _called(monkeypatch, change.there.home, "verify", as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert code == 1
    (problem,) = said["figures"]["problems"]
    assert (problem["writer"], problem["seq"]) == (expected.writer, expected.seq)
    assert problem["id"]
    assert _called(monkeypatch, change.there.home, "verify") == 1
    words = capsys.readouterr()
    assert f"writer '{expected.writer}' seq {expected.seq}, id '" in words.err


def test_the_command_seals_lists_and_verifies(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workspace.open(settings) as workspace:
        workspace.journal.record("k", {}, now=workspace.clock())
    assert _called(monkeypatch, settings.home, "verify") == 0
    assert "nothing is sealed" in capsys.readouterr().out
    assert _called(monkeypatch, settings.home, "seal") == 0
    assert "checkpoint 1 seals 1 entries" in capsys.readouterr().out
    assert _called(monkeypatch, settings.home, "list") == 0
    assert "read    checkpoints 1" in capsys.readouterr().out
    assert _called(monkeypatch, settings.home, "verify") == 0
    assert "0 entries are not yet sealed" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["seal", "look"])
def test_what_no_action_takes_is_wrong_use(settings: Settings, tmp_path: Path, action: str) -> None:
    with pytest.raises(WrongUse):
        run.told(action, settings, tmp_path / "key.pem", as_json=False)


def test_without_a_database_it_is_one_line(tmp_path: Path) -> None:
    done = command(Settings(home=tmp_path), "jobs.audit", "verify")
    assert done.returncode == 1
    assert "the journal must be readable" in done.stderr
    assert not list(tmp_path.iterdir())


class _Here:
    """Runs in this process what a pool of processes would."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *given: Any) -> _Done:
        return _Done(work(*given))

    def shutdown(self, **_: Any) -> None:
        pass


class _Done:
    def __init__(self, outcome: Any) -> None:
        self.result = lambda: outcome


def _called(
    monkeypatch: pytest.MonkeyPatch, home: Path, action: str, *, as_json: bool = False
) -> int:
    monkeypatch.setenv("FUNNELCAST_HOME", str(home))
    with pytest.raises(SystemExit) as ended:
        run.main(action, None, as_json)
    return int(ended.value.code or 0)
