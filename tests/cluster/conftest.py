"""A database per test, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from cluster import database, journal
from tests.postgresql import new_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(database.__file__).parent.parent
NOW = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)


class Nursery:
    """A process that forks a child for each piece of work; see child_writer."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.child_writer"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, work: str, url: str, **details: object) -> None:
        """Let a child begin."""
        if self.process.stdin:
            self.process.stdin.write(json.dumps({"work": work, "url": url, **details}) + "\n")
            self.process.stdin.flush()

    def line(self) -> str:
        """Return the next line said: "pid <number>", an id acknowledged, or "exit <status>"."""
        return self.process.stdout.readline().strip() if self.process.stdout else ""

    def finish(self) -> list[str]:
        """Return every line until the child is gone, its exit the last."""
        lines = [self.line()]
        while not lines[-1].startswith("exit"):
            lines.append(self.line())
        return [line for line in lines if not line.startswith("pid")]

    def kill(self, after_s: float) -> set[str]:
        """Kill -9 the child `after_s` after it first acknowledged; return all it acknowledged."""
        child = int(self.line().removeprefix("pid "))
        said = self.line()
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        return {said, *self.finish()[:-1]}


@pytest.fixture(scope="session")
def nurseries() -> Iterator[list[Nursery]]:
    """Two processes to start children from, ready to fork."""
    both = [Nursery(), Nursery()]
    yield both
    for nursery in both:
        nursery.process.communicate()


@pytest.fixture(scope="session")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file at the newest schema, to be copied."""
    file = tmp_path_factory.mktemp("newest") / "newest.db"
    database.open_database(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="session")
def newest_postgresql(postgresql_server: str) -> str:
    """Name of a PostgreSQL database at the newest schema, to be copied."""
    url = new_postgresql(postgresql_server, name="newest")
    database.open_database(url).close()
    return "newest"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of this test's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    server = request.getfixturevalue("postgresql_server")
    return new_postgresql(server)


@pytest.fixture(params=["sqlite", "postgresql"])
def current_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database of this test's own, at the newest schema and without rows."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("newest"), tmp_path / "current.db")
        return f"sqlite:///{tmp_path}/current.db"
    template = request.getfixturevalue("newest_postgresql")
    server = request.getfixturevalue("postgresql_server")
    return new_postgresql(server, template)


@pytest.fixture
def db(current_url: str) -> Iterator[database.Database]:
    """An open database at the newest schema."""
    opened = database.open_database(current_url)
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
