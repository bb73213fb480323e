"""The SQL database: one file (SQLite) by default, PostgreSQL by URL; opened at the newest schema.

A write transaction takes its lock when it begins and is durable when it ends, on both.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from cluster import errors, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY_TIMEOUT_S = 30
TURN_S = 0.001  # between two looks whether another still writes
LONGEST_LOG = 20_000  # pages; a commit that makes it longer folds it: see cluster.folding
POSTGRESQL_DRIVER = "postgresql+psycopg"

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": POSTGRESQL_DRIVER,
    "postgresql": POSTGRESQL_DRIVER,
    POSTGRESQL_DRIVER: POSTGRESQL_DRIVER,
}
_INSERT: dict[str, Callable[[sa.Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
_MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x46554E4E454C  # any fixed number: the key of PostgreSQL's advisory lock
_ONE_UPGRADE = threading.Lock()  # Alembic keeps its context in a global of the process
_BEGIN_TO_WRITE = "BEGIN IMMEDIATE"
_WRITE = "funnelcast_write"  # execution option that marks a write transaction


class DatabaseBroken(errors.FunnelcastError):
    """The database cannot be reached or is not at a schema that this version knows."""


@dataclass(frozen=True)
class Database:
    """An open database. Safe to share between threads; never travels between processes."""

    engine: sa.Engine

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Yield the connection of one write transaction: committed at the end, or not at all."""
        with self.engine.connect() as connection:
            writer = connection.execution_options(**{_WRITE: True})
            with writer.begin():
                yield writer

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """Yield a connection to read with; what is written on it is rolled back."""
        with self.engine.connect() as connection:
            yield connection

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, object]]
    ) -> None:
        """Insert the rows whose primary key is not there yet, and leave the others as they are."""
        if rows:
            insert = _INSERT[connection.dialect.name]
            connection.execute(insert(table).on_conflict_do_nothing(), rows)

    def close(self) -> None:
        """Close the pooled connections; the database opens them again when asked."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open the database at `url`, creating or upgrading its tables if they are not the newest.

    `sqlite:////absolute/path.db`, or `postgresql://user@host/name` (through psycopg 3). Raises
    WrongUse for another URL, DatabaseBroken if it cannot be opened or is newer than this version.
    """
    engine = _engine(_parse(url))
    try:
        _prepare(engine)
    except Exception as error:
        engine.dispose()
        if isinstance(error, sa.exc.DBAPIError | sqlite3.Error | OSError):
            raise _unopened(engine.url, error) from error
        raise
    return Database(engine)


def driver_url(url: str) -> str:
    """Return `url` with the driver and the waiting time that every other user of it must share.

    The text holds the password. Raises WrongUse as `open_database` does.
    """
    return _parse(url).render_as_string(hide_password=False)


def cause(error: BaseException) -> str:
    """Return the driver's own words on one line, without the statement and its private values."""
    words = str(getattr(error, "orig", None) or error) or type(error).__name__
    return " ".join(words.split())


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        # The text is not repeated, nor chained: it may hold a password.
        raise errors.WrongUse(
            "a database is named by a URL, got text that is none: "
            "write sqlite:////absolute/path.db or postgresql://user@host/name"
        ) from None
    if parsed.drivername not in _DRIVERS:
        raise errors.WrongUse(
            f"a database is SQLite or PostgreSQL, got '{parsed.drivername}': "
            f"{errors.nearest(parsed.drivername, _DRIVERS)}"
        )
    parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    return _file(parsed) if parsed.drivername == "sqlite" else parsed


def _file(url: sa.URL) -> sa.URL:
    if not Path(url.database or "").is_absolute():
        raise errors.WrongUse(
            f"an SQLite database is a file with an absolute path, got '{url.database or ''}': "
            "write sqlite:////absolute/path.db"
        )
    return url.update_query_dict({"timeout": str(BUSY_TIMEOUT_S)})


def _engine(url: sa.URL) -> sa.Engine:
    if url.drivername == "sqlite":
        engine = sa.create_engine(url, hide_parameters=True)  # errors are told; values not
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
    sa.event.listen(engine, "connect", _configure_postgresql)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions on its own, and only at the first change: too late for
    # BEGIN IMMEDIATE, without which a transaction that reads first can fail when it writes.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA wal_autocheckpoint={LONGEST_LOG}")


def _begin_sqlite(connection: sa.Connection) -> None:
    if connection.get_execution_options().get(_WRITE, False):
        _begin_to_write(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_to_write(connection: sa.Connection) -> None:
    """Take the lock as soon as it is free. SQLite itself looks ever more seldom, every 100 ms in
    the end: where two processes write all the time, some transactions would wait for long.
    """
    driver: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
    until = time.monotonic() + BUSY_TIMEOUT_S
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while not _tried_to_write(driver) and time.monotonic() < until:
            time.sleep(TURN_S)
        if not driver.in_transaction:
            connection.exec_driver_sql(_BEGIN_TO_WRITE)  # fails in the words that callers know
    finally:
        driver.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")


def _tried_to_write(driver: sqlite3.Connection) -> bool:
    """Begin to write unless that fails; False while another writes."""
    try:
        driver.execute(_BEGIN_TO_WRITE)
    except sqlite3.Error as error:
        return "locked" not in str(error)
    return True


def _configure_postgresql(connection: Any, _record: object) -> None:
    # A server may be set to answer before its log is on disk; our acknowledgements must not.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()


def _prepare(engine: sa.Engine) -> None:
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        _use_wal(engine)
    database = Database(engine)
    with database.connect() as connection:
        current = _revision(connection) == schema.REVISION
    if not current:
        _upgrade(database)


def _use_wal(engine: sa.Engine) -> None:
    # Only the first opener changes the mode, and SQLite then answers "locked" to a second one at
    # once, whatever the waiting time.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    with closing(engine.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return version


def _upgrade(database: Database) -> None:
    # Imported here: Alembic takes longer to import than a current database takes to open.
    import alembic.command
    import alembic.config
    import alembic.util

    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with _ONE_UPGRADE, database.begin() as connection:
        _wait_for_other_openers(connection)
        found = _revision(connection)
        if found == schema.REVISION:
            return
        config.attributes["connection"] = connection
        try:
            alembic.command.upgrade(config, schema.REVISION)
        except alembic.util.CommandError as error:
            raise DatabaseBroken(
                f"the schema must be a revision up to {schema.REVISION}, got {found}: "
                "use the version of the program that wrote this database, or a newer one"
            ) from error


def _wait_for_other_openers(connection: sa.Connection) -> None:
    # On SQLite every write transaction has waited for the others already.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))


def _unopened(url: sa.URL, error: Exception) -> DatabaseBroken:
    shown = url.render_as_string(hide_password=True)
    return DatabaseBroken(
        f"the database must open, got '{cause(error)}' at {shown}: "
        "check that the address is right and may be written"
    )
