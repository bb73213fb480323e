"""The vault: what identifies a subject, sealed by a key of the subject's own, and its pseudonyms.

Subjects are pseudonyms. Destroying a subject's key erases every value sealed for it, wherever a
copy lies; a tombstone stays and refuses to keep the subject again. docs/vault.md has the formats.
Keys of subjects are read from the database each time, never held: what one process destroys no
other opens a moment later.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from cluster import anchor, envelope, errors, masterkey, pseudonyms, schema, shredding, subjects
from cluster.envelope import SubjectKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from cluster.database import Database
    from cluster.settings import Settings

PART_ROWS = 6_000  # of one transaction: others wait for it no longer than some 100 ms

type Keys = dict[str, SubjectKey | None]  # by subject; None: destroyed
type Change = Callable[[SubjectKey, bytes, str, str], bytes]  # key, data, subject and field


class Erased(errors.FunnelcastError):
    """The subject's key is destroyed: nothing sealed for it opens ever again."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What `Vault.keep` did."""

    added: int  # values that were not there yet
    refused: tuple[str, ...]  # subjects that are destroyed, of which nothing was stored


class Vault:
    """The vault of one database. Safe to share between threads and with other processes."""

    def __init__(self, database: Database, master: bytes, wrapped: bytes) -> None:
        """Use `open_vault`; `wrapped` is the anchor as the database has it."""
        self._database = database
        self._master = master
        self._anchor = wrapped
        self._pseudonym_key = anchor.opened(master, wrapped)

    def pseudonyms(self, namespace: str, values: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Return the pseudonym of each of `values`, as `cluster.pseudonyms.pseudonyms` does."""
        return pseudonyms.pseudonyms(self._pseudonym_key, namespace, values)

    def keep(self, table: pa.Table, now: datetime) -> Kept:
        """Seal the values of `table` (subject, field, value: strings) that are not there yet.

        Null values are left out. Makes the keys of new subjects. Durable when it returns, in
        transactions of some thousand rows; a repeat adds nothing. WrongUse for a subject that is
        no pseudonym or a field that is no name.
        """
        rows = subjects.distinct(subjects.checked(table, "value", pa.string()))
        added, refused = 0, set[str]()
        for start in range(0, rows.num_rows, PART_ROWS):
            part = rows.slice(start, PART_ROWS)
            with self._writing() as connection:
                keys = self._make(connection, subjects.names(part), now)
                new = _new_rows(part, keys, _digests(connection, list(keys)))
                self._database.insert_new(connection, schema.identities, new)
            added += len(new)
            refused |= {subject for subject, key in keys.items() if key is None}
        return Kept(added=added, refused=tuple(sorted(refused)))

    def identity(self, subject: str) -> dict[str, list[str]]:
        """Return the values kept of `subject` by field, sorted; Erased if it is destroyed."""
        table = schema.identities
        query = sa.select(table.c.field, table.c.sealed).where(table.c.subject == subject)
        with self._database.connect() as connection:
            rows = connection.execute(query).all()
            keys = self._read(connection, [subject])
        found: dict[str, list[str]] = {}
        if rows or subject in keys:
            key = _living(keys, subject)
            for name, sealed in rows:
                found.setdefault(name, []).append(_unseal(key, sealed, subject, name).decode())
        return {name: sorted(found[name]) for name in sorted(found)}

    def seal(self, subject: str, field: str, data: bytes, now: datetime) -> bytes:
        """Return `data` sealed for the field of the subject; Erased if that is destroyed."""
        subjects.check_subjects([subject])
        subjects.check_fields([field])
        return _seal(_living(self._ready([subject], now), subject), data, subject, field)

    def seal_many(self, table: pa.Table, now: datetime) -> pa.Array:
        """Return each `data` of `table` (subject, field, data: binary or string) sealed, as binary.

        Null where data is null or the subject is destroyed. Makes the keys of new subjects. The
        caller stores the result; the vault does not.
        """
        rows = subjects.checked(table, "data", pa.binary())
        keys = self._ready(subjects.names(rows), now)
        return _each(_seal, rows, keys)

    def open(self, subject: str, field: str, sealed: bytes) -> bytes:
        """Return what was sealed for the field of the subject.

        Erased if the subject is destroyed; NotOpened for another subject, field or bytes.
        """
        return _unseal(_living(self._found([subject]), subject), sealed, subject, field)

    def open_many(self, table: pa.Table) -> pa.Array:
        """Return each `sealed` of `table` (subject, field, sealed: binary) opened, as binary.

        Null where sealed is null or the subject is destroyed. NotOpened if one of them was sealed
        for another subject or field, or is damaged.
        """
        rows = subjects.checked(table, "sealed", pa.binary())
        names = subjects.names(rows)
        keys = self._found(names)
        for name in set(names) - set(keys):
            _living(keys, name)
        return _each(_unseal, rows, keys)

    def destroy(self, subject: str, now: datetime) -> bool:
        """Destroy the key and the identities of `subject` for ever; False if it was so already.

        A tombstone stays, also of a subject never seen. When it returns, an SQLite file holds no
        copy of the wrapped key; docs/vault.md says what PostgreSQL and backups need.
        """
        subjects.check_subjects([subject])
        at = schema.micros(now)
        table, gone = schema.subjects, schema.identities
        fresh = {"subject": subject, "created_at": at}
        with self._writing() as connection:
            self._database.insert_new(connection, table, [fresh])
            alive = sa.and_(table.c.subject == subject, table.c.destroyed_at.is_(None))
            ended = table.update().where(alive).values(wrapped_key=None, destroyed_at=at)
            changed = connection.execute(ended).rowcount
            connection.execute(gone.delete().where(gone.c.subject == subject))
        shredding.scrub(self._database)
        return changed == 1

    def destroyed(self) -> list[str]:
        """Return every subject that is destroyed."""
        table = schema.subjects
        query = sa.select(table.c.subject).where(table.c.destroyed_at.is_not(None))
        with self._database.connect() as connection:
            return sorted(connection.scalars(query))

    def forget(self, names: list[str]) -> int:
        """Take away the values kept of some subjects, whose keys stay; returns how many values."""
        subjects.check_subjects(names)
        gone, count = schema.identities, 0
        for part in subjects.parts(names, PART_ROWS):
            with self._writing() as connection:
                mine = gone.delete().where(gone.c.subject.in_(part))
                count += connection.execute(mine).rowcount
        shredding.scrub(self._database)
        return count

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._database.begin() as connection:
            shredding.secure(connection)
            if anchor.read(connection, lock=True) != self._anchor:
                raise errors.WrongUse(
                    "the master key must be the vault's newest, got one replaced since: "
                    "open the workspace again with the new one"
                )
            yield connection

    def _found(self, names: list[str]) -> Keys:
        with self._database.connect() as connection:
            parts = subjects.parts(names, PART_ROWS)
            return {k: v for part in parts for k, v in self._read(connection, part).items()}

    def _ready(self, names: list[str], now: datetime) -> Keys:
        keys: Keys = {}
        for part in subjects.parts(names, PART_ROWS):
            with self._database.connect() as connection:
                found = self._read(connection, part)
            if len(found) < len(part):
                with self._writing() as connection:
                    found = self._make(connection, part, now)
            keys |= found
        return keys

    def _make(self, connection: sa.Connection, names: list[str], now: datetime) -> Keys:
        keys = self._read(connection, names, lock=True)
        missing = [name for name in names if name not in keys]
        self._database.insert_new(connection, schema.subjects, self._fresh(missing, now))
        # Read back: another process may have made some of them first.
        return keys | self._read(connection, missing, lock=True)

    def _fresh(self, names: list[str], now: datetime) -> list[dict[str, object]]:
        at = schema.micros(now)
        keys = (os.urandom(envelope.KEY_BYTES) for _ in names)
        return [
            {"subject": name, "wrapped_key": envelope.wrap(self._master, key), "created_at": at}
            for name, key in zip(names, keys, strict=True)
        ]

    def _read(self, connection: sa.Connection, names: list[str], *, lock: bool = False) -> Keys:
        table = schema.subjects
        query = sa.select(table.c.subject, table.c.wrapped_key, table.c.destroyed_at)
        query = query.where(table.c.subject.in_(names)).order_by(table.c.subject)
        if lock:  # on PostgreSQL: nobody destroys them until the transaction ends
            query = query.with_for_update(read=True)
        rows = connection.execute(query).all() if names else []
        return {name: None if ended else self._key(wrapped) for name, wrapped, ended in rows}

    def _key(self, wrapped: bytes) -> SubjectKey:
        return envelope.subject_key(envelope.unwrap(self._master, wrapped))


def open_vault(database: Database, settings: Settings) -> Vault:
    """Open the vault in `database` with the master key of `settings`, making what is missing.

    WrongUse if the key is malformed, missing though the vault holds keys, or not the vault's.
    """
    with database.connect() as connection:
        wrapped = anchor.read(connection)
    master = masterkey.load(settings, may_make=wrapped is None)
    return Vault(database, master, wrapped or anchor.make(database, master))


def _living(keys: Keys, subject: str) -> SubjectKey:
    key = keys.get(subject)
    if key is not None:
        return key
    if subject in keys:
        raise Erased(
            "a subject's key must exist to seal or open its values, got one that was destroyed: "
            "nothing of this subject can be kept or read any more"
        )
    raise envelope.NotOpened(
        "a sealed value opens with its subject's key, got a subject that has none here: "
        "pass the subject it was sealed for, in the workspace where it was sealed"
    )


def _digests(connection: sa.Connection, names: list[str]) -> set[tuple[str, str, bytes]]:
    table = schema.identities
    query = sa.select(table.c.subject, table.c.field, table.c.digest)
    rows = connection.execute(query.where(table.c.subject.in_(names)))
    return {(subject, field, digest) for subject, field, digest in rows}


def _new_rows(
    part: pa.Table, keys: Keys, there: set[tuple[str, str, bytes]]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for subject, name, value in _triples(part):
        key, data = keys[subject], value.encode()
        if key is None:
            continue
        digest = envelope.digest(key, name, data)
        if (subject, name, digest) not in there:
            sealed = _seal(key, data, subject, name)
            rows.append({"subject": subject, "field": name, "digest": digest, "sealed": sealed})
    return rows


def _each(change: Change, rows: pa.Table, keys: Keys) -> pa.Array:
    results = (
        None if key is None or data is None else change(key, data, subject, name)
        for subject, name, data in _triples(rows)
        for key in (keys[subject],)
    )
    return pa.array(results, pa.binary())


def _triples(table: pa.Table) -> Iterator[tuple[str, str, Any]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _seal(key: SubjectKey, data: bytes, subject: str, name: str) -> bytes:
    nonce = os.urandom(envelope.NONCE_BYTES)
    return envelope.seal(key, data, subject=subject, name=name, nonce=nonce)


def _unseal(key: SubjectKey, sealed: bytes, subject: str, name: str) -> bytes:
    return envelope.unseal(key, sealed, subject=subject, name=name)
