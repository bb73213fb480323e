"""The database: opening, migrating, and what a transaction promises."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic.config
import alembic.script
import pytest
import sqlalchemy as sa

from cluster import database, errors, schema
from tests import unsynced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

ROOT = Path(database.__file__).parent.parent


def test_opening_creates_every_table_as_declared(db: database.Database) -> None:
    inspector = sa.inspect(db.engine)
    for table in schema.METADATA.sorted_tables:
        stored = {c["name"]: c["nullable"] for c in inspector.get_columns(table.name)}
        assert stored == {c.name: c.nullable for c in table.columns}
        key = inspector.get_pk_constraint(table.name)["constrained_columns"]
        assert key == [c.name for c in table.primary_key]
        indexes = {i["name"] for i in inspector.get_indexes(table.name)}
        assert indexes >= {i.name for i in table.indexes}


def test_the_newest_revision_is_the_one_the_schema_names() -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(ROOT / "cluster" / "migrations"))
    heads = alembic.script.ScriptDirectory.from_config(config).get_heads()
    assert heads == [schema.REVISION]


def test_opening_a_current_database_is_quick(current_url: str) -> None:
    took = []
    for _ in range(3):
        started = time.monotonic()
        database.open_database(current_url).close()
        took.append(time.monotonic() - started)
    assert min(took) < 0.15


def test_opening_a_current_database_runs_no_migration(
    current_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_upgrade", lambda _: pytest.fail("migrated again"))
    database.open_database(current_url).close()


def test_processes_opening_an_empty_database_at_once_all_succeed(
    database_url: str, nurseries: list[Any]
) -> None:
    for nursery in nurseries:
        nursery.start("open", database_url)
    assert [nursery.finish() for nursery in nurseries] == [["exit 0"], ["exit 0"]]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_without_the_lock_one_of_two_openers_fails(
    database_url: str, nurseries: list[Any], tmp_path: Path
) -> None:
    for nursery in nurseries:
        nursery.start("open", database_url, prefix=str(tmp_path))
    said = sorted(nursery.finish() for nursery in nurseries)
    assert said == [["exit 0"], ["exit 256"]]


def test_threads_opening_an_empty_database_at_once_all_succeed(database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        for opened in pool.map(database.open_database, [database_url] * 6):
            opened.close()


def test_a_database_of_a_newer_version_is_refused(current_url: str) -> None:
    opened = database.open_database(current_url)
    with opened.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    opened.close()
    with pytest.raises(database.DatabaseBroken, match=r"9999.*use the version"):
        database.open_database(current_url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "absolute path"),
        ("sqlite:///relative.db", "relative.db"),
        ("mysql://host/name", "mysql"),
        ("postgresq://host/name", "did you mean 'postgresql'"),
        ("no url", "got text that is none"),
    ],
)
def test_a_wrong_url_is_refused_on_one_line(url: str, said: str) -> None:
    with pytest.raises(errors.WrongUse, match=said) as refused:
        database.open_database(url)
    assert "\n" not in str(refused.value)


def test_an_unreachable_database_is_named_without_its_password() -> None:
    with pytest.raises(database.DatabaseBroken, match=r"127\.0\.0\.1") as refused:
        database.open_database("postgresql://me:secret@127.0.0.1:1/none?connect_timeout=2")
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_driver_url_names_the_driver_and_keeps_the_password() -> None:
    url = database.driver_url("postgresql://me:secret@host/name")
    assert url == "postgresql+psycopg://me:secret@host/name"
    assert database.driver_url("sqlite:////x.db") == "sqlite:////x.db?timeout=30"


def test_what_a_failed_transaction_wrote_is_gone(db: database.Database) -> None:
    with pytest.raises(ZeroDivisionError), db.begin() as connection:
        connection.execute(_run("a"))
        raise ZeroDivisionError
    assert _count(db) == 0


def test_transactions_that_read_and_then_write_wait_for_one_another(
    db: database.Database,
) -> None:
    entered = threading.Barrier(4)

    def work(number: int) -> None:
        entered.wait()
        for step in range(10):
            with db.begin() as connection:
                connection.scalar(sa.select(sa.func.count()).select_from(schema.runs))
                connection.execute(_run(f"{number}-{step}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert _count(db) == 40


def test_without_begin_immediate_such_transactions_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        database, "_begin_sqlite", lambda connection: connection.exec_driver_sql("BEGIN")
    )
    db = database.open_database(f"sqlite:///{tmp_path}/mutant.db")
    with pytest.raises(sa.exc.OperationalError, match="locked"):
        test_transactions_that_read_and_then_write_wait_for_one_another(db)
    db.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[database.Database, sqlite3.Connection]]:
    """A database, and another connection that writes to it."""
    db = database.open_database(f"sqlite:///{tmp_path}/held.db")
    with closing(sqlite3.connect(tmp_path / "held.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield db, holder
    db.close()


def test_a_writer_begins_as_soon_as_another_is_done(
    held: tuple[database.Database, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks in even steps: nobody lets go while SQLite itself would wait."""
    (db, holder), slept = held, []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            holder.execute("COMMIT")

    monkeypatch.setattr(time, "sleep", sleep)
    with db.begin() as connection:
        connection.execute(_run("a"))
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    assert slept == [database.TURN_S] * 3
    assert _count(db) == 1


def test_a_writer_does_not_wait_for_ever(
    held: tuple[database.Database, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the one that callers know; afterwards all is as before."""
    db, holder = held
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    with pytest.raises(sa.exc.OperationalError, match="locked"), db.begin():
        pass
    holder.execute("COMMIT")
    with db.begin() as connection:
        connection.execute(_run("a"))
    assert _count(db) == 1


def test_sqlite_is_set_to_survive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_configure_sqlite", unsynced.configure_sqlite)
    db = database.open_database(f"sqlite:///{tmp_path}/test.db")
    with db.connect() as connection:
        names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    db.close()
    assert values == ["wal", 2, 30_000, 1]


def test_postgresql_answers_only_when_its_log_is_on_disk(
    postgresql_server: str, now: datetime
) -> None:
    lax = f"{postgresql_server}&options=-csynchronous_commit%3Doff"
    db = database.open_database(lax)
    with db.connect() as connection:
        assert connection.scalar(sa.text("SHOW synchronous_commit")) == "on"
    db.close()


def test_inserting_what_is_there_already_leaves_it_as_it_is(db: database.Database) -> None:
    old = {"event_id": "1", "shard": "s", "known_at": 1, "payload": b"old"}
    new = {"event_id": "2", "shard": "s", "known_at": 2, "payload": b"\x00\xff"}
    with db.begin() as connection:
        db.insert_new(connection, schema.online_events, [old])
        db.insert_new(connection, schema.online_events, [{**old, "payload": b"changed"}, new])
        rows = connection.execute(sa.select(schema.online_events)).mappings().all()
    assert [dict(row) for row in rows] == [old, new]


def test_times_keep_their_microseconds(now: datetime) -> None:
    assert schema.moment(schema.micros(now)) == now


def test_a_time_without_a_zone_is_refused(now: datetime) -> None:
    with pytest.raises(errors.WrongUse, match="time zone"):
        schema.micros(now.replace(tzinfo=None))


def _run(key: str) -> sa.Insert:
    values = {"key": key, "job": "j", "status": "done", "inputs": "{}", "started_at": 0}
    return schema.runs.insert().values(values)


def _count(db: database.Database) -> int | None:
    with db.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(schema.runs))
