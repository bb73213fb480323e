"""The same rows twice, shuffled, late, corrected, and the process killed: one final state."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.tables import Tables
from cluster.workspace import Workspace
from features import ingest, log
from features.ingest import run, strip
from features.ingest.land import Landing
from features.known import KnownIds
from tests.drills import mostly

START = datetime(2025, 3, 1)  # noqa: DTZ001 - of times without a zone in a file
WEB = ("id", "what", "account", "email", "contact", "seconds", "page", "happened", "learnt")
CRM = ("id", "stage", "account", "amount", "happened", "learnt")
WHAT = ("web_visit", "pricing_visit", "email_opened", "form_submitted")
STAGES = ("Discovery", "Proposal made", "Negotiation")
SHARDS = 50  # of the online store that are compared
DUPLICATES, CORRECTED, BAD, LATE = 0.2, 0.01, 0.02, 0.15
MOST_LATE_DAYS = 30
LONGEST_S = 0.8  # until a kill

type State = Callable[[Workspace, list[str]], dict[str, str]]
type Take = Callable[[Workspace, ingest.Source], ingest.Ingested]


def _event(kind: str, name: object, **more: object) -> dict[str, object]:
    times = {"event_time": {"column": "happened"}, "known_at": {"column": "learnt"}}
    return {"kind": kind, "name": name, **times, **more}


MAPPING: dict[str, Any] = {
    "source": "export",
    "files": [
        {
            "file": "web-*.csv",
            "row_key": "id",
            "people": [
                {
                    "key": "email",
                    "namespace": "e-mail",
                    "fields": {"email": "email", "name": "contact"},
                }
            ],
            "events": [
                _event(
                    "touch",
                    {"column": "what"},
                    keys={"account": "account", "person": "email"},
                    number={"column": "seconds"},
                    text="page",
                )
            ],
        },
        {
            "file": "crm-*.csv",
            "row_key": "id",
            "events": [
                _event(
                    "opportunity",
                    "created",
                    keys={"account": "account", "opportunity": "id"},
                    number={"column": "amount", "times": 100},
                ),
                _event(
                    "stage",
                    {"column": "stage", "snake": True},
                    keys={"account": "account", "opportunity": "id"},
                ),
            ],
        },
    ],
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One version of a row of an export."""

    file: str  # web or crm
    cells: dict[str, str]
    known: datetime
    is_good: bool = True

    @property
    def line(self) -> str:
        """The row as delimited text."""
        return ",".join(self.cells.values())

    @property
    def events(self) -> int:
        """How many events the row holds."""
        return 1 if self.file == "web" else 2


def _company(rng: np.random.Generator, events: int) -> list[Row]:
    """Return rows that hold so many events, the versions of one row behind one another."""
    rows: list[Row] = []
    for number in range(events):
        made = _crm(rng, number) if number % 10 == 0 else _web(rng, number)
        rows += _versions(rng, made)
    return rows


def _web(rng: np.random.Generator, number: int) -> Row:
    person = int(rng.integers(0, 2000))
    happened, learnt = _times(rng)
    account = "" if rng.random() < 0.1 else f"account-{person % 400}"
    whom = {"email": f"person{person}@mail.example", "contact": f"Pia Person{person}"}
    cells = {
        "id": f"w{number}",
        "what": WHAT[int(rng.integers(0, 4))],
        "account": account,
        **whom,
        "seconds": str(int(rng.integers(0, 900))),
        "page": f"/p/{int(rng.integers(0, 40))}",
        "happened": happened.isoformat(" "),
        "learnt": learnt.isoformat(" "),
    }
    if rng.random() >= BAD:
        return Row(file="web", cells=cells, known=learnt)
    wrong = [
        {"seconds": "-5"},
        {"seconds": "ten"},
        {"what": "web_vist"},
        {"happened": "1970-01-01"},
    ]
    broken = {**cells, **wrong[int(rng.integers(0, len(wrong)))]}
    return Row(file="web", cells=broken, known=learnt, is_good=False)


def _crm(rng: np.random.Generator, number: int) -> Row:
    happened, learnt = _times(rng)
    cells = {
        "id": f"d{number}",
        "stage": STAGES[int(rng.integers(0, 3))],
        "account": f"account-{int(rng.integers(0, 400))}",
        "amount": f"{int(rng.integers(0, 10**7)) / 100:.2f}",
        "happened": happened.isoformat(" "),
        "learnt": learnt.isoformat(" "),
    }
    return Row(file="crm", cells=cells, known=learnt)


def _times(rng: np.random.Generator) -> tuple[datetime, datetime]:
    happened = START + timedelta(seconds=int(rng.integers(0, 180 * 86_400)))
    late = MOST_LATE_DAYS * 86_400 if rng.random() < LATE else 3600
    return happened, happened + timedelta(seconds=int(rng.integers(1, late)))


def _versions(rng: np.random.Generator, row: Row) -> Iterator[Row]:
    """Yield a row and its corrections, half of which name another account, some the first again."""
    yield row
    if not row.is_good or rng.random() >= CORRECTED:
        return
    column = "account" if rng.random() < 0.5 else "page" if row.file == "web" else "amount"
    other = f"account-{int(rng.integers(400, 500))}" if column == "account" else "77"
    changes = [other, row.cells[column]][: 1 + (rng.random() < 0.3)]
    for place, value in enumerate(changes, start=1):
        known = row.known + timedelta(days=place, seconds=int(rng.integers(1, 80_000)))
        cells = {**row.cells, column: value, "learnt": known.isoformat(" ")}
        yield replace(row, cells=cells, known=known)


def _write(folder: Path, rows: list[Row], files: int, prefix: str = "") -> Path:
    """Spread rows over files, each kind over its own."""
    folder.mkdir(parents=True)
    for kind, header in (("web", WEB), ("crm", CRM)):
        lines = [row.line for row in rows if row.file == kind]
        for number in range(files):
            text = "\n".join([",".join(header), *lines[number::files], ""])
            (folder / f"{kind}-{prefix}{number}.csv").write_text(text)
    return folder


@dataclass(frozen=True, kw_only=True)
class Export:
    """The same history twice: as it came, and clean."""

    messy: Path
    replayed: Path  # the same under other names
    clean: Path
    rows: list[Row]
    lines: list[Row]  # the rows of the messy one

    @property
    def shards(self) -> list[str]:
        """Some accounts to ask the online store for."""
        accounts = sorted({row.cells["account"] for row in self.rows} - {""})
        return random.Random(0).sample(accounts, min(SHARDS, len(accounts)))

    def count(self, rows: list[Row], is_good: bool) -> int:
        """How many events the good or the bad ones of some rows hold."""
        return sum(row.events for row in rows if row.is_good == is_good)

    def accounts(self) -> list[dict[str, int]]:
        """What the three runs must say: the first, its replay, and the first again."""
        good, bad = (self.count(self.lines, is_good=flag) for flag in (True, False))
        new = self.count(self.rows, is_good=True)
        first = {"read": good + bad, "added": new, "known": good - new, "quarantined": bad}
        return [first, {**first, "added": 0, "known": good}, first]

    def marks(self, workspace: Workspace) -> list[tuple[str, str, int]]:
        """The marks that there must be: in every shard that a row has left, one per version."""
        homes = _homes(self.rows, workspace)
        found, left = [], dict[str, list[str]]()
        for row, home in zip(self.rows, homes, strict=True):
            before = left.setdefault(row.cells["id"], [])
            moment = round(row.known.replace(tzinfo=UTC).timestamp()) * 1_000_000
            marks = [(row.cells["id"], old, moment) for old in before if old != home]
            found += marks * row.events
            before += [home] * (home not in before)
        return sorted(found)


def _homes(rows: list[Row], workspace: Workspace) -> list[str]:
    """Return the shard of each row: its account, else its person."""
    people = workspace.vault.pseudonyms("e-mail", pa.array([r.cells.get("email") for r in rows]))
    accounts = [row.cells["account"] for row in rows]
    return [home or person for home, person in zip(accounts, people.to_pylist(), strict=True)]


def _export(folder: Path, seed: int, events: int, files: int) -> Export:
    rng = np.random.default_rng(seed)
    rows = _company(rng, events)
    doubled = rng.choice(len(rows), round(len(rows) * DUPLICATES / (1 - DUPLICATES)))
    lines = [*rows, *(rows[place] for place in doubled.tolist())]
    shuffled = [lines[place] for place in rng.permutation(len(lines)).tolist()]
    return Export(
        messy=_write(folder / "messy", shuffled, files),
        replayed=_write(folder / "replayed", shuffled, files, "again-"),
        clean=_write(folder / "clean", sorted(rows, key=lambda row: row.known), 1),
        rows=rows,
        lines=shuffled,
    )


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """A small export, for the mutants."""
    return _export(tmp_path / "export", 5, 800, 1)


@pytest.fixture
def judged(
    opened: Callable[[str], Workspace], source: Callable[..., ingest.Source], take_in: Take,
    state: State, marks: Callable[[Workspace], list[tuple[str, str, int]]],
) -> Callable[[str, Export], set[str]]:  # fmt: skip
    """Return a function that tells what of a workspace differs from the clean run of an export."""

    def differences(name: str, export: Export) -> set[str]:
        clean = opened(f"clean of {name}")
        if not clean.tables.exists(log.TABLE):
            counts = take_in(clean, source(MAPPING, export.clean)).counts
            assert counts.added == export.count(export.rows, is_good=True)
        there, meant = (state(w, export.shards) for w in (opened(name), clean))
        found = [(key.rpartition(":")[2], *rest) for key, *rest in marks(opened(name))]
        wrong = {"marks"} if sorted(found) != export.marks(clean) else set()
        return wrong | {part for part in meant if there[part] != meant[part]}

    return differences


@pytest.mark.parametrize(
    ("events", "files", "kills", "strip_bytes"),
    [
        pytest.param(4_000, 2, 1, 1 << 18, id="short"),
        pytest.param(100_000, 5, 20, 1 << 18, id="long", marks=pytest.mark.drill),
    ],
)
def test_a_killed_and_replayed_ingestion_ends_in_the_state_of_a_clean_one(
    opened: Callable[[str], Workspace], judged: Callable[[str, Export], set[str]],
    children: Callable[[int], list[Any]], source: Callable[..., ingest.Source],
    tell: Callable[[str], None], tmp_path: Path,
    events: int, files: int, kills: int, strip_bytes: int,
) -> None:  # fmt: skip
    """Every finished run accounts for each row, and nothing is lost, doubled or left unmarked."""
    seed, [child] = random.SystemRandom().randrange(10**6), children(1)
    export = _export(tmp_path / "export", seed, events, files)
    source(MAPPING, export.messy)
    workspace, ways = opened("killed"), {"home": str(opened("killed").settings.home)}
    ways |= {"mapping": str(tmp_path / "export.yaml"), "strip_bytes": strip_bytes}
    told, killed, runs = _killed(child, ways, export, random.Random(seed), kills)
    differences = judged("killed", export)
    tell(
        f"T24: {events:,} events in {2 * files} files, seed {seed}; {killed} kills in {runs} runs; "
        f"{len(export.marks(workspace))} marks; finished runs: {told}; "
        f"differs from the clean run in: {sorted(differences) or 'nothing'}"
    )
    assert (killed, told, differences) == (kills, export.accounts(), set())


def _killed(
    child: Any, ways: dict[str, Any], export: Export, rng: random.Random, kills: int
) -> tuple[list[dict[str, int]], int, int]:
    """Ingest, replay under other names, replay as it was; kill while there are kills left.

    Returns the counts of the runs that finished, the kills and the runs.
    """
    told: list[dict[str, int]] = []
    killed, runs = 0, 0
    for folder in (export.messy, export.replayed, export.messy):
        counts = None
        while counts is None:
            child.start("source", folder=str(folder), **ways)
            runs += 1
            counts = child.kill(rng.uniform(0, LONGEST_S)) if killed < kills else child.finish()
            killed += counts is None
        told.append(counts)
    return told, killed, runs


@pytest.mark.drill
def test_duplicates_that_are_not_looked_for_change_the_state(
    opened: Callable[[str], Workspace], judged: Callable[[str, Export], set[str]],
    source: Callable[..., ingest.Source], take_in: Take, export: Export,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Mutant: every row is new. With the defence the same run is clean."""
    what = source(MAPPING, export.messy)
    take_in(opened("honest"), what)
    monkeypatch.setattr(KnownIds, "add", _all_new)
    take_in(opened("mutant"), what)
    monkeypatch.undo()
    assert judged("honest", export) == set()
    assert {"log", "quarantine"} <= judged("mutant", export)


@pytest.mark.drill
def test_strips_on_record_and_ids_together_keep_a_rerun_from_doubling(
    opened: Callable[[str], Workspace], judged: Callable[[str, Export], set[str]],
    source: Callable[..., ingest.Source], take_in: Take, export: Export,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Mutant: a rerun that heeds neither. One of the two is enough."""
    what = source(MAPPING, export.messy)
    for name, faults in (("one", ["_landed"]), ("both", ["_landed", "add"])):
        take_in(opened(name), what)
        with monkeypatch.context() as patch:
            patch.setattr(run, "_landed", lambda summaries: {})
            if "add" in faults:
                patch.setattr(KnownIds, "add", _all_new)
            take_in(opened(name), what)
    assert judged("one", export) == set()
    assert "log" in judged("both", export)


def _all_new(ids: KnownIds, row: np.ndarray, content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(len(row), bool), np.zeros(len(row), bool)


@pytest.mark.parametrize("fault", mostly(["none", "not looking", "not comparing"], 2))
def test_an_ingestion_that_is_overtaken_looks_at_what_the_other_added(
    opened: Callable[[str], Workspace], judged: Callable[[str, Export], set[str]],
    source: Callable[..., ingest.Source], take_in: Take, export: Export,
    monkeypatch: pytest.MonkeyPatch, fault: str,
) -> None:  # fmt: skip
    """The other ingests the same rows between our look and our commit. Mutants: landing without
    a look at what it added, and a commit whatever came meanwhile.
    """
    workspace, commit = opened("overtaken"), Tables.commit_after

    def overtaken(tables: Tables, name: str, *arguments: Any, **named: Any) -> int | None:
        if name != log.TABLE:
            return commit(tables, name, *arguments, **named)
        monkeypatch.setattr(Tables, "commit_after", commit)
        take_in(workspace, source(MAPPING, export.replayed))
        if fault == "not comparing":
            named["head"] = tables.head(name)
            monkeypatch.setattr(Tables, "commit_after", _whatever_came)
        return Tables.commit_after(tables, name, *arguments, **named)

    if fault == "not looking":
        monkeypatch.setattr(Landing, "_without", lambda self, files, head: (files, 0, _NOBODY))
    monkeypatch.setattr(Tables, "commit_after", overtaken)
    counts = take_in(workspace, source(MAPPING, export.messy)).counts
    monkeypatch.undo()
    assert counts.read == counts.added + counts.known + counts.quarantined
    assert ("log" in judged("overtaken", export)) == (fault != "none")


_NOBODY = np.empty(0, np.uint64)


def _whatever_came(tables: Tables, name: str, files: Any, **said: Any) -> int | None:
    return tables.commit(name, files, properties=said["properties"])


def test_a_version_read_first_and_landed_last_is_marked_all_the_same(
    opened: Callable[[str], Workspace], source: Callable[..., ingest.Source], tmp_path: Path,
    marks: Callable[[Workspace], list[tuple[str, str, int]]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Two strips read side by side: only the reader of the second knows of two versions. Mutant:
    a landing that forgets what it was told of strips before.
    """
    first = _crm(np.random.default_rng(1), 0)
    moved = {**first.cells, "account": "other", "learnt": "2025-12-01 00:00:00"}
    later = replace(first, cells=moved, known=datetime(2025, 12, 1))  # noqa: DTZ001
    what = source(MAPPING, _write(tmp_path / "two", [later, first], 2))
    assert len(marks(_landed_out_of_order(opened("honest"), what))) == first.events
    monkeypatch.setattr(Landing, "_with_several", lambda self, files, versions: versions)
    assert not marks(_landed_out_of_order(opened("mutant"), what))


def _landed_out_of_order(workspace: Workspace, what: ingest.Source) -> Workspace:
    begun = run.begin(workspace, what)
    ids = strip.known(workspace, *begun.gates.pins)
    written = [(task, strip.write(workspace, task, ids)) for task in reversed(begun.todo)]
    for task, done in reversed(written):
        begun.land(task, done)
    return workspace
