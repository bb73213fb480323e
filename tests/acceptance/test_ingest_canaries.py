"""Two hundred names, addresses and numbers planted in an export: no byte of them is found again,
in no file, table or message, and the vault gives every one of them back.
"""

from __future__ import annotations

import base64
import hashlib
import random
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cluster.workspace import Workspace
from features.contracts import reasons
from features.contracts.check import FAMILIES
from features.ingest import quarantine

if TYPE_CHECKING:
    from cluster.settings import Settings
    from features import ingest

PERSONS = 50  # of four canaries each
HEADER = (
    *("id", "what", "account", "seconds", "page", "at"),
    *("contact", "email", "phone", "street", "note"),
)
AT = {"column": "at"}
MAPPING: dict[str, Any] = {
    "source": "canaries",
    "files": [
        {
            "file": "contacts.csv",
            "row_key": "id",
            "people": [
                {
                    "key": "email",
                    "namespace": "e-mail",
                    "fields": {
                        "name": "contact",
                        "email": "email",
                        "phone": "phone",
                        "street": "street",
                    },
                }
            ],
            "events": [
                {
                    "kind": "lead",
                    "name": "created",
                    "event_time": AT,
                    "known_at": AT,
                    "keys": {"lead": "id", "account": "account", "person": "email"},
                },
                {
                    "kind": "touch",
                    "name": {"column": "what"},
                    "event_time": AT,
                    "known_at": AT,
                    "number": {"column": "seconds"},
                    "text": "page",
                    "keys": {"lead": "id", "account": "account", "person": "email"},
                },
                {
                    "kind": "activity",
                    "name": "call",
                    "event_time": AT,
                    "known_at": AT,
                    "where": {"note": {"present": True}},
                    "keys": {"lead": "id", "account": "account", "person": "email"},
                    "text": {"column": "note", "free_text": True},
                },
            ],
        }
    ],
}
WRONG = [  # a column that somebody's name, address or number got into: the row is refused
    *[("seconds", "contact"), ("at", "street"), ("account", "email"), ("page", "phone")],
    *[("what", "contact"), ("what", "email"), ("page", "email"), ("at", "phone")],
    *[("seconds", "street"), ("seconds", "phone"), ("what", "street"), ("id", "email")],
]
JOBS = (
    ["jobs.ingest", "--source", "{mapping}", "--path", "{folder}", "--runner", "inline"],
    ["jobs.ingest", "--source", "{mapping}", "--path", "{folder}", "--json"],
    ["jobs.quarantine"],
    ["jobs.materialize", "--target", "lead_qualification", "--purpose", "scoring"],
)

type Rows = list[dict[str, str]]


def _people(seed: int) -> Rows:
    """Return rows of contacts: clean ones, some with a note, some spoilt, some that are no rows."""
    rng = random.Random(seed)
    rows = []
    for number in range(PERSONS):
        word, place, mail = ("".join(rng.choices("abcdefghjkmnpqrstuvwxyz", k=9)) for _ in "123")
        plain = {
            "id": f"L{number}",
            "what": "web_visit",
            "account": f"account-{number % 9}",
            "seconds": "60",
            "page": "/pricing",
            "at": "2025-05-05 10:00:00",
            "contact": f"{word[:4].title()} {word[4:].title()}{place[:3]}",
            "email": f"{mail}@mail.example",
            "phone": f"+49 30 {rng.randrange(10**7, 10**8)}",
            "street": f"{place.title()}gasse {number + 11}",
            "note": "",
        }
        if 25 <= number < 33:
            plain["note"] = f"call {plain['phone']} or write to {plain['email']} by Friday"
        if 33 <= number < 45:
            column, value = WRONG[number - 33]
            plain[column] = plain[value]
        rows.append(plain)
    return rows


def _write(folder: Path, rows: Rows) -> None:
    folder.mkdir()
    lines = [",".join(HEADER), *(",".join(row[name] for name in HEADER) for row in rows)]
    lines[46:] = [f"{line},one too many" for line in lines[46:]]
    (folder / "contacts.csv").write_text("\n".join(lines))


def _canaries(rows: Rows) -> list[str]:
    return [row[name] for row in rows for name in ("contact", "email", "phone", "street")]


def _forms(canary: str) -> Iterator[bytes]:
    """Yield a canary as it could be written: plain, wide, hex, base64 at any place, hashed."""
    for text in {canary, canary.lower(), canary.upper(), canary.replace(" ", "")}:
        data = text.encode()
        yield from (data, text.encode("utf-16-le"), text.encode("utf-16-be"))
        yield from (data.hex().encode(), data.hex().upper().encode())
        yield hashlib.sha256(data).digest()
        yield hashlib.sha256(data).hexdigest().encode()
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + data + b"\0" * (-(shift + len(data)) % 3))
            first, last = -(-8 * shift // 6), (8 * (shift + len(data))) // 6
            yield coded[first:last]


class Scanner:
    """Looks for many byte strings in much data at once, by their first four bytes."""

    def __init__(self, wanted: dict[bytes, str]) -> None:
        self._by_start: dict[int, list[bytes]] = {}
        self._wanted = wanted
        for form in wanted:
            self._by_start.setdefault(int.from_bytes(form[:4], "little"), []).append(form)
        self._starts = np.array(sorted(self._by_start), np.uint32)

    def found(self, data: bytes) -> set[str]:
        """Return the canaries of which any form occurs."""
        letters = np.frombuffer(data + b"\0\0\0\0", np.uint8).astype(np.uint32)
        words = letters[:-3].copy()
        for place in (1, 2, 3):
            words |= letters[place : len(words) + place] << (8 * place)
        near = np.searchsorted(self._starts, words).clip(max=len(self._starts) - 1)
        hits = np.flatnonzero(self._starts[near] == words).tolist()
        forms = ((at, form) for at in hits for form in self._by_start[int(words[at])])
        return {self._wanted[form] for at, form in forms if data.startswith(form, at)}


def _contents(file: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and what they hold once they are decoded."""
    data = file.read_bytes()
    yield data
    if data.startswith(b"PAR1"):
        yield from _values(pq.ParquetFile(file).read())
        yield str(pq.ParquetFile(file).metadata.to_dict()).encode()
    elif data.startswith(b"ARROW1"):
        with pa.memory_map(str(file)) as source:
            yield from _values(pa.ipc.open_file(source).read_all())
    elif data.startswith(b"Obj\x01"):
        yield from _blocks(data)
    elif data.startswith(b"SQLite format 3"):
        yield from _records(file)
    elif data.startswith(b"\x1f\x8b"):
        yield zlib.decompress(data, 31)


def _values(table: pa.Table) -> Iterator[bytes]:
    for column in table.columns:
        for value in column.to_pylist():
            yield value if isinstance(value, bytes) else str(value).encode()


def _records(file: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            for record in connection.execute(f'SELECT * FROM "{name}"'):
                yield from (v if isinstance(v, bytes) else str(v).encode() for v in record)


def _blocks(data: bytes) -> Iterator[bytes]:
    """Yield the blocks of an Avro file unpacked: manifests hold the least and greatest values."""
    sync = data[-16:]
    for block in data.split(sync)[1:-1]:
        at = 0
        for _ in range(2):  # the numbers of records and of bytes
            while block[at] & 0x80:
                at += 1
            at += 1
        yield zlib.decompress(block[at:], -15)


def _all_of(folders: list[Path]) -> tuple[bytes, int]:
    """Return everything below some folders, and the number of files."""
    files = sorted({path for folder in folders for path in folder.rglob("*") if path.is_file()})
    return b"\n".join(part for file in files for part in _contents(file)), len(files)


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Rows, Scanner]:
    """Write the export and return its rows, and what looks for them."""
    rows = _people(200)
    _write(tmp_path / "export", rows)
    (tmp_path / "canaries.yaml").write_text(yaml.safe_dump(MAPPING))
    wanted = {form: canary for canary in _canaries(rows) for form in _forms(canary)}
    return rows, Scanner(wanted)


def test_no_byte_of_a_canary_is_left_and_the_vault_gives_all_of_them_back(
    planted: tuple[Rows, Scanner], settings: Settings, children: Callable[[int], list[Any]],
    tell: Callable[[str], None], tmp_path: Path,
) -> None:  # fmt: skip
    """Run the jobs as a user does, then scan their home and what they said."""
    rows, scanner = planted
    [child], said = children(1), tmp_path / "said"
    said.mkdir()
    for number, job in enumerate(JOBS):
        words = {"mapping": tmp_path / "canaries.yaml", "folder": tmp_path / "export"}
        command = [part.format(**words) for part in job]
        out = said / f"{number}.txt"
        child.start("job", home=str(settings.home), command=command, out=str(out))
        assert child.finish() == {"status": 0}, out.read_text()
    data, files = _all_of([settings.home, said])
    found = scanner.found(data)
    returned = _returned(settings, rows)
    canaries = _canaries(rows)
    tell(
        f"Canaries: {len(canaries)} in {len(rows)} rows, {files} files and {len(data):,} bytes "
        f"scanned: {len(found)} found; {len(returned & set(canaries))} given back by the vault"
    )
    assert len(canaries) == len(set(canaries)) == 200
    assert found == set()
    assert returned >= set(canaries)


def _returned(settings: Settings, rows: Rows) -> set[str]:
    """Return what the vault and the sealed rows of quarantine hold, once opened."""
    with Workspace.open(settings) as workspace:
        people = workspace.vault.pseudonyms("e-mail", pa.array([row["email"] for row in rows[:45]]))
        kept = [workspace.vault.identity(person) for person in people.to_pylist()]
        found = {value for one in kept for values in one.values() for value in values}
        refused = workspace.tables.read(quarantine.TABLE)
        lines = [row["cells"]["line"] for row in quarantine.opened(workspace.vault, refused)
                 if "line" in row["cells"]]  # fmt: skip
    return found | {cell for line in lines for cell in line.split(",")}


def test_the_scan_finds_every_form_in_which_a_canary_could_be_written(
    planted: tuple[Rows, Scanner], tmp_path: Path
) -> None:
    """In the clear, in compressed Parquet, in base64 and the others."""
    rows, scanner = planted
    for canary in _canaries(rows)[:8]:
        for form in _forms(canary):
            assert scanner.found(b"before " + form + b" behind") == {canary}
    mails = [row["email"] for row in rows]
    pq.write_table(pa.table({"x": mails * 9}), tmp_path / "some.parquet", compression="zstd")
    data, _ = _all_of([tmp_path / "export"])
    assert scanner.found(data) == set(_canaries(rows))
    assert scanner.found(b"\n".join(_contents(tmp_path / "some.parquet"))) == set(mails)


@pytest.mark.parametrize("fault", ["none", "not sealed", "no pseudonyms", "values quoted"])
def test_without_a_defence_canaries_are_found(
    planted: tuple[Rows, Scanner], opened: Callable[[str], Workspace], tmp_path: Path,
    source: Callable[..., ingest.Source], take_in: Callable[..., ingest.Ingested],
    monkeypatch: pytest.MonkeyPatch, fault: str,
) -> None:  # fmt: skip
    """Mutants: the refused row kept in the clear, persons by their address, reasons that quote."""
    workspace, what = opened("mutant"), source(MAPPING, tmp_path / "export")
    FAULTS[fault](monkeypatch)
    take_in(workspace, what)
    monkeypatch.undo()
    data, _ = _all_of([workspace.settings.home])
    assert bool(planted[1].found(data)) == (fault != "none")


def _not_sealed(patch: pytest.MonkeyPatch) -> None:
    clear = lambda self, table, now: table["data"].combine_chunks()  # noqa: E731
    patch.setattr("cluster.vault.Vault.seal_many", clear)


def _no_pseudonyms(patch: pytest.MonkeyPatch) -> None:
    """The check for addresses is off as well: it would refuse every person in the clear."""
    patch.setattr("cluster.vault.Vault.pseudonyms", lambda self, namespace, values: values)
    remembered = "features.ingest.remembered.Remembered.__call__"
    patch.setattr(remembered, lambda self, namespace, values: values)
    patch.setattr("cluster.vault.Vault.keep", lambda self, table, now: None)
    none_sealed = lambda self, table, now: pa.nulls(len(table), pa.binary())  # noqa: E731
    patch.setattr("cluster.vault.Vault.seal_many", none_sealed)
    patch.delitem(FAMILIES, "not_identifying")


def _values_quoted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reasons, "shown", lambda value: f"'{value}'")


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "none": lambda patch: None,
    "not sealed": _not_sealed,
    "no pseudonyms": _no_pseudonyms,
    "values quoted": _values_quoted,
}
