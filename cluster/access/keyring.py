"""The key ring: who a key belongs to, answered from memory that is at most a second old.

All keys are held at once, so an unknown one costs no question to the database, however many come,
and no memory. A change has a number: while the newest is the one that was read, nothing is read
again but that number. Without the database nobody is let in on memory older than a second.
"""

from __future__ import annotations

import hmac
import logging
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import schema
from cluster.access import apikeys, pepper
from cluster.access.document import load_roles
from cluster.access.principal import Principal, Unauthenticated, Unavailable
from cluster.access.records import KeyRecord, Status
from cluster.database import cause

if TYPE_CHECKING:
    from cluster.access.apikeys import ApiKey
    from cluster.access.roles import Roles
    from cluster.database import Database
    from cluster.settings import Settings

KEPT = timedelta(seconds=1)  # for which what was read is believed
WHOLE = timedelta(seconds=30)  # after which everything is read again, whatever the number says
AGAIN = timedelta(seconds=0.2)  # between two tries while the database is away
WAIT_S = 1.0  # for another who is reading

_LOG = logging.getLogger(__name__)
_TABLE = schema.access_keys
_NO_HASH = bytes(32)  # what a key of an unknown id is compared with
_UNKNOWN = Unauthenticated(
    rule="an API key must be one that was issued",
    value="another",
    remedy="use the key as it was issued, or ask an administrator for a new one",
)
_AWAY = Unavailable(
    rule="API keys must be readable to be checked",
    value="a database that is away",
    remedy="try again in a second",
)

type Stamp = tuple[int, int]  # number of keys, and of the newest change


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    record: KeyRecord
    principal: Principal


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """What was read at some time. Replaced, never changed."""

    keys: dict[str, _Held] = field(repr=False)
    stamp: Stamp
    at: datetime  # when it was last known to be all
    whole_at: datetime  # when all was read

    def fresh(self, now: datetime) -> bool:
        # Before it, by a thread that has waited; longer before it, the clock went back.
        return -KEPT <= now - self.at <= KEPT


class KeyRing:
    """The keys of one database. Safe to share between threads."""

    def __init__(self, database: Database, roles: Roles, pepper: bytes) -> None:
        """Read nothing yet; `pepper` is that of cluster.access.pepper."""
        self._database = database
        self._roles = roles
        self._pepper = pepper
        self._reading: _Reading | None = None
        self._failed_at: datetime | None = None
        self._lock = threading.Lock()

    def authenticate(self, text: str, now: datetime) -> Principal | Unauthenticated | Unavailable:
        """Return who sends this key at `now`, or why nobody does.

        An unknown id and a wrong secret are refused in the same words, after the same work. That a
        key ended is told to who has its secret.
        """
        key = apikeys.parse(text)
        if isinstance(key, Unauthenticated):
            return key
        reading = self._reading
        if reading is None or not reading.fresh(now):
            reading = self._renewed(now, KEPT)
        if reading is None:
            return _AWAY
        return self._checked(key, reading.keys.get(key.id), now)

    def holder(self, id: str, now: datetime) -> Principal | Unauthenticated | Unavailable:
        """Return whose key has this id, if it is active at `now`: for who has shown the key before,
        and brings what proves it.
        """
        reading = self._reading
        if reading is None or not reading.fresh(now):
            reading = self._renewed(now, KEPT)
        if reading is None:
            return _AWAY
        held = reading.keys.get(id)
        return _UNKNOWN if held is None else _active(held, now)

    def secret(self, purpose: str) -> bytes:
        """Return a secret of 32 bytes of its own for a purpose, the same in every process."""
        return hmac.digest(self._pepper, f"funnelcast/{purpose}\0".encode(), "sha256")

    def renew(self, now: datetime) -> bool:
        """Look whether keys changed; False while the database is away.

        A service that calls this beside its requests, more than once a second, never waits for the
        database in one.
        """
        return self._renewed(now, timedelta(0)) is not None

    def _renewed(self, now: datetime, kept: timedelta) -> _Reading | None:
        """Read again, unless another has done it less than `kept` ago; None without a database."""
        if not self._lock.acquire(timeout=WAIT_S):  # who has it waits for a database that hangs
            return None
        try:
            reading = self._reading
            if reading is not None and reading.fresh(now) and now - reading.at <= kept:
                return reading
            return self._tried(reading, now)
        finally:
            self._lock.release()

    def _tried(self, before: _Reading | None, now: datetime) -> _Reading | None:
        if self._failed_at is not None and abs(now - self._failed_at) < AGAIN:
            return None
        try:
            self._reading = found = self._read(before, now)
        except (sa.exc.SQLAlchemyError, TypeError, ValueError) as error:  # or a damaged row
            if self._failed_at is None:  # once, however long it lasts
                _LOG.warning("API keys cannot be read: %s", cause(error))
            self._failed_at = now
            return None
        self._failed_at = None
        return found

    def _checked(
        self, key: ApiKey, held: _Held | None, now: datetime
    ) -> Principal | Unauthenticated:
        stored = _NO_HASH if held is None else held.record.hash
        same = apikeys.matches(key, self._pepper, stored)
        if held is None or not same:
            return _UNKNOWN
        return _active(held, now)

    def _read(self, before: _Reading | None, now: datetime) -> _Reading:
        counted = sa.select(sa.func.count(), sa.func.max(_TABLE.c.change)).select_from(_TABLE)
        with self._database.connect() as connection:
            # The number before the rows: what changes in between is read again.
            count, newest = connection.execute(counted).one()
            stamp = (count, newest or 0)
            if before and before.stamp == stamp and abs(now - before.whole_at) < WHOLE:
                return _Reading(keys=before.keys, stamp=stamp, at=now, whole_at=before.whole_at)
            rows = connection.execute(sa.select(_TABLE)).mappings().all()
        records = (KeyRecord.of(row) for row in rows)
        keys = {r.id: _Held(record=r, principal=r.principal(self._roles)) for r in records}
        return _Reading(keys=keys, stamp=stamp, at=now, whole_at=now)


def _active(held: _Held, now: datetime) -> Principal | Unauthenticated:
    status = held.record.status(now)
    if status is Status.ACTIVE:
        return held.principal
    return Unauthenticated(
        rule="an API key must be active",
        value=f"one that is {status}",
        remedy="ask an administrator for a new one",
    )


def open_ring(database: Database, settings: Settings) -> KeyRing:
    """Return the ring of a workspace, its roles from configs/access.yaml.

    WrongUse if the pepper is missing though there are keys, or others may read it.
    """
    return KeyRing(database, load_roles(), read_pepper(database, settings))


def read_pepper(database: Database, settings: Settings) -> bytes:
    """Return the pepper of a workspace; made only while there is no key."""
    return pepper.load(settings, may_make=not has_keys(database))


def has_keys(database: Database) -> bool:
    """Was a key ever issued?"""
    with database.connect() as connection:
        return connection.execute(sa.select(_TABLE.c.id).limit(1)).first() is not None
