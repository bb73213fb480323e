"""A sealed journal, and every way in which somebody with access may change it behind its back."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster import chain, checkpoints, journal, sealing, signing
from cluster.settings import Settings
from cluster.workspace import Workspace
from jobs.audit import run

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
WRITERS = ("ada", "bob", "é'\"w")
ROUNDS, EACH = 5, 3  # checkpoints, and entries of each writer between two
COLUMNS = ("writer", "seq", "id", "kind", "at", "body", "prev_hash", "hash")

type Row = list[Any]


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A journal that is sealed to its end, a backup of it, and the public key kept apart."""

    home: Path
    backup: Path  # of the database, when two checkpoints were there
    public_key: Path
    chains: dict[str, int] = field(default_factory=dict)  # length by writer

    @property
    def file(self) -> Path:
        """The database."""
        return self.home / "funnelcast.db"

    @property
    def settings(self) -> Settings:
        """Settings of the workspace."""
        return Settings(home=self.home)

    def names(self) -> list[Path]:
        """Return the files of the checkpoints in order."""
        return sorted((self.home / "checkpoints").glob("0*/*.json"))


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an audit must name: a record, or any of a stretch of a chain; None: a checkpoint."""

    writer: str | None = None
    seq: int = 0
    is_range: bool = False  # the seq named may be less: entries that were written anew

    def is_named(self, audited: run.Audited) -> bool:
        """Does the first problem name it?"""
        if not audited.problems:
            return False
        found = audited.problems[0]
        if self.writer is None:
            return "checkpoint" in str(found)
        writer, seq = getattr(found, "writer", None), getattr(found, "seq", -1)
        near = 0 < seq <= self.seq if self.is_range else seq == self.seq
        return writer == self.writer and near


def make(home: Path, rng: random.Random, rounds: int = ROUNDS) -> Sealed:
    """Write a journal of several writers, sealed again and again."""
    settings, backup = Settings(home=home), home.with_name(f"{home.name}-backup.db")
    seals: sealing.Seals | None = None
    for number in range(rounds):
        if number == 2:
            shutil.copy(home / "funnelcast.db", backup)
        for writer in WRITERS:
            with Workspace.open(settings, writer=writer) as workspace:
                _append(workspace.journal, f"{number}-{writer}", rng)
        seals = seals or sealing.open_seals(settings)
        assert seals.seal(NOW + timedelta(minutes=number))
    public_key = home.with_name(f"{home.name}.pem")
    public_key.write_bytes(signing.load(settings).public.pem())
    lengths = dict.fromkeys(WRITERS, rounds * EACH)
    return Sealed(home=home, backup=backup, public_key=public_key, chains=lengths)


def _append(log: journal.Journal, prefix: str, rng: random.Random) -> None:
    for number in range(EACH):
        body = {"score": rng.random(), "route": "sales", "text": 'é "\\', "n": [number, None]}
        log.append("decision", body, id=f"{prefix}-{number}", now=NOW + timedelta(seconds=number))


def audited(there: Sealed, *, with_key: bool = True) -> run.Audited:
    """Return what an audit finds."""
    return run.verify(there.settings, there.public_key if with_key else None, lambda *_: None)


class Tampering:
    """Changes a copy of a sealed journal, one way at a time."""

    def __init__(self, original: Sealed, folder: Path, rng: random.Random) -> None:
        self.original = original
        self.there = Sealed(
            home=folder,
            backup=original.backup,
            public_key=original.public_key,
            chains=original.chains,
        )
        self._rng = rng
        self.ways: dict[str, Callable[[], Expected]] = {
            "flip": self.flip,
            "retype": self.retype,
            "delete": self.delete,
            "insert": self.insert,
            "append": self.append,
            "swap": self.swap,
            "duplicate": self.duplicate,
            "truncate": self.truncate,
            "rewrite": self.rewrite,
            "restore": self.restore,
            "respell": self.respell,
            "flip_checkpoint": self.flip_checkpoint,
            "forge_checkpoint": self.forge_checkpoint,
            "delete_checkpoint": self.delete_checkpoint,
            "rename_checkpoint": self.rename_checkpoint,
        }

    def once(self, way: str) -> Expected:
        """Start from the original again, and change it in one way."""
        shutil.rmtree(self.there.home, ignore_errors=True)
        shutil.copytree(self.original.home, self.there.home)
        return self.ways[way]()

    def flip(self) -> Expected:
        """Flip one bit of one column."""
        while True:
            writer, seq = self._place()
            column = self._rng.choice(COLUMNS)
            with suppress(sqlite3.IntegrityError):
                return self._flipped(writer, seq, column)

    def _flipped(self, writer: str, seq: int, column: str) -> Expected:
        old = self._value(writer, seq, column)
        if isinstance(old, int):
            new: Any = old ^ (1 << self._rng.randrange(41))
            self._set(writer, seq, f"{column} = ?", new)
        else:
            new = bytearray(old.encode())
            new[self._rng.randrange(len(new))] ^= 1 << self._rng.randrange(8)
            self._set(writer, seq, f"{column} = CAST(? AS TEXT)", bytes(new))
        if column == "seq":
            return Expected(writer=writer, seq=seq if new > 0 else 1)
        if column != "writer":
            return Expected(writer=writer, seq=seq)
        is_before = bytes(new) < writer.encode()
        if is_before or seq == self.there.chains[writer]:
            return Expected(writer=bytes(new).decode(errors="surrogateescape"), seq=1)
        return Expected(writer=writer, seq=seq)

    def retype(self) -> Expected:
        """Keep the bytes of a text, as something that is no text."""
        writer, seq = self._place()
        column = self._rng.choice([c for c in COLUMNS if c not in {"writer", "seq", "at"}])
        self._set(writer, seq, f"{column} = CAST({column} AS BLOB)")
        return Expected(writer=writer, seq=seq)

    def delete(self) -> Expected:
        """Take one entry out, but not the last."""
        writer, seq = self._place(last=False)
        self._do("DELETE FROM journal WHERE writer = ? AND seq = ?", writer, seq)
        return Expected(writer=writer, seq=seq)

    def insert(self) -> Expected:
        """Put one entry in, rightly linked and hashed, and number the others anew."""
        writer, seq = self._place()
        before = self._row(writer, seq - 1) if seq > 1 else None
        head = chain.Head(seq=seq - 1, hash=before[7]) if before else chain.GENESIS
        self._do("UPDATE journal SET seq = -seq WHERE writer = ? AND seq >= ?", writer, seq)
        self._do("UPDATE journal SET seq = 1 - seq WHERE writer = ? AND seq < 0", writer)
        self._put(chain.link(writer, head, id="new", kind="decision", at=1, body='{"n":1}'))
        return Expected(writer=writer, seq=seq + 1)

    def append(self) -> Expected:
        """Put one more at the end, with a hash that is not its own."""
        writer, _ = self._place()
        length = self.there.chains[writer]
        head = chain.Head(seq=length, hash=self._row(writer, length)[7])
        made = chain.link(writer, head, id="new", kind="decision", at=1, body='{"n":1}')
        self._put(made._replace(body='{"n":2}'))
        return Expected(writer=writer, seq=length + 1)

    def swap(self) -> Expected:
        """Let two entries of a chain change places."""
        writer, _ = self._place()
        one, two = sorted(self._rng.sample(range(1, self.there.chains[writer] + 1), 2))
        for old, new in ((one, -one), (two, one), (-one, two)):
            self._set(writer, old, "seq = ?", new)
        return Expected(writer=writer, seq=one)

    def duplicate(self) -> Expected:
        """Put a copy of an entry at the end of its chain, under another id."""
        writer, seq = self._place()
        length = self.there.chains[writer]
        row = self._row(writer, seq)
        self._put(chain.Link(writer, length + 1, "new", *row[3:]))
        return Expected(writer=writer, seq=length + 1)

    def truncate(self) -> Expected:
        """Cut off the tail of a chain, or all of it."""
        writer, seq = self._place()
        self._do("DELETE FROM journal WHERE writer = ? AND seq >= ?", writer, seq)
        return Expected(writer=writer, seq=seq)

    def rewrite(self) -> Expected:
        """Change one entry and write the chain anew from there on, with the right hashes."""
        writer, seq = self._place()
        for place in range(seq, self.there.chains[writer] + 1):
            before = self._row(writer, place - 1) if place > 1 else None
            head = chain.Head(seq=place - 1, hash=before[7]) if before else chain.GENESIS
            _, _, id, kind, at, body, _, _ = self._row(writer, place)
            changed = body.replace("sales", "nobody") if place == seq else body
            made = chain.link(writer, head, id=id, kind=kind, at=at, body=changed)
            self._do("DELETE FROM journal WHERE writer = ? AND seq = ?", writer, place)
            self._put(made)
        return Expected(writer=writer, seq=seq, is_range=True)

    def restore(self) -> Expected:
        """Put an old backup of the database in its place."""
        shutil.copy(self.there.backup, self.there.file)
        return Expected(writer=min(WRITERS), seq=2 * EACH + 1)

    def respell(self) -> Expected:
        """Spell a body otherwise: the same JSON in other bytes."""
        writer, seq = self._place()
        old = self._value(writer, seq, "body")
        body = json.loads(old)
        other = [
            json.dumps(body, sort_keys=True, ensure_ascii=False),
            json.dumps(body, sort_keys=True, separators=(",", ":")),
            json.dumps(dict(reversed(body.items())), separators=(",", ":"), ensure_ascii=False),
            f" {old}",
            f"{old}\n",
        ]
        self._set(writer, seq, "body = ?", self._rng.choice(other))
        return Expected(writer=writer, seq=seq)

    def flip_checkpoint(self) -> Expected:
        """Flip one bit of a checkpoint."""
        path = self._rng.choice(self.there.names())
        data = bytearray(path.read_bytes())
        data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
        path.write_bytes(bytes(data))
        return Expected()

    def forge_checkpoint(self) -> Expected:
        """Rewrite a chain, and seal all of it anew with a key of one's own, put beside."""
        self.rewrite()
        for path in self.there.names():
            path.unlink()
        key = signing.SigningKey(key=Ed25519PrivateKey.generate())
        store = sealing.open_store(self.there.settings.checkpoints)
        assert sealing.Seals(self.there.settings.database, store, key).seal(NOW)
        return Expected()

    def delete_checkpoint(self) -> Expected:
        """Delete a checkpoint that is not the newest."""
        self._rng.choice(self.there.names()[:-1]).unlink()
        return Expected()

    def rename_checkpoint(self) -> Expected:
        """Let a checkpoint stand under another number."""
        path = self._rng.choice(self.there.names())
        number, hash = checkpoints.named(f"{path.parent.name}/{path.name}") or (0, "")
        path.rename(path.with_name(f"{number + self._rng.randrange(1, 90):010d}-{hash}.json"))
        return Expected()

    def _place(self, *, last: bool = True) -> tuple[str, int]:
        writer = self._rng.choice(sorted(self.there.chains))
        return writer, self._rng.randint(1, self.there.chains[writer] - (not last))

    def _row(self, writer: str, seq: int) -> Row:
        found = self._do("SELECT * FROM journal WHERE writer = ? AND seq = ?", writer, seq)
        return list(found[0])

    def _value(self, writer: str, seq: int, column: str) -> Any:
        return self._row(writer, seq)[COLUMNS.index(column)]

    def _set(self, writer: str, seq: int, change: str, *given: Any) -> None:
        self._do(f"UPDATE journal SET {change} WHERE writer = ? AND seq = ?", *given, writer, seq)

    def _put(self, row: chain.Link) -> None:
        self._do("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def _do(self, statement: str, *given: Any) -> list[Any]:
        with closing(sqlite3.connect(self.there.file, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            return connection.execute(statement, given).fetchall()
