"""The key ring: who is let in, how soon a change counts, and what a flood may cost."""

from __future__ import annotations

import os
import statistics
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from cluster.access import apikeys, keyring, records
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keyring import KeyRing
from cluster.access.keystore import Asked, Issued, KeyStore
from cluster.access.permissions import Permission
from cluster.access.principal import Principal, Unauthenticated, Unavailable, may
from cluster.access.privacy import Privacy
from cluster.access.records import Status
from cluster.errors import WrongUse
from cluster.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster import database

PEPPER = bytes(range(32))
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ASKED = Asked(name="crm", roles=("application",), lifetime=90 * DAY)
COST_US = 60.0


@pytest.fixture
def store(db: database.Database) -> KeyStore:
    return KeyStore(db, load_roles())


@pytest.fixture
def ring(db: database.Database) -> KeyRing:
    return KeyRing(db, load_roles(), PEPPER)


@pytest.fixture
def act(now: datetime) -> Act:
    return Act(actor="ada", reason="pilot", now=now)


@pytest.fixture
def issued(store: KeyStore, act: Act) -> Issued:
    return store.issue(ASKED, act, pepper=PEPPER)


@contextmanager
def _asked(db: database.Database) -> Iterator[list[str]]:
    """Yield what the database is asked meanwhile."""
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement != "BEGIN":
            statements.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(db.engine, "before_cursor_execute", note)


def _stranger() -> str:
    return apikeys.make(os.urandom(apikeys.RANDOM_BYTES)).text


def test_a_key_is_its_holder(store: KeyStore, ring: KeyRing, act: Act, now: datetime) -> None:
    asked = replace(ASKED, regions=("emea",), teams=("a", "b"))
    issued = store.issue(asked, act, pepper=PEPPER)
    who = ring.authenticate(issued.key.text, now)
    assert isinstance(who, Principal)
    assert (who.subject, who.credential) == ("crm", f"api-key:{issued.key.id}")
    assert (who.regions, who.teams) == (frozenset({"emea"}), frozenset({"a", "b"}))
    assert who.permissions == load_roles().application.permissions
    assert who.clearance == Privacy.PERSONAL


@pytest.mark.parametrize("text", ["", "fck_", "Bearer x", "fck_" + "a" * 66, "\0" * 70, "ü" * 70])
def test_garbage_is_refused_without_a_look(
    db: database.Database, ring: KeyRing, now: datetime, text: str
) -> None:
    with _asked(db) as statements:
        assert isinstance(ring.authenticate(text, now), Unauthenticated)
    assert statements == []


def test_unknown_and_wrong_are_told_in_the_same_words(
    ring: KeyRing, issued: Issued, store: KeyStore, act: Act, now: datetime
) -> None:
    wrong = replace(apikeys.make(bytes(42)), id=issued.key.id).text
    store.revoke(issued.record.id, act)
    assert ring.authenticate(wrong, now) == ring.authenticate(_stranger(), now)
    ended = ring.authenticate(issued.key.text, now)
    assert isinstance(ended, Unauthenticated)
    assert "revoked" in str(ended)


@pytest.mark.parametrize("constant", [True, False])
def test_every_answer_compares_in_constant_time(
    ring: KeyRing, issued: Issued, now: datetime, monkeypatch: pytest.MonkeyPatch, constant: bool
) -> None:
    compared = []
    real = apikeys.hmac.compare_digest
    monkeypatch.setattr(
        apikeys.hmac, "compare_digest", lambda a, b: compared.append(a) or real(a, b)
    )
    if not constant:
        monkeypatch.setattr(apikeys, "matches", lambda key, p, held: apikeys.hashed(key, p) == held)
    wrong = replace(apikeys.make(bytes(42)), id=issued.key.id).text
    for text in (issued.key.text, wrong, _stranger()):
        ring.authenticate(text, now)
    assert len(compared) == (3 if constant else 0)


def test_a_wrong_secret_would_pass_if_nothing_were_compared(
    ring: KeyRing, issued: Issued, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(apikeys.make(bytes(42)), id=issued.key.id).text
    assert isinstance(ring.authenticate(wrong, now), Unauthenticated)
    monkeypatch.setattr(apikeys, "matches", lambda *_: True)
    assert isinstance(ring.authenticate(wrong, now), Principal)


def test_nobody_gets_in_under_another_pepper(
    db: database.Database, issued: Issued, now: datetime
) -> None:
    other = KeyRing(db, load_roles(), bytes(32))
    assert isinstance(other.authenticate(issued.key.text, now), Unauthenticated)


@pytest.mark.parametrize("days", [-1, 0, 89, 90, 1000])
def test_a_key_opens_only_in_its_time(
    store: KeyStore, ring: KeyRing, act: Act, now: datetime, days: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    key = store.issue(replace(ASKED, not_before=now + 5 * DAY), act, pepper=PEPPER).key
    at = now + (5 + days) * DAY
    found = ring.authenticate(key.text, at)
    assert isinstance(found, Principal) == (0 <= days < 90)
    if not isinstance(found, Principal):
        assert ("not yet valid" if days < 0 else "expired") in str(found)
    monkeypatch.setattr(records.KeyRecord, "status", lambda self, now: Status.ACTIVE)
    assert isinstance(ring.authenticate(key.text, at), Principal)  # the time alone kept it out


@pytest.mark.parametrize("kept", [SECOND, DAY])
def test_a_revocation_counts_within_a_second(
    store: KeyStore, ring: KeyRing, issued: Issued, act: Act, now: datetime, kept: timedelta,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(keyring, "KEPT", kept)
    assert isinstance(ring.authenticate(issued.key.text, now), Principal)
    store.revoke(issued.record.id, act)
    later = ring.authenticate(issued.key.text, now + SECOND + timedelta.resolution)
    assert isinstance(later, Principal) == (kept > SECOND)


def test_a_new_key_counts_within_a_second(
    store: KeyStore, ring: KeyRing, act: Act, now: datetime
) -> None:
    ring.authenticate(_stranger(), now)
    key = store.issue(ASKED, act, pepper=PEPPER).key
    assert isinstance(ring.authenticate(key.text, now + 1.001 * SECOND), Principal)


def test_both_keys_of_a_rotation_open_during_the_overlap(
    store: KeyStore, ring: KeyRing, issued: Issued, act: Act, now: datetime
) -> None:
    new = store.rotate(issued.record.id, act, pepper=PEPPER, lifetime=90 * DAY, overlap=DAY)
    assert isinstance(new, Issued)
    for at, opens in ((now + 0.9 * DAY, [True, True]), (now + DAY, [False, True])):
        found = [ring.authenticate(key.text, at) for key in (issued.key, new.key)]
        assert [isinstance(each, Principal) for each in found] == opens


def test_a_scope_leaves_nothing_else(
    store: KeyStore, ring: KeyRing, act: Act, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.issue(replace(ASKED, scopes=("events:write",)), act, pepper=PEPPER).key
    who = ring.authenticate(key.text, now)
    assert isinstance(who, Principal)
    assert [p for p in Permission if may(who, p) is None] == [Permission.EVENTS_WRITE]
    real = records.KeyRecord.principal
    monkeypatch.setattr(
        records.KeyRecord, "principal", lambda self, roles: real(replace(self, scopes=None), roles)
    )
    wide = KeyRing(ring._database, load_roles(), PEPPER).authenticate(key.text, now)
    assert isinstance(wide, Principal)
    assert may(wide, Permission.DECISIONS_MAKE) is None


def test_a_scope_gives_nothing_that_the_roles_lost(
    db: database.Database, store: KeyStore, act: Act, now: datetime
) -> None:
    key = store.issue(replace(ASKED, scopes=("events:write",)), act, pepper=PEPPER).key
    read = load_roles()
    less = read.application.model_copy(update={"permissions": frozenset()})
    ring = KeyRing(db, read.model_copy(update={"application": less}), PEPPER)
    who = ring.authenticate(key.text, now)
    assert isinstance(who, Principal)
    assert who.permissions == frozenset()


@pytest.mark.parametrize("kept", [SECOND, timedelta(0)])
def test_a_flood_of_unknown_keys_costs_a_look_a_second_and_no_memory(
    db: database.Database, ring: KeyRing, issued: Issued, now: datetime, kept: timedelta,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(keyring, "KEPT", kept)
    with _asked(db) as statements:
        for number in range(300):
            ring.authenticate(_stranger(), now + number * SECOND / 100)
    assert (len(statements) <= 5) == (kept > timedelta(0))
    assert list(ring._reading.keys if ring._reading else {}) == [issued.key.id]


def test_what_did_not_change_is_not_read_again(
    db: database.Database, ring: KeyRing, store: KeyStore, issued: Issued, now: datetime, act: Act
) -> None:
    ring.renew(now)
    with _asked(db) as statements:
        for seconds in range(1, 6):
            assert ring.renew(now + seconds * SECOND)
    assert [s for s in statements if "hash" in s] == []
    store.revoke(issued.record.id, act)
    with _asked(db) as statements:
        ring.renew(now + 6 * SECOND)
        ring.renew(now + 6 * SECOND + keyring.WHOLE)
    assert len([s for s in statements if "hash" in s]) == 2


def test_who_renews_beside_never_waits_in_a_request(
    db: database.Database, ring: KeyRing, issued: Issued, now: datetime
) -> None:
    for step in range(10):
        at = now + step * SECOND / 2
        ring.renew(at)
        with _asked(db) as statements:
            assert isinstance(ring.authenticate(issued.key.text, at + SECOND / 2), Principal)
        assert statements == []


def test_without_the_database_nobody_is_let_in_on_old_memory(
    ring: KeyRing, issued: Issued, now: datetime, execute: Any, db: database.Database
) -> None:
    assert isinstance(ring.authenticate(issued.key.text, now), Principal)
    execute("ALTER TABLE access_keys RENAME TO away")
    assert isinstance(ring.authenticate(issued.key.text, now + SECOND), Principal)
    with _asked(db) as statements:
        for number in range(100):
            at = now + 1.1 * SECOND + number * SECOND / 1000
            assert isinstance(ring.authenticate(issued.key.text, at), Unavailable)
    assert len(statements) == 1
    execute("ALTER TABLE away RENAME TO access_keys")
    assert isinstance(ring.authenticate(issued.key.text, now + 2 * SECOND), Principal)


@pytest.mark.parametrize("damage", ["regions = 'emea'", "scopes = '5'"])
def test_a_damaged_row_lets_nobody_in(
    ring: KeyRing, issued: Issued, now: datetime, execute: Any, damage: str
) -> None:
    execute(f"UPDATE access_keys SET {damage}")
    assert isinstance(ring.authenticate(issued.key.text, now), Unavailable)


@pytest.mark.parametrize("wait_s", [0.01, 30.0])
def test_a_database_that_hangs_holds_a_request_up_for_a_bounded_time(
    ring: KeyRing, issued: Issued, now: datetime, wait_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "WAIT_S", wait_s)
    found: list[Any] = []
    asks = threading.Thread(target=lambda: found.append(ring.authenticate(issued.key.text, now)))
    with ring._lock:  # as one has who waits for the database
        asks.start()
        asks.join(1.0 if wait_s < 1 else 0.2)
        assert asks.is_alive() == (wait_s > 1)
        assert all(isinstance(each, Unavailable) for each in found)
    asks.join(10)


def test_a_clock_that_goes_back_makes_nothing_fresh(
    store: KeyStore, ring: KeyRing, issued: Issued, act: Act, now: datetime
) -> None:
    ring.renew(now + DAY)
    store.revoke(issued.record.id, act)
    assert isinstance(ring.authenticate(issued.key.text, now), Unauthenticated)


def test_threads_share_one_look(
    db: database.Database, ring: KeyRing, issued: Issued, now: datetime
) -> None:
    found: list[Any] = []
    begin = threading.Barrier(8)

    def ask() -> None:
        begin.wait()
        found.extend(ring.authenticate(issued.key.text, now) for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    with _asked(db) as statements:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 400
    assert all(isinstance(who, Principal) for who in found)
    assert len(statements) == 2


def test_no_secret_is_in_what_is_printed(ring: KeyRing, issued: Issued, now: datetime) -> None:
    who = ring.authenticate(issued.key.text, now)
    shown = f"{who!r}{ring!r}{vars(ring)['_reading']!r}{ring.authenticate(_stranger(), now)!r}"
    assert issued.key.id in shown
    assert issued.key.secret not in shown
    assert repr(issued.record.hash) not in shown


def test_a_workspace_with_keys_never_makes_a_new_pepper(
    db: database.Database, store: KeyStore, act: Act, now: datetime, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    made = keyring.read_pepper(db, settings)
    key = store.issue(ASKED, act, pepper=made).key
    assert isinstance(keyring.open_ring(db, settings).authenticate(key.text, now), Principal)
    (tmp_path / "access.key").unlink()
    with pytest.raises(WrongUse, match="access key must be readable"):
        keyring.open_ring(db, settings)
    assert not (tmp_path / "access.key").exists()


def test_a_key_is_checked_in_little_time(ring: KeyRing, issued: Issued, now: datetime) -> None:
    took = []
    for _ in range(2_000):
        began = time.perf_counter()
        ring.authenticate(issued.key.text, now)
        took.append(time.perf_counter() - began)
    assert statistics.median(took) * 1e6 < COST_US
