"""`python -m jobs.retain`: all that is due goes from every file, nothing else does, holds win."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from cluster import purge
from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from cluster.workspace import Workspace
from features import ingest, log, online
from features.contracts import load_contracts
from features.ingest import quarantine
from features.removal import due, remove
from features.removal.terms import Retention, load_retention
from jobs.console import perform
from jobs.retain import run as retention
from jobs.retain.run import HoldRefused, RetainSettings
from serving import batch
from tests.commands import command
from tests.drills import mostly
from tests.postgresql import rows_on_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.settings import Settings

THEN = datetime(2026, 1, 10, 12, tzinfo=UTC)
LATER = THEN + timedelta(days=400)
WHY = {"actor": "ada", "reason": "the yearly round"}
TERMS = Retention(events={"touch": 365, "lead": None}, quarantine=180, scores=200, identities=380)
DAY = timedelta(days=1)

type Opened = Callable[[datetime], Workspace]


@pytest.fixture(params=mostly(["sqlite", "postgresql"]))
def place(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings of an empty workspace, on either database."""
    if request.param == "sqlite":
        return settings
    url = SecretStr(request.getfixturevalue("postgresql_url"))
    return settings.model_copy(update={"database_url": url})


@pytest.fixture
def opened(place: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Return a function that opens the workspace at a moment; terms are TERMS."""
    monkeypatch.setattr(retention, "load_retention", lambda: TERMS)
    made: list[Workspace] = []

    def at(moment: datetime) -> Workspace:
        made.append(Workspace.open(place, clock=lambda: moment))
        return made[-1]

    yield at
    for workspace in made:
        workspace.close()


def _event(n: int, days: float, kind: str = "touch", **more: Any) -> dict[str, Any]:
    """Return an event of `days` before THEN."""
    when = THEN - days * DAY
    said = {"source": "s", "row_key": f"r{n}", "kind": kind, "event_time": when, "known_at": when}
    name = {"touch": "web_visit", "lead": "created"}[kind]
    keys = {"lead": f"lead-{n}", "account": f"account-{n}"}
    return {**said, "name": name, **keys, "text": f"canary-{n}-of-{kind}", **more}


def _ingest(workspace: Workspace, *rows: dict[str, Any]) -> None:
    table = pa.Table.from_pylist(list(rows), schema=log.CANDIDATE)
    ingest.ingest(workspace, load_contracts(CONFIGS / "contracts"), table)


def _do(workspace: Workspace, action: str, **given: Any) -> dict[str, Any]:
    settings = RetainSettings(action=action, **given)
    return perform(retention.JOB, settings, workspace, lambda *_: None).report


def _rows(workspace: Workspace) -> set[str]:
    return set(workspace.tables.read(log.TABLE)["row_key"].to_pylist())


def _bytes(workspace: Workspace) -> bytes:
    """Return every file of the workspace, Parquet and Arrow unpacked as well, and every row of a
    database on a server.
    """
    from tests.acceptance.test_ingest_canaries import _all_of

    held = b"\n".join(rows_on_server(workspace.database))
    return _all_of([workspace.settings.home])[0] + held


AGES = {1: -100.0, 2: -34.0, 3: -36.0, 4: 10.0}  # days before THEN; LATER is 400 days after


@pytest.fixture
def filled(opened: Opened) -> Workspace:
    """Return a workspace with events of several ages, one of them in the tail, LATER."""
    workspace = opened(THEN + 200 * DAY)
    for n, days in AGES.items():
        _ingest(workspace, _event(n, days))
    _ingest(workspace, _event(5, 20.0, "lead"), _event(6, -60.0, number=7))
    return opened(LATER)


def test_all_that_is_due_goes_and_nothing_else(filled: Workspace) -> None:
    """365 days before LATER is 35 days after THEN; no byte is left in any file; again nothing."""
    assert _do(filled, "plan")["figures"]["due"]["events of kind touch"] == 2
    assert len(_rows(filled)) == 6
    done = _do(filled, "run", **WHY)
    assert done["figures"]["removed"]["events of kind touch"] == 2
    assert _rows(filled) == {"r1", "r3", "r5", "r6"}
    data = _bytes(filled)
    for n, kind in ((2, "touch"), (4, "touch")):
        assert f"canary-{n}-of-{kind}".encode() not in data
    for n, kind in ((1, "touch"), (3, "touch"), (5, "lead"), (6, "touch")):
        assert f"canary-{n}-of-{kind}".encode() in data
    store = online.OnlineStore(filled)
    assert store.shard_of("lead", "lead-2") is store.shard_of("lead", "lead-4") is None
    assert store.events("account-1")["row_key"].to_pylist() == ["r1"]
    again = _do(filled, "run", **WHY)
    assert again["wrote"]["removed"] == 0
    assert filled.tables.head(log.TABLE) == _head_after(filled)
    assert filled.journal.verify()
    entries = [e for kind in ("begun", "done") for e in filled.journal.entries(f"retention.{kind}")]
    assert [e.body["actor"] for e in entries] == ["ada"] * 4


def _head_after(workspace: Workspace) -> int | None:
    [only] = workspace.tables.history(log.TABLE)
    return only.snapshot


@pytest.mark.parametrize("over", mostly(["account", "lead", "subject"]))
def test_a_hold_wins_until_it_is_lifted(filled: Workspace, over: str) -> None:
    """And is on record: who placed it, who lifted it, and why."""
    who = "pbbbbbbbbbbbbbbbbbbbbbbbbbb"
    _ingest(filled, _event(7, 50.0, person=who), _event(8, 60.0, lead="lead-7", account="x"))
    key = {"account": "account-7", "lead": "lead-7", "subject": who}[over]
    _do(filled, "hold", name="case 12", **{over: key}, **WHY)
    with pytest.raises(HoldRefused, match="'case 12' again"):
        _do(filled, "hold", name="case 12", lead="other", **WHY)
    held = {"account": {"r7"}, "lead": {"r7", "r8"}, "subject": {"r7", "r8"}}[over]
    done = _do(filled, "run", **WHY)
    assert done["figures"]["held"]["events of kind touch"] == len(held)
    assert _rows(filled) == {"r1", "r3", "r5", "r6"} | held
    [placed] = filled.journal.entries("hold.placed")
    assert (placed.body["key"], placed.body["reason"]) == (key, WHY["reason"])
    _do(filled, "lift", name="case 12", **WHY)
    assert _do(filled, "holds")["figures"]["holds"] == []
    _do(filled, "run", **WHY)
    assert _rows(filled) == {"r1", "r3", "r5", "r6"}
    with pytest.raises(HoldRefused, match="none called"):
        _do(filled, "lift", name="case 12", **WHY)


def test_versions_of_a_row_go_together(opened: Opened) -> None:
    """A row that was corrected is as old as it says now: neither version comes back alone."""
    workspace = opened(THEN)
    first, other = _event(1, 300.0), _event(2, 10.0)
    known = {"known_at": THEN}
    moved = {**first, "event_time": THEN, **known, "account": "elsewhere"}
    back = {**other, "event_time": THEN - 400 * DAY, **known}
    _ingest(workspace, first, other)
    _ingest(workspace, moved, back)
    later = opened(THEN + 100 * DAY)  # of `first` 400 days have gone, of what it says now 100
    _do(later, "run", **WHY)
    rows = later.tables.read(log.TABLE)
    kinds = sorted(zip(rows["row_key"].to_pylist(), rows["kind"].to_pylist(), strict=True))
    assert kinds == [("r1", "retraction"), ("r1", "touch"), ("r1", "touch")]


def test_other_classes_have_their_terms(opened: Opened) -> None:
    """Quarantine, scores and identities: what is younger stays, and what is held."""
    workspace = opened(THEN)
    person = workspace.vault.pseudonyms("e-mail", pa.array(["a@b.example", "c@d.example"]))
    rows = {"subject": person, "field": ["name", "name"], "value": ["Ann", "Cyd"]}
    workspace.vault.keep(pa.table(rows), THEN)
    _ingest(workspace, _event(1, 5.0, name="no such"), _event(2, 100.0, person=person[0].as_py()))
    table = "scores_x"
    workspace.tables.create(table, batch.SCHEMA)
    for _ in range(3):
        workspace.tables.append(table, batch.SCHEMA.empty_table())
    workspace.tables.create("other", batch.SCHEMA)
    assert workspace.tables.read(quarantine.TABLE).num_rows == 1
    later = opened(datetime.now(UTC) + timedelta(days=1) + 400 * DAY)
    head = later.tables.head(table)
    done = _do(later, "run", **WHY)["figures"]["removed"]
    assert done["quarantine"] == 1
    assert done[f"snapshots of {table}"] == 2
    assert done["identities of persons"] == 2 - (later.clock() - THEN + 0 * DAY < 480 * DAY)
    assert later.tables.read(quarantine.TABLE).num_rows == 0
    assert [c.snapshot for c in later.tables.history(table)] == [head]


@pytest.mark.parametrize("at", mostly(["commit", "rebuild", "expiry", "deletion"]))
def test_a_run_that_was_killed_is_ended_by_the_next(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Whatever was done: afterwards no byte of what was due is left."""
    place = {
        "commit": (remove, "end"),
        "rebuild": (remove.follower, "rebuild"),
        "expiry": (purge.upkeep, "give_up"),
        "deletion": (purge, "_delete"),
    }[at]

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(*place, killed)
    with pytest.raises(KeyboardInterrupt):
        _do(filled, "run", **WHY)
    monkeypatch.undo()
    monkeypatch.setattr(retention, "load_retention", lambda: TERMS)
    _do(filled, "run", **WHY)
    assert _rows(filled) == {"r1", "r3", "r5", "r6"}
    assert b"canary-2-of" not in _bytes(filled)
    assert not purge.is_due(filled, log.TABLE)


MUTANTS = {
    "files stay": (purge, "_delete", lambda *_: None),
    "snapshots stay": (purge, "purge", lambda *_: 0),
    "the online store stays": (remove, "_drop", lambda *_: None),
    "the database stays": (remove, "scrub", lambda *_: None),
}


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)  # whose files are looked into
@pytest.mark.parametrize("mutant", mostly(MUTANTS))
def test_without_a_step_bytes_are_left(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    """Mutants: each of the steps is needed."""
    monkeypatch.setattr(*MUTANTS[mutant])
    _do(filled, "run", **WHY)
    assert b"canary-2-of" in _bytes(filled)


def test_holds_off_would_be_noticed(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: what is held is not looked at."""
    _do(filled, "hold", name="case", lead="lead-2", **WHY)
    monkeypatch.setattr(
        "features.removal.holds.Holds.of_rows", lambda self, rows: due.np.zeros(len(rows), bool)
    )
    _do(filled, "run", **WHY)
    assert "r2" not in _rows(filled)


def test_terms_are_configuration_of_kinds_that_there_are() -> None:
    kinds = {path.stem for path in (CONFIGS / "contracts").glob("*.yaml")}
    assert set(load_retention().events) <= kinds


def test_wrong_use_is_told(settings: Settings) -> None:
    """On one line; from the command line with exit code 2."""
    with pytest.raises(WrongUse, match="--actor"):
        RetainSettings(action="run")
    with pytest.raises(WrongUse, match="one of --subject"):
        RetainSettings(action="hold", name="x", **WHY)
    done = command(settings, "jobs.retain", "run")
    assert done.returncode == 2
    assert "run must have --actor" in done.stderr + done.stdout
    assert not Path(settings.home, "tables").exists()
