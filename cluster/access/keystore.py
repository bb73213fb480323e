"""The keys on record: issued, listed, rotated and revoked; each change journalled with it.

A key and the journal entry that tells of it are one transaction: a crash leaves both or neither.
The text of a key is returned once and lies nowhere; the table has a hash of it, the journal none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cluster import schema
from cluster.access import apikeys, entries
from cluster.access.permissions import Permission
from cluster.access.records import KeyRecord, Status
from cluster.access.roles import Role, known
from cluster.errors import Refusal, WrongUse

if TYPE_CHECKING:
    from cluster.access.apikeys import ApiKey
    from cluster.access.entries import Act
    from cluster.access.roles import Roles
    from cluster.database import Database

ISSUED, ROTATED, REVOKED = "access.key_issued", "access.key_rotated", "access.key_revoked"
LONGEST = timedelta(days=366)  # that a key may be valid
LONGEST_OVERLAP = timedelta(days=30)  # for which two keys of a rotation may be valid

_TABLE = schema.access_keys


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A key that is asked for. Lists that are None do not bind; an empty one lets nothing pass."""

    name: str  # who will hold it
    roles: tuple[str, ...]
    lifetime: timedelta  # from not_before
    scopes: tuple[str, ...] | None = None
    regions: tuple[str, ...] | None = None
    teams: tuple[str, ...] | None = None
    not_before: datetime | None = None  # None: at once


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A new key: its text, which is never to be had again, and what is on record."""

    key: ApiKey
    record: KeyRecord


class KeyStore:
    """The keys of one database. Safe to share between threads and with other processes."""

    def __init__(self, database: Database, roles: Roles) -> None:
        self._database = database
        self._roles = roles

    def list(self) -> list[KeyRecord]:
        """Return every key that was ever issued, oldest first."""
        query = sa.select(_TABLE).order_by(_TABLE.c.created_at, _TABLE.c.id)
        with self._database.connect() as connection:
            return [KeyRecord.of(row) for row in connection.execute(query).mappings()]

    def issue(self, asked: Asked, act: Act, *, pepper: bytes) -> Issued:
        """Make a key; WrongUse for one that makes no sense."""
        begins = asked.not_before or act.now
        made = apikeys.make(os.urandom(apikeys.RANDOM_BYTES))
        record = KeyRecord(
            id=made.id,
            hash=apikeys.hashed(made, pepper),
            name=schema.checked_name("the name of a key", asked.name),
            roles=_roles(asked.roles),
            scopes=_scopes(asked, self._roles),
            regions=_names("a region", asked.regions),
            teams=_names("a team", asked.teams),
            created_at=act.now,
            not_before=begins,
            expires_at=begins + _lifetime(asked.lifetime),
        )
        with entries.alone(self._database) as connection:
            _insert(connection, record)
            entries.append(connection, ISSUED, {"key": record.document()}, act)
        return Issued(key=made, record=record)

    def rotate(
        self, id: str, act: Act, *, pepper: bytes, lifetime: timedelta, overlap: timedelta
    ) -> Issued | Refusal:
        """Make a key that may do the same; the old one stays valid for `overlap` at most."""
        made = apikeys.make(os.urandom(apikeys.RANDOM_BYTES))
        ends = act.now + _overlap(overlap)
        with entries.alone(self._database) as connection:
            old = _wanted(connection, id)
            refused = _ended(old, act.now)
            if refused is not None:
                return refused
            begins = max(act.now, old.not_before)
            fresh = replace(
                old,
                id=made.id,
                hash=apikeys.hashed(made, pepper),
                created_at=act.now,
                not_before=begins,
                expires_at=begins + _lifetime(lifetime),
                rotated_from=old.id,
            )
            _insert(connection, fresh)
            ends = min(old.expires_at, ends)
            _update(connection, old.id, rotated_to=made.id, expires_at=schema.micros(ends))
            told = {"key": fresh.document(), "old": old.id, "old_expires_at": ends.isoformat()}
            entries.append(connection, ROTATED, told, act)
        return Issued(key=made, record=fresh)

    def revoke(self, id: str, act: Act) -> KeyRecord | Refusal:
        """End a key for good; a Refusal if it was revoked before."""
        with entries.alone(self._database) as connection:
            old = _wanted(connection, id)
            if old.revoked_at is not None:
                return Refusal(
                    rule=f"the key '{id}' must not be revoked yet",
                    value=f"one revoked at {old.revoked_at.isoformat(timespec='seconds')}",
                    remedy="nothing is left to do",
                )
            _update(connection, id, revoked_at=schema.micros(act.now))
            entries.append(connection, REVOKED, {"key": old.id, "name": old.name}, act)
        return replace(old, revoked_at=act.now)


def _insert(connection: sa.Connection, record: KeyRecord) -> None:
    row = record.row() | {"change": _next_change(connection)}
    connection.execute(_TABLE.insert().values(row))


def _update(connection: sa.Connection, id: str, **values: Any) -> None:
    values["change"] = _next_change(connection)
    connection.execute(_TABLE.update().where(_TABLE.c.id == id).values(values))


def _next_change(connection: sa.Connection) -> int:
    newest: int | None = connection.scalar(sa.select(sa.func.max(_TABLE.c.change)))
    return (newest or 0) + 1


def _wanted(connection: sa.Connection, id: str) -> KeyRecord:
    row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == id)).mappings().first()
    if row is None:
        # A whole key given for its id is not repeated: the terminal may be recorded.
        shown = "a whole key" if id.startswith(apikeys.PREFIX) else f"'{id[:80]}'"
        raise WrongUse(f"the id of a key must be known, got {shown}: list has those there are")
    return KeyRecord.of(row)


def _ended(old: KeyRecord, now: datetime) -> Refusal | None:
    status = old.status(now)
    if old.rotated_to is None and status in (Status.ACTIVE, Status.NOT_YET_VALID):
        return None
    return Refusal(
        rule=f"the key '{old.id}' must be valid and not rotated yet to be rotated",
        value=f"one rotated to '{old.rotated_to}'" if old.rotated_to else f"one {status}",
        remedy="rotate that one" if old.rotated_to else "issue a new one",
    )


def _roles(given: tuple[str, ...]) -> tuple[str, ...]:
    if not given:
        raise WrongUse(f"a key must have a role, got none: give one of {', '.join(Role)}")
    return tuple(sorted({known(Role, "a role", name).value for name in given}))


def _scopes(asked: Asked, roles: Roles) -> tuple[str, ...] | None:
    if asked.scopes is None:
        return None
    held = roles.permissions(Role(name) for name in asked.roles)
    for name in asked.scopes:
        if known(Permission, "a scope", name) not in held:
            raise WrongUse(
                f"a scope must be a permission of the roles, got '{name}' for"
                f" {', '.join(asked.roles)}: leave it out, or give a role that has it"
            )
    return tuple(sorted(set(asked.scopes)))


def _names(what: str, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return tuple(sorted({schema.checked_name(what, name) for name in given}))


def _lifetime(given: timedelta) -> timedelta:
    return _between("a key must be valid for", given, timedelta(seconds=1), LONGEST)


def _overlap(given: timedelta) -> timedelta:
    return _between("the old key must stay valid for", given, timedelta(0), LONGEST_OVERLAP)


def _between(rule: str, given: timedelta, least: timedelta, most: timedelta) -> timedelta:
    if least <= given <= most:
        return given
    bounds = f"{least.total_seconds():.0f} seconds to {most.days} days"
    raise WrongUse(f"{rule} {bounds}, got {given}: choose a time within")
