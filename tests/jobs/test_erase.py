"""`python -m jobs.erase`: no byte of the erased is left in any file, the kept are whole.

Persons with a name, an address, a number and a sentence of their own come in by a real export, are
scored and decided on; half of them are erased.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from cluster import schema, shredding
from cluster.errors import WrongUse
from cluster.settings import CONFIGS, LogSettings, Settings
from cluster.vault import Vault
from cluster.workspace import Workspace
from features import ingest, log, online
from features.contracts import load_contracts
from features.ingest import quarantine
from features.removal import erasure, remove
from features.sources.mapping import SourceMapping
from jobs.console import perform
from jobs.erase import run as erasing
from jobs.erase.run import EraseSettings, SubjectsHeld
from jobs.report import run as reporting
from jobs.report.run import ReportSettings
from jobs.retain import run as retention
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.slots.slot import Answer
from tests.acceptance.test_ingest_canaries import MAPPING, WRONG, Scanner, _contents, _forms
from tests.commands import command
from tests.drills import mostly
from tests.jobs import scoring as shared
from tests.jobs.scoring import THEN
from tests.postgresql import rows_on_server

WHY = {"actor": "ada", "reason": "they asked for it"}
SHORT, LONG = 20, 200
HEADER = ("id", "what", "account", "seconds", "page", "at", "contact", "email", "phone", "street",
          "note")  # fmt: skip

type Row = dict[str, str]


def _people(count: int, at: datetime) -> list[Row]:
    """Return rows of persons; some rows are refused with their cells, all have a sentence."""
    rng, rows = random.Random(count), []
    for n in range(count):
        word, mail, said = ("".join(rng.choices("abcdefghjkmnpqrstuvwxyz", k=12)) for _ in "123")
        row = {
            "id": f"canary-lead-{n}", "what": "web_visit", "account": f"canary-account-{n}",
            "seconds": "60", "page": "/pricing", "at": f"{at:%Y-%m-%d %H:%M:%S}",
            "contact": f"{word[:6].title()} {word[6:].title()}", "email": f"{mail}@mail.example",
            "phone": f"+49 30 {rng.randrange(10**7, 10**8)}", "street": f"{said.title()} way {n}",
            "note": f"wants {said} by Friday",
        }  # fmt: skip
        rows.append(row)
    return rows


def _spoilt(rows: list[Row]) -> list[Row]:
    """Return rows that are refused: a value of somebody's stands where none may."""
    found = []
    for n, row in enumerate(rows[::3]):
        column, value = WRONG[n % len(WRONG)]
        bad = row | {"id": f"bad-{row['id']}", column: row[value]}
        nobodys = {"email": "", "note": ""}  # a sentence of nobody could be tied to nobody
        found.append(bad | (nobodys if n % 4 > 1 else {}))
    return found


@dataclass
class World:
    """A workspace with persons in it, and what is known of them."""

    workspace: Workspace
    rows: list[Row]
    decisions: dict[str, str]  # id by lead
    wrapped: dict[str, bytes]  # key of each subject, as it lay in the database

    def subject(self, row: Row) -> str:
        """The pseudonym of a person."""
        found: str = self.workspace.vault.pseudonyms("e-mail", pa.array([row["email"]]))[0].as_py()
        return found

    def canaries(self, row: Row) -> list[str]:
        """What must not be found again."""
        return [row["contact"], row["email"], row["phone"], row["street"], row["note"][6:18]]


def _wanted(world: World, rows: list[Row]) -> dict[bytes, str]:
    wanted: dict[bytes, str] = {}
    for row in rows:
        for canary in world.canaries(row):
            wanted |= dict.fromkeys(_more_forms(canary), row["id"])
        key = world.wrapped[world.subject(row)]
        wanted |= dict.fromkeys((key, key.hex().encode(), base64.b64encode(key)), row["id"])
        from cluster import envelope

        plain = envelope.unwrap(world.workspace.vault._master, key)
        wanted |= dict.fromkeys((plain, plain.hex().encode(), base64.b64encode(plain)), row["id"])
    return wanted


def _more_forms(canary: str) -> Iterator[bytes]:
    yield from _forms(canary)
    for text in {canary, canary.lower()}:
        for kind in ("sha256", "md5", "sha1"):
            digest = hashlib.new(kind, text.encode()).digest()
            yield from (digest, digest.hex().encode(), base64.b64encode(digest))


def _found(world: World, rows: list[Row]) -> set[str]:
    """Return of whom anything is found in any file, or in what the vault still opens."""
    scanner, home = Scanner(_wanted(world, rows)), world.workspace.settings.home
    files = sorted(path for path in home.rglob("*") if path.is_file())
    parts = [part for file in files for part in _parts(file)]
    parts += rows_on_server(world.workspace.database)
    held = world.workspace.tables.read(quarantine.TABLE)
    opened = quarantine.opened(world.workspace.vault, held)
    return scanner.found(b"\n".join([*parts, *(json.dumps(row).encode() for row in opened)]))


def _parts(file: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and every text that is in it once it is decoded."""
    data = file.read_bytes()
    if not data.startswith((b"PAR1", b"ARROW1")):
        yield from _contents(file)
        return
    yield data
    table = pq.read_table(file) if data[:4] == b"PAR1" else pa.ipc.open_file(data).read_all()
    for column in table.columns:
        if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
            texts = column.unique().to_pylist()
            yield from (t if isinstance(t, bytes) else str(t).encode() for t in texts)


def _made(workspace: Workspace, folder: Path, count: int) -> World:
    """Take persons in by an export, score them, decide on some and write a report."""
    rows = _people(count, THEN - timedelta(days=2))
    folder.mkdir()
    company = shared.company(workspace, folder)
    company.append(shared.known(THEN))
    lines = [",".join(HEADER), *(",".join(r[n] for n in HEADER) for r in [*rows, *_spoilt(rows)])]
    (folder / "contacts.csv").write_text("\n".join(lines))
    what = ingest.Source(
        mapping=SourceMapping.model_validate(MAPPING),
        folder=folder,
        terms=load_contracts(CONFIGS / "contracts"),
    )
    ingest.source(workspace, what, "inline", lambda *_: None)
    company.train(company.look(THEN))
    company.score()
    service = DecisionService(workspace, _answers(folder))
    asked = {row["id"]: Question(kind="lead", key=row["id"], as_of=THEN) for row in rows[:6]}
    made = {id: service.decide(question, deadline_ms=5000) for id, question in asked.items()}
    service.close()
    shows = ReportSettings(targets=str(folder / "target.yaml"), top=count)
    perform(reporting.JOB, shows, workspace, lambda *_: None)
    decisions = {id: each.body["id"] for id, each in made.items() if isinstance(each, Answered)}
    assert len(decisions) == 6, made
    world = World(workspace=workspace, rows=rows, decisions=decisions, wrapped={})
    with workspace.database.connect() as connection:
        keys = connection.execute(
            sa.select(schema.subjects.c.subject, schema.subjects.c.wrapped_key)
        )
        world.wrapped = {subject: key for subject, key in keys if key is not None}
    return world


def _answers(folder: Path) -> dict[str, Answer]:
    return {"lead": Answer(target=str(folder / "target.yaml"), policy=str(folder / "policy.yaml"))}


def _folder(world: World) -> Path:
    return world.workspace.settings.home.parent / "export"


def _erase(world: World, rows: list[Row], **more: Any) -> dict[str, Any]:
    subjects = tuple(world.subject(row) for row in rows)
    settings = EraseSettings(subjects=subjects, **WHY, **more)
    return erasing.run(world.workspace, settings).as_dict()


@pytest.fixture(params=mostly(["sqlite", "postgresql"]))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return a small world with a few persons more."""
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
    with Workspace.open(_settings(tmp_path, url)) as opened:
        yield _made(opened, tmp_path / "export", SHORT)


def _settings(folder: Path, url: str | None = None) -> Settings:
    home = folder / "home"
    logs = LogSettings(file=home / "logs" / "service.jsonl")
    more: dict[str, Any] = {"database_url": SecretStr(url)} if url else {}
    return Settings(home=home, buckets=4, log=logs, **more)


def _check(world: World) -> None:
    """Erase every second person, and look everywhere."""
    gone, kept = world.rows[::2], world.rows[1::2]
    assert _found(world, gone) == {row["id"] for row in gone}  # sealed keys, sentences
    done = _erase(world, gone)
    reach = done["figures"]["reach"]
    assert (reach["keys"], reach["values"]) == (len(gone), 4 * len(gone))
    assert reach["events"] >= 3 * len(gone)
    assert _found(world, gone) == set()
    for row in kept:
        held = world.workspace.vault.identity(world.subject(row))
        assert held["name"] == [row["contact"]], row
        assert held["email"][0].casefold() == row["email"]
    store = online.OnlineStore(world.workspace)
    assert [store.shard_of("lead", row["id"]) is None for row in world.rows] == [True, False] * (
        len(world.rows) // 2
    )
    texts = world.workspace.tables.read(log.TABLE, columns=["text"])["text"].to_pylist()
    assert {row["note"] for row in kept} <= set(texts)
    assert world.workspace.journal.verify()
    again = _erase(world, gone)["figures"]["reach"]
    assert {name: n for name, n in again.items() if n} == {"subjects": len(gone)}
    assert world.workspace.journal.verify()


def test_nothing_of_the_erased_is_left(world: World) -> None:
    """The kept are whole, decisions stay, the chain verifies, a repeat changes nothing."""
    _check(world)
    service = DecisionService(world.workspace, _answers(_folder(world)))
    for n, row in enumerate(world.rows[:6]):
        body = service.recorded(world.decisions[row["id"]])
        assert body is not None
        assert bool(service.replayed(body).gone) == (n % 2 == 0)
    service.close()
    folder = _folder(world)
    what = ingest.Source(
        mapping=SourceMapping.model_validate(MAPPING), folder=folder,
        terms=load_contracts(CONFIGS / "contracts"),
    )  # fmt: skip
    ingest.source(world.workspace, what, "inline", lambda *_: None)
    assert _found(world, world.rows[::2]) == set(), "a replayed file must bring nobody back"


@pytest.mark.drill
def test_two_hundred_persons_of_whom_half_are_erased(tmp_path: Path) -> None:
    with Workspace.open(_settings(tmp_path)) as opened:
        _check(_made(opened, tmp_path / "export", LONG))


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "the log of the database stays": lambda patch: (
        patch.setattr(remove, "scrub", lambda database: None),
        patch.setattr(shredding, "scrub", lambda database: None),
    ),  # type: ignore[dict-item, return-value]
    "the key stays": lambda patch: patch.setattr(Vault, "destroy", lambda *given: True),
    "quarantine stays": lambda patch: patch.setattr(
        erasure, "_refused", lambda *given: quarantine.SCHEMA.empty_table()
    ),
    "the log stays": lambda patch: patch.setattr(
        erasure, "_events", lambda *given: (pa.array([], pa.binary(16)), [])
    ),
}


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("mutant", mostly(MUTANTS))
def test_without_a_step_something_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    """Mutants: each step is needed."""
    MUTANTS[mutant](monkeypatch)
    _erase(world, world.rows[::2])
    monkeypatch.undo()
    assert _found(world, world.rows[::2])


@pytest.mark.parametrize("over", mostly(["subject", "account", "lead"]))
def test_who_is_held_is_refused_by_the_name_of_the_hold(world: World, over: str) -> None:
    """Nobody of the request is erased then, 400 days later neither; once lifted all are."""
    first, second = world.rows[:2]
    key = {"subject": world.subject(first), "account": first["account"], "lead": first["id"]}[over]
    place = retention.RetainSettings(action="hold", name="case 7", **{over: key}, **WHY)
    perform(retention.JOB, place, world.workspace, lambda *_: None)
    with pytest.raises(SubjectsHeld, match="held by 'case 7'"):
        _erase(world, [first, second])
    assert world.workspace.vault.identity(world.subject(second))
    lift = retention.RetainSettings(action="lift", name="case 7", **WHY)
    perform(retention.JOB, lift, world.workspace, lambda *_: None)
    assert _erase(world, [first, second])["figures"]["reach"]["keys"] == 2


def test_values_come_by_standard_input_and_are_told_nobody(world: World) -> None:
    """As a user does it: the output and the journal name pseudonyms alone."""
    row = world.rows[0]
    given = ["--values", "-", "--namespace", "e-mail", "--json", "--actor", "ada"]
    placed = world.workspace.settings
    environ = {"FUNNELCAST_DATABASE_URL": placed.database} if placed.database_url else {}
    done = command(
        placed, "jobs.erase", *given, "--reason", "asked", said=f" {row['email'].upper()} \n\n",
        **environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["figures"]["subjects"] == [world.subject(row)]
    assert row["email"] not in (done.stdout + done.stderr).lower()
    [entry] = world.workspace.journal.entries(erasing.DONE)
    assert (entry.body["actor"], entry.body["subjects"]) == ("ada", [world.subject(row)])


def test_wrong_use_is_told() -> None:
    with pytest.raises(WrongUse, match="not on the command line"):
        EraseSettings(subjects=("ann@mail.example",), **WHY)
    with pytest.raises(WrongUse, match="got nobody"):
        EraseSettings(**WHY)
    with pytest.raises(WrongUse, match="--namespace"):
        EraseSettings(values=("x",), **WHY)
