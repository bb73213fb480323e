"""Bad rows of many kinds among good ones that look bad: all of the first in quarantine, none of the
second, and each corrected row in the log once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster import pseudonyms
from features import contracts, ingest, log
from features.contracts.check import FAMILIES
from features.ingest import quarantine
from features.sources import read
from features.sources.mapping import SourceMapping
from jobs import console
from jobs.quarantine.run import JOB as QUARANTINE
from jobs.quarantine.run import QuarantineSettings

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.sources.lot import Mapped

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COLUMNS = {
    "web": ("id", "kind", "name", "account", "email", "campaign", "number", "text", "at", "learnt"),
    "crm": ("id", "deal", "account", "amount", "currency", "day"),
    "app": ("id", "account", "name", "number", "text", "at"),
}
TIMES = {"event_time": {"column": "at"}, "known_at": {"column": "learnt"}}
DAY = {"column": "day", "format": "%m/%d/%Y"}
MAPPING: dict[str, Any] = {
    "source": "poisoned",
    "files": [
        {
            "file": "web-*.csv",
            "row_key": "id",
            "people": [{"key": "email", "namespace": "e-mail", "fields": {"email": "email"}}],
            "events": [
                {
                    "kind": {"column": "kind"},
                    "name": {"column": "name"},
                    **TIMES,
                    "keys": {"account": "account", "person": "email", "campaign": "campaign"},
                    "number": {"column": "number"},
                    "text": "text",
                }
            ],
        },
        {
            "file": "crm-*.csv",
            "row_key": "id",
            "events": [
                {
                    "kind": "opportunity",
                    "name": "amount_changed",
                    "event_time": DAY,
                    "known_at": {**DAY, "end_of_day": True},
                    "keys": {"opportunity": "deal", "account": "account"},
                    "number": {
                        "column": "amount",
                        "times": 100,
                        "currency": {"column": "currency", "accepted": ["USD"]},
                    },
                }
            ],
        },
        {
            "file": "app-*.jsonl",
            "row_key": "id",
            "events": [
                {
                    "kind": "usage",
                    "name": {"column": "name"},
                    "event_time": {"column": "at"},
                    "known_at": {"lag_hours": 1},
                    "keys": {"account": "account"},
                    "number": {"column": "number"},
                    "text": "text",
                }
            ],
        },
    ],
}
UNREADABLE = "a row must"
FITS, AT_TIME = "number is a number that fits", "event_time is a time of the form"
ONE_VALUE = "is no object or list"

type Cells = dict[str, Any]
type Spoil = Callable[[Cells], Cells | bytes]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of poison: of which file, what it does to a good row, and the rule that names it."""

    file: str
    spoil: Spoil
    rule: str


def _cell(**cells: object) -> Spoil:
    return lambda good: {**good, **cells}


def _line(change: Callable[[bytes], bytes]) -> Spoil:
    return lambda good: change(_text(good))


def _shifted(good: Cells) -> Cells:
    return dict(zip(good, ["", *list(good.values())[:-1]], strict=True))


WEB = {
    "wrong type": (_cell(number="ten"), FITS),
    "decimal comma": (_cell(number='"12,5"'), FITS),
    "thousands mark": (_cell(number="1 200"), FITS),
    "not a number": (_cell(number="NaN"), FITS),
    "infinity": (_cell(number="Infinity"), FITS),
    "beyond a double": (_cell(number="1e400"), FITS),
    "beyond an integer": (_cell(number="9223372036854775808"), FITS),
    "milliseconds": (_cell(number="300000"), "number is at most 86400 seconds"),
    "too much": (_cell(number="86401"), "number is at most 86400 seconds"),
    "negative": (_cell(number="-1"), "number is at least 0 seconds"),
    "future": (_cell(at="2026-03-02 00:00:00", learnt="2026-03-02 00:00:01"), "not in the future"),
    "epoch": (_cell(at="1970-01-01 00:00:00"), "event_time lies in the years"),
    "far future": (_cell(learnt="9999-12-31 00:00:00"), "known_at lies in the years"),
    "30 February": (_cell(at="2025-02-30 10:00:00"), AT_TIME),
    "29 February of no leap year": (_cell(at="2025-02-29 10:00:00"), AT_TIME),
    "25 o'clock": (_cell(at="2025-03-04 25:00:00"), AT_TIME),
    "no time at all": (_cell(at="yesterday"), AT_TIME),
    "known before": (_cell(learnt="2025-01-01 00:00:00"), "known_at is not before event_time"),
    "unknown kind": (_cell(kind="tuch"), "kind has a contract"),
    "unknown name": (_cell(name="web_vist"), "name is on the list"),
    "name in capitals": (_cell(kind="attribute", name="Big Name"), "name matches"),
    "nothing said": (
        _cell(kind="attribute", name="size", number="", text=""),
        "one of number, text is required",
    ),
    "no meaning": (_cell(kind="person", name="updated", number="5"), "number has no meaning in"),
    "not on the list": (
        _cell(kind="consent", name="granted", number="", text="profilling"),
        "text is on the list",
    ),
    "no kind": (_cell(kind=""), "kind is required"),
    "no name": (_cell(name=""), "name is required"),
    "no time": (_cell(at=""), "event_time is required"),
    "no knowledge": (_cell(learnt=""), "known_at is required"),
    "no row key": (_cell(id=""), "row_key is required"),
    "blank row key": (_cell(id="   "), "row_key is required"),
    "no entity": (_cell(account="", email=""), "one of lead, account, person is required"),
    "no deal": (_cell(kind="opportunity", name="created"), "opportunity is required"),
    "control character": (_cell(account="acc\x07ount"), "account has readable characters"),
    "letter read wrongly": (_cell(text="M\ufffdller"), "text has readable characters"),
    "too long a text": (_cell(text="x" * 501), "text has at most 500 letters"),
    "too long a key": (_cell(account="a" * 201), "account has at most 200 letters"),
    "mail in a key": (_cell(account="ann@firm.example"), "account holds no e-mail"),
    "mail of a person elsewhere": (_cell(campaign="bo@mail.example"), "campaign holds no e-mail"),
    "mail in a text": (_cell(text="write to ann@firm.example"), "text holds no e-mail"),
    "phone": (_cell(text="call +49 30 123 4567 8"), "text holds no phone"),
    "iban": (_cell(text="DE89 3704 0044 0532 0130 00"), "text holds no iban"),
    "card": (_cell(text="4111 1111 1111 1111"), "text holds no card"),
    "shifted": (_shifted, "kind has a contract"),
    "header again": (lambda good: dict(zip(good, good, strict=True)), AT_TIME),
    "mark of byte order": (_line(lambda line: b"\xef\xbb\xbf" + line), "row_key has readable"),
    "too many cells": (_line(lambda line: line + b",more"), UNREADABLE),
    "too few cells": (_line(lambda line: line.rpartition(b",")[0]), UNREADABLE),
    "nul": (_line(lambda line: line.replace(b"touch", b"to\0ch")), UNREADABLE),
    "other encoding": (_line(lambda line: line.replace(b"touch", b"t\xf6uch")), UNREADABLE),
    "stray quote": (lambda good: _text({**good, "text": '"never closed'}), "must be closed"),
}
CRM = {
    "day and month swapped": (_cell(day="31/12/2025"), AT_TIME),
    "other currency": (_cell(currency="EUR"), "number is in USD"),
    "no currency": (_cell(currency=""), "number is in USD"),
    "negative amount": (_cell(amount="-10.00"), "number is at least 0 cents"),
    "cents taken for whole": (_cell(amount="99999999999999.99"), "number is at most"),
    "currency sign": (_cell(amount="$10.00"), FITS),
    "two points": (_cell(amount="1.234.50"), FITS),
}
APP = {
    "number in words": (_cell(number="many"), FITS),
    "truth for a number": (_cell(number=True), FITS),
    "list for a key": (_cell(account=["account-1"]), f"account {ONE_VALUE}"),
    "list for a number": (_cell(number=[1, 2]), f"number {ONE_VALUE}"),
    "list for a text": (_cell(text=["screen 1"]), f"text {ONE_VALUE}"),
    "object for a key": (_cell(account={"id": "account-1"}), f"account {ONE_VALUE}"),
    "object for a text": (_cell(text={"screen": 1}), f"text {ONE_VALUE}"),
    "object for a time": (_cell(at={"day": "2025-03-04"}), f"event_time {ONE_VALUE}"),
    "renamed field": (
        lambda good: {("happened" if k == "at" else k): v for k, v in good.items()},
        "event_time is required",
    ),
    "renamed entity": (
        lambda good: {("company" if k == "account" else k): v for k, v in good.items()},
        "one of account, person is required",
    ),
    "list for an object": (lambda good: json.dumps(list(good.values())).encode(), "one JSON"),
    "cut off": (lambda good: json.dumps(good).encode()[:-9], "one JSON object"),
    "two objects": (lambda good: json.dumps(good).encode() * 2, "one JSON object"),
    "no JSON": (lambda good: b"<html>504 Gateway Time-out</html>", "one JSON object"),
    "bytes for text": (lambda good: json.dumps(good).encode()[:-2] + b'\xff"}', "one JSON"),
}
KINDS = {
    name: Kind(file=file, spoil=spoil, rule=rule)
    for file, kinds in (("web", WEB), ("crm", CRM), ("app", APP))
    for name, (spoil, rule) in kinds.items()
}
NEAR = {  # good rows that look bad
    "web": [
        {"number": "0"}, {"number": "86400"}, {"number": "12.5"}, {"number": "1e3"},
        {"number": ""}, {"text": ""}, {"text": "x" * 500}, {"text": "ü" * 500},
        {"account": "a" * 200}, {"account": "Müller & Söhne 株式会社"}, {"account": "NULL"},
        {"account": "+49 30 12345678"}, {"account": "0011223344556677"}, {"account": "NaN"},
        {"account": "  padded "}, {"campaign": "4111111111111111"}, {"account": ""}, {"email": ""},
        {"email": "Ann.O'Neil+crm@firm.example"}, {"text": "order 2025-03-04 of 10:30 12 of 14"},
        {"text": "4111 1111 1111 1112"}, {"text": "GB00 ABCD 1234"},
        {"text": "@home at 3 @ 4"}, {"text": '"a, b"'}, {"text": '"said ""no"""'},
        {"at": "2024-02-29 23:59:59", "learnt": "2024-02-29 23:59:59"},
        {"at": "1990-01-01 00:00:00"}, {"learnt": "2026-03-01T12:04:59Z"},
        {"at": "2025-06-01T10:00:00+02:00", "learnt": "2025-06-01 07:56:00"},
        {"at": "2025-06-01 10:00:00.123456789"},
        {"kind": "attribute", "name": "size", "number": "-5"},
        {"kind": "calendar", "name": "scheduled", "at": "2026-12-24 18:00:00"},
    ],
    "crm": [
        {"amount": "0"}, {"amount": "0.005"}, {"amount": "10000000000000"}, {"amount": ""},
        {"amount": "", "currency": ""}, {"day": "02/29/2024"}, {"day": "12/31/2025"},
        {"day": "1/2/2025"}, {"account": ""},
    ],
    "app": [
        {"number": 0}, {"number": 86400}, {"number": "77"}, {"number": 1.0}, {"text": None},
        {"text": "a\nb"}, {"more": {"a": [1]}}, {"account": "Łódź"},
    ],
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Poisoned:
    """A folder with bad rows, the same without them, and which they are."""

    folder: Path
    clean: Path
    good: int
    kinds: dict[tuple[str, int], str]  # file and row -> kind of poison
    corrected: dict[tuple[str, int], Cells]  # file and row -> the cells as they should have been


def _good(file: str, number: int) -> Cells:
    """Return an ordinary row, or one that looks bad: one in ten."""
    at = f"2025-{1 + number % 12:02d}-{1 + number % 28:02d}"
    hour = f"{number % 24:02d}:{number % 60:02d}:00"
    name = f"{file[0]}{number}"
    plain: dict[str, Cells] = {
        "web": {
            "id": name,
            "kind": "touch",
            "name": "web_visit",
            "account": f"account-{number % 97}",
            "email": f"person{number % 991}@mail.example",
            "campaign": f"spring-{number % 7}",
            "number": str(number % 900),
            "text": f"/page/{number % 50}",
            "at": f"{at} {hour}",
            "learnt": "2026-02-01 00:00:00",
        },
        "crm": {
            "id": name,
            "deal": f"deal-{number % 503}",
            "account": f"account-{number % 97}",
            "amount": f"{number % 9973}.{number % 100:02d}",
            "currency": "USD",
            "day": f"{1 + number % 12:02d}/{1 + number % 28:02d}/2025",
        },
        "app": {
            "id": name,
            "account": f"account-{number % 97}",
            "name": "session",
            "number": number % 3600,
            "text": f"screen {number % 9}",
            "at": f"{at}T{hour}Z",
        },
    }
    near = NEAR[file][number // 10 % len(NEAR[file])] if number % 10 == 0 else {}
    return {**plain[file], **near}


def _text(cells: Cells) -> bytes:
    return ",".join(str(value) for value in cells.values()).encode()


def _as_line(file: str, row: Cells | bytes) -> bytes:
    if isinstance(row, bytes):
        return row
    return json.dumps(row, ensure_ascii=False).encode() if file == "app" else _text(row)


def _poisoned(folder: Path, seed: int, good: int, bad: int) -> Poisoned:
    """Write files of three shapes, two of each, the bad rows spread over them."""
    rng = np.random.default_rng(seed)
    shares = {"web": 0.6, "crm": 0.2, "app": 0.2}
    poison = [name for _, name in zip(range(bad), _kinds_in_turn(), strict=False)]
    made = Poisoned(
        folder=folder / "poisoned", clean=folder / "clean", good=0, kinds={}, corrected={}
    )
    made.folder.mkdir(parents=True)
    made.clean.mkdir()
    total = 0
    for file, share in shares.items():
        mine = [name for name in poison if KINDS[name].file == file]
        count = round(good * share)
        plan = [*mine, *[""] * count]
        order = rng.permutation(len(plan)).tolist()
        for half in (0, 1):
            _write(made, file, half, [(plan[place], place) for place in order[half::2]])
        total += count
    return Poisoned(**{**vars(made), "good": total})


def _kinds_in_turn() -> Iterator[str]:
    """Yield the kinds for ever; a header only once, as equal rows are one row in quarantine."""
    yield from KINDS
    while True:
        yield from (name for name in KINDS if name != "header again")


def _write(made: Poisoned, file: str, half: int, plan: list[tuple[str, int]]) -> None:
    name = f"{file}-{half}.{'jsonl' if file == 'app' else 'csv'}"
    header = [] if file == "app" else [",".join(COLUMNS[file]).encode()]
    bad, clean = list(header), list(header)
    for row, (kind, number) in enumerate(plan, start=1):
        # the rows that are corrected are ordinary ones
        cells = _good(file, 10 * number + 1 if kind else number)
        cells |= {"id": f"{'bad' if kind else 'good'}-{half}-{cells['id']}"}
        bad.append(_as_line(file, KINDS[kind].spoil(cells) if kind else cells))
        clean.append(_as_line(file, cells))
        if kind:
            made.kinds[name, row] = kind
            made.corrected[name, row] = cells
    start = b"\xef\xbb\xbf" if half else b""
    (made.folder / name).write_bytes(start + b"\n".join(bad))
    (made.clean / name).write_bytes(b"\n".join([*clean, b""]))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Poisoned:
    """Some rows of each kind."""
    return _poisoned(tmp_path_factory.mktemp("few"), 3, 600, 3 * len(KINDS))


def _quiet(done: int, total: int, what: str) -> None:
    pass


def _repairs(made: Poisoned, workspace: Workspace, out: Path) -> Path:
    """Write quarantine out, put the right cells into every row of it, and return the file."""
    settings = QuarantineSettings(source="poisoned", out=str(out))
    console.perform(QUARANTINE, settings, workspace, _quiet)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        cells = made.corrected[row["file"], row["source_row"]]
        row["cells"] = {name: None if v is None else str(v) for name, v in cells.items()}
    out.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return out


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        pytest.param(5_000, 350, id="short"),
        pytest.param(100_000, 5_000, id="long", marks=pytest.mark.drill),
    ],
)
def test_all_poison_is_quarantined_and_no_good_row_and_repairs_enter_once(
    opened: Callable[[str], Workspace], source: Callable[..., ingest.Source],
    take_in: Callable[..., ingest.Ingested], state: Callable[..., dict[str, str]],
    tell: Callable[[str], None], tmp_path: Path, good: int, bad: int,
) -> None:  # fmt: skip
    """The reason of each names the right rule; corrected, the log is that of the clean files."""
    made = _poisoned(tmp_path / "files", 25, good, bad)
    workspace, clean = opened("poisoned"), opened("clean")
    what = source(MAPPING, made.folder)
    counts = take_in(workspace, what).counts
    refused = workspace.tables.read(quarantine.TABLE)
    wrong = _misnamed(made, refused)
    repairs = _repairs(made, workspace, tmp_path / "repairs.jsonl")
    once, twice = (ingest.repair(workspace, what, repairs).counts for _ in range(2))
    take_in(clean, source(MAPPING, made.clean))
    tell(
        f"T25: {bad:,} poisoned rows of {len(KINDS)} kinds among {made.good:,}: "
        f"{counts.quarantined:,} quarantined, {len(wrong)} misnamed or good; "
        f"repaired {once.added:,}, given twice {twice.added}"
    )
    assert not wrong
    assert (counts.added, counts.known, counts.quarantined) == (made.good, 0, bad)
    assert (once.added, once.quarantined, twice.added, twice.known) == (bad, 0, 0, bad)
    assert state(workspace, ["account-5"])["log"] == state(clean, ["account-5"])["log"]


def _misnamed(made: Poisoned, refused: pa.Table) -> dict[str, str]:
    """Return the kinds of poison whose rows were not refused, or by another rule; and good rows."""
    there = {(row["file"], row["source_row"]): row["reasons"] for row in refused.to_pylist()}
    wrong = {f"good {place}": said for place, said in there.items() if place not in made.kinds}
    for place, kind in made.kinds.items():
        if KINDS[kind].rule not in there.get(place, ""):
            wrong[kind] = there.get(place, "in the log")
    return wrong


def test_there_are_kinds_enough(few: Poisoned) -> None:
    """At least 25, and rows of each."""
    assert len(KINDS) >= 25
    assert set(few.kinds.values()) == set(KINDS)


@pytest.fixture(scope="module")
def judged(few: Poisoned, terms: dict[str, contracts.Contract]) -> Callable[..., set[str]]:
    """Return a function that tells which kinds of poison the checks let pass."""
    lots = _lots(few, terms)

    def passing(*, with_broken_cells: bool = True, read_now: bool = False) -> set[str]:
        kinds: set[str] = set()
        for file, mapped in _lots(few, terms) if read_now else lots:
            before = mapped.broken if with_broken_cells else []
            good = contracts.check(terms, mapped.events, before, now=NOW).good
            kinds |= {few.kinds.get((file, row), "") for row in good["source_row"].to_pylist()}
        return kinds - {""}

    return passing


def _lots(made: Poisoned, terms: dict[str, contracts.Contract]) -> list[tuple[str, Mapped]]:
    mapping = SourceMapping.model_validate(MAPPING)
    return [
        (strip.file, mapped)
        for strip in read.strips(mapping, made.folder, 1 << 30, terms)
        for mapped in read.lots(mapping, strip, made.folder, _pseudonyms)
    ]


def _pseudonyms(namespace: str, values: pa.Array) -> pa.Array:
    return pseudonyms.pseudonyms(b"k" * 32, namespace, values)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_without_a_family_of_checks_poison_passes(
    judged: Callable[..., set[str]], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant per family; with all of them nothing passes."""
    assert not judged()
    monkeypatch.delitem(FAMILIES, family)
    assert judged()


def test_without_the_broken_cells_poison_passes(judged: Callable[..., set[str]]) -> None:
    """Mutant: what the reading of cells found is not told to the check."""
    kinds = {"wrong type", "other currency", "object for a text", "list for a text"}
    assert kinds <= judged(with_broken_cells=False)


def test_without_the_look_for_objects_they_pass_as_nothing(
    judged: Callable[..., set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: an object or a list where a text may be absent is taken for absent."""
    assert not judged(read_now=True)
    monkeypatch.setattr("features.sources.cells.Cells.broken", lambda *_: {})
    assert {"object for a text", "list for a text"} <= judged(read_now=True)


@pytest.mark.drill
def test_a_repair_that_does_not_ask_for_ids_doubles(
    opened: Callable[[str], Workspace], source: Callable[..., ingest.Source], few: Poisoned,
    take_in: Callable[..., ingest.Ingested], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Mutant: every row of a repair file is new, also the second time."""
    workspace, what = opened("mutant"), source(MAPPING, few.folder)
    take_in(workspace, what)
    repairs = _repairs(few, workspace, tmp_path / "repairs.jsonl")
    monkeypatch.setattr("features.known.KnownIds.add", _all_new)
    added = [ingest.repair(workspace, what, repairs).added for _ in range(2)]
    events = workspace.tables.read(log.TABLE, columns=["event_id"])["event_id"]
    assert added == [len(few.kinds)] * 2
    assert pc.count_distinct(events).as_py() < len(events)


def _all_new(ids: object, row: np.ndarray, content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(len(row), bool), np.zeros(len(row), bool)
