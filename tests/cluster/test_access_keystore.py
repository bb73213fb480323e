"""Keys on record: issued, rotated, revoked, journalled in the same transaction; never in clear."""

from __future__ import annotations

import base64
import logging
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from cluster import database, journal, schema
from cluster.access import apikeys, entries, keystore, pepper
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, Issued, KeyStore
from cluster.access.records import Status
from cluster.errors import Refusal, WrongUse
from cluster.settings import ROOT, Settings

if TYPE_CHECKING:
    from cluster.access.records import KeyRecord

PEPPER = bytes(range(32))
DAY = timedelta(days=1)
ASKED = Asked(
    name="crm",
    roles=("viewer", "application"),
    lifetime=90 * DAY,
    scopes=("decisions:make", "accounts:read"),
    regions=("emea", "apac"),
)


@pytest.fixture
def store(db: database.Database) -> KeyStore:
    return KeyStore(db, load_roles())


@pytest.fixture
def act(now: datetime) -> Act:
    return Act(actor="ada", reason="pilot", now=now)


def _rotated(store: KeyStore, id: str, act: Act, **changed: Any) -> Issued | Refusal:
    lengths = {"lifetime": 90 * DAY, "overlap": DAY} | changed
    return store.rotate(id, act, pepper=PEPPER, **lengths)


def _one(store: KeyStore, id: str) -> KeyRecord:
    (found,) = (record for record in store.list() if record.id == id)
    return found


def _told(log: journal.Journal) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.kind, entry.body) for entry in log.entries()]


def test_a_key_is_on_record_as_it_was_asked_for(store: KeyStore, act: Act, now: datetime) -> None:
    issued = store.issue(ASKED, act, pepper=PEPPER)
    (record,) = store.list()
    assert record == issued.record
    assert (record.roles, record.scopes) == (
        ("application", "viewer"),
        ("accounts:read", "decisions:make"),
    )
    assert (record.regions, record.teams) == (("apac", "emea"), None)
    assert (record.not_before, record.expires_at) == (now, now + 90 * DAY)
    assert apikeys.matches(issued.key, PEPPER, record.hash)
    assert record.principal(load_roles()).credential == f"api-key:{issued.key.id}"


def test_every_change_is_journalled_with_actor_and_reason(
    store: KeyStore, act: Act, log: journal.Journal
) -> None:
    one = store.issue(ASKED, act, pepper=PEPPER)
    two = _rotated(store, one.record.id, replace(act, actor="ben", reason="quarter"))
    assert isinstance(two, Issued)
    store.revoke(two.record.id, replace(act, actor="eva", reason="lost"))
    (issued, first), (rotated, second), (revoked, third) = _told(log)
    assert (issued, rotated, revoked) == (keystore.ISSUED, keystore.ROTATED, keystore.REVOKED)
    assert first == {"key": one.record.document(), "actor": "ada", "reason": "pilot"}
    assert second["key"] == two.record.document()
    assert (second["old"], second["actor"], second["reason"]) == (one.record.id, "ben", "quarter")
    assert third == {"key": two.record.id, "name": "crm", "actor": "eva", "reason": "lost"}
    assert log.verify()


@pytest.mark.parametrize("way", ["plain", "late"])
def test_a_kill_leaves_the_key_and_its_entry_or_neither(
    way: str, current_url: str, store: KeyStore, log: journal.Journal
) -> None:
    assert _killed(way, current_url) == -signal.SIGKILL
    assert (store.list(), _told(log)) == ([], [])


def test_a_key_committed_before_its_entry_would_be_left_alone(
    current_url: str, store: KeyStore, log: journal.Journal
) -> None:
    assert _killed("hasty", current_url) == -signal.SIGKILL
    assert (len(store.list()), _told(log)) == (1, [])


def _killed(way: str, url: str) -> int:
    command = [sys.executable, "-m", "tests.cluster.child_access", way, url]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def test_many_at_once_make_one_chain(store: KeyStore, act: Act, log: journal.Journal) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: store.issue(ASKED, act, pepper=PEPPER), range(24)))
    assert (len(store.list()), len(_told(log))) == (24, 24)
    verified = log.verify()
    assert verified
    assert list(verified.heads) == [entries.WRITER]


@pytest.mark.parametrize("locks", [True, False])
def test_one_transaction_changes_the_keys_at_a_time(
    locks: bool, db: database.Database, store: KeyStore, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not locks:
        if db.engine.dialect.name == "sqlite":
            pytest.skip("every writer of SQLite waits for the others, whatever is asked")
        monkeypatch.setattr(keystore.entries, "alone", database.Database.begin)
    other = threading.Thread(target=lambda: store.issue(ASKED, act, pepper=PEPPER))
    with entries.alone(db):
        other.start()
        other.join(0.5)
        waits = other.is_alive()
    other.join(30)
    assert waits is locks
    assert len(store.list()) == 1


def test_a_rotated_key_stays_valid_for_the_overlap(
    store: KeyStore, act: Act, now: datetime
) -> None:
    old = store.issue(ASKED, act, pepper=PEPPER).record
    later = replace(act, now=now + 10 * DAY)
    new = _rotated(store, old.id, later, overlap=2 * DAY, lifetime=30 * DAY)
    assert isinstance(new, Issued)
    kept = _one(store, old.id)
    assert (kept.rotated_to, kept.expires_at) == (new.record.id, now + 12 * DAY)
    assert new.record.rotated_from == old.id
    assert new.record.expires_at == now + 40 * DAY
    same = ("name", "roles", "scopes", "regions", "teams")
    assert all(getattr(new.record, each) == getattr(old, each) for each in same)
    assert _one(store, new.record.id) == new.record


def test_a_rotation_makes_nothing_valid_for_longer_or_earlier(
    store: KeyStore, act: Act, now: datetime
) -> None:
    short = store.issue(replace(ASKED, lifetime=timedelta(hours=1)), act, pepper=PEPPER).record
    _rotated(store, short.id, act, overlap=DAY)
    assert _one(store, short.id).expires_at == short.expires_at
    later = store.issue(replace(ASKED, not_before=now + 5 * DAY), act, pepper=PEPPER).record
    new = _rotated(store, later.id, act)
    assert isinstance(new, Issued)
    assert new.record.not_before == later.not_before


def test_what_ended_or_was_rotated_is_not_rotated(store: KeyStore, act: Act) -> None:
    revoked, expired, rotated = (store.issue(ASKED, act, pepper=PEPPER).record for _ in range(3))
    store.revoke(revoked.id, act)
    _rotated(store, rotated.id, act)
    late = replace(act, now=expired.expires_at)
    for id, moment, words in (
        (revoked.id, act, "one revoked"),
        (expired.id, late, "one expired"),
        (rotated.id, act, "one rotated to"),
    ):
        refused = _rotated(store, id, moment)
        assert isinstance(refused, Refusal)
        assert words in str(refused)
    assert len(store.list()) == 4


def test_a_second_revocation_is_refused_and_changes_nothing(
    store: KeyStore, act: Act, now: datetime, log: journal.Journal
) -> None:
    issued = store.issue(ASKED, act, pepper=PEPPER).record
    store.revoke(issued.id, act)
    again = store.revoke(issued.id, replace(act, now=now + DAY))
    assert isinstance(again, Refusal)
    assert _one(store, issued.id).revoked_at == now
    assert len(_told(log)) == 2


def test_the_status_follows_the_clock(store: KeyStore, act: Act, now: datetime) -> None:
    asked = replace(ASKED, not_before=now + DAY, lifetime=DAY)
    record = store.issue(asked, act, pepper=PEPPER).record
    moments = [now, now + DAY, now + 2 * DAY - timedelta.resolution, now + 2 * DAY]
    assert [record.status(at) for at in moments] == [
        Status.NOT_YET_VALID,
        Status.ACTIVE,
        Status.ACTIVE,
        Status.EXPIRED,
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"roles": ()}, "must have a role, got none"),
        ({"roles": ("viwer",)}, "did you mean 'viewer'?"),
        ({"scopes": ("decisions:mke",)}, "did you mean 'decisions:make'?"),
        ({"scopes": ("keys:manage",)}, "must be a permission of the roles"),
        ({"name": ""}, "the name of a key must be 1 to 200"),
        ({"regions": ("a\nb",)}, "a region must be 1 to 200 printable"),
        ({"teams": ("",)}, "a team must be 1 to 200"),
        ({"lifetime": timedelta(0)}, "1 seconds to 366 days, got 0:00:00"),
        ({"lifetime": 367 * DAY}, "got 367 days"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    store: KeyStore, act: Act, log: journal.Journal, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(WrongUse) as caught:
        store.issue(replace(ASKED, **changed), act, pepper=PEPPER)
    assert words in str(caught.value)
    assert (store.list(), _told(log)) == ([], [])


@pytest.mark.parametrize(
    ("actor", "reason"), [("", "x"), ("ada", ""), ("ada", "  "), ("ada", "a\nb"), ("a", "x" * 501)]
)
def test_nobody_changes_keys_without_a_name_and_a_reason(
    actor: str, reason: str, now: datetime
) -> None:
    with pytest.raises(WrongUse, match=r"(the actor|a reason) must"):
        Act(actor=actor, reason=reason, now=now)


def test_an_unknown_id_is_refused_and_a_whole_key_not_repeated(store: KeyStore, act: Act) -> None:
    issued = store.issue(ASKED, act, pepper=PEPPER)
    with pytest.raises(WrongUse, match="got 'abc'"):
        store.revoke("abc", act)
    with pytest.raises(WrongUse, match="got a whole key") as caught:
        store.revoke(issued.key.text, act)
    assert issued.key.secret not in str(caught.value)


def test_a_role_that_is_no_longer_known_allows_nothing(
    db: database.Database, store: KeyStore, act: Act
) -> None:
    store.issue(replace(ASKED, scopes=None), act, pepper=PEPPER)
    with db.begin() as connection:
        connection.execute(schema.access_keys.update().values(roles='["emperor"]'))
    (record,) = store.list()
    assert record.principal(load_roles()).permissions == frozenset()


def _bytes(db: database.Database, folder: Path) -> bytes:
    """Everything that the database holds: its files, or its rows as text."""
    files = b"".join(path.read_bytes() for path in sorted(folder.glob("current.db*")))
    with db.connect() as connection:
        rows = [repr(row) for table in schema.METADATA.sorted_tables
                for row in connection.execute(sa.select(table))]  # fmt: skip
    return files + "".join(rows).encode()


def _spellings(key: apikeys.ApiKey) -> list[bytes]:
    raw = base64.urlsafe_b64decode(key.secret + "=")
    return [key.secret.encode(), raw, raw.hex().encode()]


def _leaks(db: database.Database, folder: Path, key: apikeys.ApiKey) -> list[bytes]:
    held = _bytes(db, folder)
    assert key.id.encode() in held
    return [spelling for spelling in _spellings(key) if spelling in held]


def test_the_database_holds_no_key(
    db: database.Database, store: KeyStore, act: Act, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    one = store.issue(ASKED, act, pepper=PEPPER)
    two = _rotated(store, one.record.id, act)
    assert isinstance(two, Issued)
    store.revoke(one.record.id, act)
    for issued in (one, two):
        assert _leaks(db, tmp_path, issued.key) == []
        assert issued.key.secret not in caplog.text + repr((issued, store, store.list()))
    assert PEPPER not in _bytes(db, tmp_path)


def test_a_key_stored_in_clear_would_be_found(
    db: database.Database, store: KeyStore, act: Act, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(apikeys, "hashed", lambda key, pepper: key.secret.encode())
    issued = store.issue(ASKED, act, pepper=PEPPER)
    assert _leaks(db, tmp_path, issued.key) == [issued.key.secret.encode()]


def test_a_key_in_the_journal_would_be_found(
    db: database.Database, store: KeyStore, act: Act, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    append = entries.append

    def talkative(connection: sa.Connection, kind: str, body: dict[str, Any], act: Act) -> None:
        append(connection, kind, body | {"secret": made[0].secret}, act)

    made: list[apikeys.ApiKey] = []
    make = apikeys.make
    monkeypatch.setattr(apikeys, "make", lambda random: made.append(make(random)) or made[0])
    monkeypatch.setattr(entries, "append", talkative)
    store.issue(ASKED, act, pepper=PEPPER)
    assert _leaks(db, tmp_path, made[0])


def test_the_pepper_is_made_once_and_only_when_it_may(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(WrongUse, match="access key"):
        pepper.load(settings, may_make=False)
    first = pepper.load(settings, may_make=True)
    assert (len(first), pepper.load(settings, may_make=False)) == (32, first)
    (tmp_path / pepper.FILE).chmod(0o640)
    with pytest.raises(WrongUse, match="closed to others") as caught:
        pepper.load(settings, may_make=True)
    assert base64.b64encode(first).decode() not in str(caught.value)


def test_it_opens_again(current_url: str, act: Act) -> None:
    with closing(database.open_database(current_url)) as one:
        issued = KeyStore(one, load_roles()).issue(ASKED, act, pepper=PEPPER)
    with closing(database.open_database(current_url)) as other:
        assert KeyStore(other, load_roles()).list() == [issued.record]
