"""The vault: what it keeps, who can read it, and that what is destroyed is gone from the files."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from cluster import anchor, database, envelope, errors, masterkey, schema, shredding, vault
from cluster import subjects as checks
from cluster.settings import ROOT, Settings
from cluster.workspace import Workspace

UNHINDERED_S = 10.0  # longer than work takes that nothing holds up

type Race = Callable[[str, Path, int], int]


@pytest.fixture(scope="module", autouse=True)
def keepers() -> Iterator[Race]:
    """Race processes for a new vault: returns how many failed. Starts beside the other tests."""
    # Arrow's allocator has a thread of its own, which survives a fork: not worth a warning.
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-m",
        "tests.cluster.child_keeper",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        into, out = process.stdin, process.stdout

        def race(url: str, home: Path, count: int) -> int:
            into.write(json.dumps({"url": url, "home": str(home), "count": count}) + "\n")
            into.flush()
            return int(out.readline())

        yield race


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose home folder is there."""
    home = tmp_path / "home"
    home.mkdir()
    return Settings(home=home)


@pytest.fixture
def kept(db: database.Database, settings: Settings) -> vault.Vault:
    """An open vault."""
    return vault.open_vault(db, settings)


@pytest.fixture
def someone(kept: vault.Vault) -> str:
    """A subject."""
    return _subjects(kept, 1)[0]


def _subjects(kept: vault.Vault, count: int) -> list[str]:
    names: list[str] = kept.pseudonyms("crm", pa.array([str(n) for n in range(count)])).to_pylist()
    return names


def _people(*rows: tuple[str, str, str | None]) -> pa.Table:
    subjects, fields, values = zip(*rows, strict=True)
    columns = {"subject": pa.array(subjects), "field": pa.array(fields)}
    return pa.table({**columns, "value": pa.array(values, pa.string())})


def _count(db: database.Database, table: sa.Table) -> int:
    with db.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _wrapped(db: database.Database) -> dict[str, bytes]:
    table = schema.subjects
    with db.connect() as connection:
        rows = connection.execute(sa.select(table.c.subject, table.c.wrapped_key))
        return {subject: key for subject, key in rows if key}


def test_what_is_kept_is_found_by_field(kept: vault.Vault, someone: str, now: datetime) -> None:
    rows = [(someone, "name", "Ada"), (someone, "mail", "b@c"), (someone, "mail", "a@c")]
    done = kept.keep(_people(*rows, rows[0], (someone, "phone", None)), now)
    assert (done.added, done.refused) == (3, ())
    assert kept.identity(someone) == {"mail": ["a@c", "b@c"], "name": ["Ada"]}


def test_a_replay_adds_nothing(kept: vault.Vault, db: database.Database, now: datetime) -> None:
    people = _people(*((subject, "name", "Ada") for subject in _subjects(kept, 20)))
    assert [kept.keep(people, now).added for _ in range(2)] == [20, 0]
    assert (_count(db, schema.subjects), _count(db, schema.identities)) == (20, 20)


def test_parts_of_a_large_table_are_kept_like_one(
    kept: vault.Vault, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "PART_ROWS", 7)
    names = _subjects(kept, 10)
    rows = [(subject, field, field) for subject in names for field in ("a", "b", "c")]
    assert kept.keep(_people(*rows), now).added == 30
    assert all(kept.identity(s) == {"a": ["a"], "b": ["b"], "c": ["c"]} for s in names)


def test_nothing_is_kept_of_an_empty_table(kept: vault.Vault, now: datetime) -> None:
    empty = _people(("p" * 27, "name", None))
    assert kept.keep(empty, now) == vault.Kept(added=0, refused=())


def test_of_a_stranger_nothing_is_known(kept: vault.Vault, someone: str) -> None:
    assert kept.identity(someone) == {}


def test_what_is_sealed_opens_for_its_subject_and_field_alone(
    kept: vault.Vault, now: datetime
) -> None:
    one, two, never = _subjects(kept, 3)
    sealed = kept.seal(one, "row", b"\x00raw", now)
    kept.seal(two, "row", b"other", now)
    assert kept.open(one, "row", sealed) == b"\x00raw"
    for subject, field in ((two, "row"), (one, "note"), (never, "row")):
        with pytest.raises(envelope.NotOpened):
            kept.open(subject, field, sealed)


def test_many_are_sealed_in_their_order(
    kept: vault.Vault, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "PART_ROWS", 2)
    subjects = _subjects(kept, 3)
    kept.destroy(subjects[1], now)
    data = [b"a", b"b", b"c", None]
    table = pa.table({"subject": [*subjects, subjects[0]], "field": ["row"] * 4, "data": data})
    sealed = kept.seal_many(table, now)
    assert (sealed.type, sealed.is_null().to_pylist()) == (pa.binary(), [False, True, False, True])
    opened = kept.open_many(table.drop_columns("data").append_column("sealed", sealed))
    assert opened.to_pylist() == [b"a", None, b"c", None]
    assert kept.open(subjects[2], "row", sealed[2].as_py()) == b"c"


def test_of_many_one_that_was_moved_is_found(kept: vault.Vault, now: datetime) -> None:
    one, two, never = _subjects(kept, 3)
    sealed = kept.seal(one, "row", b"raw", now)
    kept.seal(two, "row", b"", now)
    for subject in (two, never):
        table = {"subject": [one, subject], "field": ["row"] * 2, "sealed": [sealed] * 2}
        with pytest.raises(envelope.NotOpened):
            kept.open_many(pa.table(table))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("canary@example.org", "name", "Ada"), "a subject must be a pseudonym"),
        ((None, "name", "Ada"), "a subject must be a pseudonym"),
        (("p" * 27 + "\n", "name", "Ada"), "a subject must be a pseudonym"),
        (("p" * 27, "canary@example.org", "Ada"), "a field must be a name"),
        (("p" * 27, "+49 30 1234", "Ada"), "a field must be a name"),
    ],
)
def test_no_value_can_be_stored_in_the_place_of_a_name(
    kept: vault.Vault, now: datetime, row: tuple[str, str, str], said: str
) -> None:
    with pytest.raises(errors.WrongUse, match=said) as refused:
        kept.keep(_people(row), now)
    assert "canary" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_unchecked_a_value_would_lie_in_the_file(
    workspace: Workspace, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_all_match", lambda *_: True)
    workspace.vault.keep(_people(("canary@example.org", "name", "Ada")), now)
    assert b"canary@example.org" in _raw(workspace.settings.home)


def test_a_wrong_table_is_refused_without_its_values(kept: vault.Vault, now: datetime) -> None:
    with pytest.raises(errors.WrongUse, match="none called 'value': did you mean 'values'"):
        kept.keep(pa.table({"subject": ["a"], "field": ["b"], "values": ["c"]}), now)
    nested = pa.table({"subject": ["p" * 27], "field": ["b"], "value": [["canary"]]})
    with pytest.raises(errors.WrongUse, match="cast its columns") as refused:
        kept.keep(nested, now)
    assert "canary" not in str(refused.value)


def test_a_destroyed_subject_is_gone_for_ever(
    kept: vault.Vault, db: database.Database, someone: str, now: datetime
) -> None:
    people = _people((someone, "name", "Ada"))
    kept.keep(people, now)
    sealed = kept.seal(someone, "row", b"raw", now)
    assert [kept.destroy(someone, now) for _ in range(2)] == [True, False]
    assert kept.keep(people, now) == vault.Kept(added=0, refused=(someone,))
    assert (_count(db, schema.subjects), _count(db, schema.identities)) == (1, 0)
    for ask in (
        lambda: kept.open(someone, "row", sealed),
        lambda: kept.seal(someone, "row", b"raw", now),
        lambda: kept.identity(someone),
    ):
        with pytest.raises(vault.Erased):
            ask()


def test_the_others_stay_when_one_is_destroyed(kept: vault.Vault, now: datetime) -> None:
    one, two = _subjects(kept, 2)
    people = _people((one, "name", "Ada"), (two, "name", "Bo"))
    kept.keep(people, now)
    kept.destroy(one, now)
    assert kept.identity(two) == {"name": ["Bo"]}
    assert kept.keep(people, now).refused == (one,)


def test_a_subject_never_seen_can_be_destroyed(
    kept: vault.Vault, someone: str, now: datetime
) -> None:
    assert [kept.destroy(someone, now) for _ in range(2)] == [True, False]
    assert kept.keep(_people((someone, "name", "Ada")), now).refused == (someone,)


def test_what_one_vault_destroys_no_other_opens(
    kept: vault.Vault, db: database.Database, settings: Settings, someone: str, now: datetime
) -> None:
    other = vault.open_vault(db, settings)
    sealed = other.seal(someone, "row", b"raw", now)
    assert other.open(someone, "row", sealed) == b"raw"
    kept.destroy(someone, now)
    with pytest.raises(vault.Erased):
        other.open(someone, "row", sealed)


def test_pseudonyms_survive_opening_again(
    kept: vault.Vault, db: database.Database, settings: Settings
) -> None:
    assert _subjects(vault.open_vault(db, settings), 3) == _subjects(kept, 3)


def test_a_wrong_master_key_is_refused_before_anything_is_done(
    kept: vault.Vault, db: database.Database, settings: Settings
) -> None:
    wrong = base64.b64encode(bytes(32)).decode()
    other = Settings.model_validate({"home": settings.home, "master_key": wrong})
    with pytest.raises(errors.WrongUse, match="must open what is in the vault") as refused:
        vault.open_vault(db, other)
    assert wrong not in str(refused.value)


def test_a_vault_with_keys_never_makes_a_new_master_key(
    kept: vault.Vault, db: database.Database, settings: Settings
) -> None:
    (settings.home / masterkey.FILE).unlink()
    with pytest.raises(errors.WrongUse, match="No such file"):
        vault.open_vault(db, settings)
    assert not list(settings.home.iterdir())


def test_after_rotation_the_new_key_opens_all_and_the_old_nothing(
    kept: vault.Vault, db: database.Database, settings: Settings, now: datetime
) -> None:
    one, two = _subjects(kept, 2)
    kept.keep(_people((one, "name", "Ada"), (two, "name", "Bo")), now)
    sealed = kept.seal(one, "row", b"raw", now)
    kept.destroy(two, now)
    old, new = masterkey.load(settings, may_make=False), bytes(range(32))
    assert anchor.rewrap(db, old, new) == 1
    rotated = vault.open_vault(db, settings.model_copy(update={"master_key": _secret(new)}))
    assert (rotated.open(one, "row", sealed), rotated.identity(one)) == (b"raw", {"name": ["Ada"]})
    assert _subjects(rotated, 2) == [one, two]
    with pytest.raises(errors.WrongUse):
        vault.open_vault(db, settings)


def _secret(key: bytes) -> Any:
    spelt = {"home": "/", "master_key": base64.b64encode(key).decode()}
    return Settings.model_validate(spelt).master_key


def _rotate(db: database.Database, settings: Settings) -> None:
    anchor.rewrap(db, masterkey.load(settings, may_make=False), bytes(range(32)))


def test_who_holds_the_old_key_can_no_longer_write(
    kept: vault.Vault, db: database.Database, settings: Settings, someone: str, now: datetime
) -> None:
    _rotate(db, settings)
    with pytest.raises(errors.WrongUse, match="one replaced since"):
        kept.keep(_people((someone, "name", "Ada")), now)
    assert _count(db, schema.subjects) == 0


def test_unchecked_it_would_write_what_nobody_can_open(
    kept: vault.Vault,
    db: database.Database,
    settings: Settings,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _rotate(db, settings)
    monkeypatch.setattr(vault.anchor, "read", lambda *_, **__: kept._anchor)
    one = _subjects(kept, 1)[0]
    kept.keep(_people((one, "name", "Ada")), now)
    monkeypatch.undo()
    new = settings.model_copy(update={"master_key": _secret(bytes(range(32)))})
    with pytest.raises(envelope.NotOpened):
        vault.open_vault(db, new).identity(one)


def test_a_rotation_that_fails_changes_nothing(
    kept: vault.Vault, db: database.Database, settings: Settings, someone: str, now: datetime
) -> None:
    kept.keep(_people((someone, "name", "Ada")), now)
    with pytest.raises(errors.WrongUse):
        anchor.rewrap(db, bytes(32), bytes(range(32)))
    with db.begin() as connection:
        connection.execute(schema.subjects.update().values(wrapped_key=bytes(40)))
    with pytest.raises(envelope.NotOpened):
        _rotate(db, settings)
    assert _subjects(vault.open_vault(db, settings), 1) == [someone]


def test_processes_that_race_end_with_one_key_of_each_kind(
    current_url: str, db: database.Database, settings: Settings, keepers: Race
) -> None:
    failed = keepers(current_url, settings.home, 4)
    opened = vault.open_vault(db, settings)
    values = {"name": ["own-0", "own-1", "own-2", "own-3", "shared"]}
    assert failed == 0
    assert [opened.identity(s) for s in _subjects(opened, 50)] == [values] * 50


def _keep_while_another_does(
    kept: vault.Vault, other: vault.Vault, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> dict[str, list[str]]:
    one, fresh = _subjects(kept, 1)[0], kept._fresh

    def late(names: list[str], now: datetime) -> Any:
        if names:
            other.keep(_people((one, "name", "Bo")), now)
        return fresh(names, now)

    monkeypatch.setattr(kept, "_fresh", late)
    kept.keep(_people((one, "name", "Ada")), now)
    return kept.identity(one)


@pytest.mark.parametrize("current_url", ["postgresql"], indirect=True)
def test_who_comes_second_uses_the_key_of_the_first(
    kept: vault.Vault,
    db: database.Database,
    settings: Settings,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = vault.open_vault(db, settings)
    found = _keep_while_another_does(kept, other, monkeypatch, now)
    assert found == {"name": ["Ada", "Bo"]}


@pytest.mark.parametrize("current_url", ["postgresql"], indirect=True)
def test_without_reading_back_its_values_would_be_lost(
    kept: vault.Vault,
    db: database.Database,
    settings: Settings,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hasty(connection: sa.Connection, names: list[str], now: datetime) -> vault.Keys:
        rows = kept._fresh(names, now)
        db.insert_new(connection, schema.subjects, rows)
        return {str(row["subject"]): kept._key(bytes(row["wrapped_key"])) for row in rows}  # type: ignore[call-overload]

    monkeypatch.setattr(kept, "_make", hasty)
    with pytest.raises(envelope.NotOpened):
        _keep_while_another_does(kept, vault.open_vault(db, settings), monkeypatch, now)


def _keep_while(
    work: Callable[[], object],
    kept: vault.Vault,
    monkeypatch: pytest.MonkeyPatch,
    now: datetime,
    wait_s: float = 0.3,
) -> None:
    """Keep a new subject and one with a key; `work` begins before the values are stored."""
    one, two = _subjects(kept, 2)
    worker, digests = threading.Thread(target=work), vault._digests

    def slow(connection: sa.Connection, names: list[str]) -> Any:
        worker.start()
        worker.join(wait_s)
        return digests(connection, names)

    kept.seal(one, "row", b"", now)
    with monkeypatch.context() as patch:
        patch.setattr(vault, "_digests", slow)
        kept.keep(_people((one, "name", "Ada"), (two, "name", "Bo")), now)
    worker.join()


def _unlocked(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *arguments, lock=False: locked(*arguments))


def test_a_subject_destroyed_while_it_is_kept_leaves_nothing(
    kept: vault.Vault, db: database.Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = _subjects(kept, 2)
    _keep_while(lambda: kept.destroy(one, now), kept, monkeypatch, now)
    assert (_count(db, schema.identities), list(_wrapped(db))) == (1, [two])


@pytest.mark.parametrize("current_url", ["postgresql"], indirect=True)
def test_without_a_lock_on_the_subject_it_would_leave_a_value(
    kept: vault.Vault, db: database.Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    _unlocked(kept, "_read", monkeypatch)
    one = _subjects(kept, 1)[0]
    _keep_while(lambda: kept.destroy(one, now), kept, monkeypatch, now, UNHINDERED_S)
    assert (_count(db, schema.identities), one in _wrapped(db)) == (2, False)


def _found_after_rotation_while_kept(
    kept: vault.Vault, db: database.Database, settings: Settings, *given: Any
) -> list[dict[str, list[str]]]:
    _keep_while(lambda: _rotate(db, settings), kept, *given)
    rotated = settings.model_copy(update={"master_key": _secret(bytes(range(32)))})
    opened = vault.open_vault(db, rotated)
    return [opened.identity(subject) for subject in _subjects(opened, 2)]


def test_a_rotation_waits_for_those_who_keep(
    kept: vault.Vault,
    db: database.Database,
    settings: Settings,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = _found_after_rotation_while_kept(kept, db, settings, monkeypatch, now)
    assert found == [{"name": ["Ada"]}, {"name": ["Bo"]}]


@pytest.mark.parametrize("current_url", ["postgresql"], indirect=True)
def test_without_a_lock_on_the_anchor_a_new_key_would_be_lost(
    kept: vault.Vault,
    db: database.Database,
    settings: Settings,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _unlocked(anchor, "read", monkeypatch)
    _unlocked(kept, "_read", monkeypatch)
    with pytest.raises(envelope.NotOpened):
        _found_after_rotation_while_kept(kept, db, settings, monkeypatch, now, UNHINDERED_S)


def test_of_two_rotations_at_once_one_is_refused(
    kept: vault.Vault, db: database.Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _rotate(db, settings)
    monkeypatch.setattr(anchor, "read", lambda *_, **__: kept._anchor)  # read before the other
    with pytest.raises(errors.WrongUse, match="one replaced just now"):
        _rotate(db, settings)


def _raw(*folders: Path) -> bytes:
    files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
    return b"".join(file.read_bytes() for file in files)


def _found_after_destroying(workspace: Workspace, now: datetime) -> tuple[int, int]:
    """Return how many wrapped keys a raw scan finds: of 60 destroyed, of 60 kept."""
    subjects = _subjects(workspace.vault, 120)
    for part in (subjects[:50], subjects[50:]):
        workspace.vault.keep(_people(*((s, "name", "Ada") for s in part)), now)
    wrapped = _wrapped(workspace.database)
    for subject in subjects[::2]:
        workspace.vault.destroy(subject, now)
    raw = _raw(workspace.settings.home)
    gone, left = ([wrapped[s] in raw for s in subjects[start::2]] for start in (0, 1))
    return sum(gone), sum(left)


def test_no_file_holds_the_key_of_a_destroyed_subject(workspace: Workspace, now: datetime) -> None:
    assert _found_after_destroying(workspace, now) == (0, 60)


def _let_be(connection: sa.Connection) -> None:
    connection.exec_driver_sql("PRAGMA secure_delete=OFF").close()  # some builds have it on


@pytest.mark.parametrize(("defence", "off"), [("secure", _let_be), ("scrub", lambda _: None)])
def test_without_a_defence_a_raw_scan_finds_keys(
    workspace: Workspace, now: datetime, monkeypatch: pytest.MonkeyPatch, defence: str, off: Any
) -> None:
    monkeypatch.setattr(shredding, defence, off)
    gone, left = _found_after_destroying(workspace, now)
    assert gone > 0
    assert left == 60


def test_a_log_that_is_being_read_is_reported_and_cleaned_later(
    workspace: Workspace, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    with Workspace.open(workspace.settings) as hasty, workspace.database.connect() as reader:
        one = _subjects(hasty.vault, 1)[0]
        hasty.vault.seal(one, "row", b"raw", now)
        wrapped = _wrapped(hasty.database)[one]
        reader.execute(sa.select(schema.subjects)).all()
        with pytest.raises(shredding.NotScrubbed, match="destroy it again"):
            hasty.vault.destroy(one, now)
        reader.rollback()
        assert not hasty.vault.destroy(one, now)
        assert wrapped not in _raw(hasty.settings.home)


def _spellings(text: str) -> Iterator[bytes]:
    data = text.encode()
    yield from (data, text.encode("utf-16-le"), data.hex().encode(), hashlib.sha256(data).digest())
    yield from (hashlib.sha256(data).hexdigest().encode(), base64.b64encode(data).rstrip(b"="))


def test_no_file_holds_an_identity_in_any_spelling(workspace: Workspace, now: datetime) -> None:
    canaries = [f"canary.{n}@example.org" for n in range(200)]
    subjects = workspace.vault.pseudonyms("e-mail", pa.array(canaries)).to_pylist()
    workspace.vault.keep(
        _people(*((s, "mail", c) for s, c in zip(subjects, canaries, strict=True))), now
    )
    for subject, canary in zip(subjects, canaries, strict=True):
        workspace.vault.seal(subject, "row", canary.encode(), now)
    raw = _raw(workspace.settings.home)
    assert not [c for c in canaries for spelling in _spellings(c) if spelling in raw]
    assert all(subject.encode() in raw for subject in subjects)
    assert workspace.vault.identity(subjects[7]) == {"mail": [canaries[7]]}


def test_without_sealing_the_scan_would_find_them(
    workspace: Workspace, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope, "seal", lambda key, data, **_: data)
    with pytest.raises(AssertionError, match="canary"):
        test_no_file_holds_an_identity_in_any_spelling(workspace, now)


def test_a_workspace_without_persons_needs_no_master_key(workspace: Workspace) -> None:
    assert not (workspace.settings.home / masterkey.FILE).exists()
    assert workspace.vault is workspace.vault
    assert (workspace.settings.home / masterkey.FILE).exists()


def test_a_database_of_the_first_revision_keeps_its_content(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"key": "k", "job": "j", "status": "done", "inputs": "{}", "started_at": 0}
    with monkeypatch.context() as patch:
        patch.setattr(schema, "REVISION", "0001")
        older = database.open_database(database_url)
        with older.begin() as connection:
            connection.execute(schema.runs.insert().values(row))
        assert "subjects" not in sa.inspect(older.engine).get_table_names()
        older.close()
    newer = database.open_database(database_url)
    assert (_count(newer, schema.runs), _count(newer, schema.identities)) == (1, 0)
    newer.close()
