"""SQLite's log is folded beside the commits: none of them waits for it, and it does not grow."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from cluster import database, folding, journal
from tests.drills import mostly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

BODY = journal.Spelt('{"text":"' + "x" * 2800 + '"}')
PAGES = 1_000  # that SQLite would let a log have


@pytest.fixture
def file(newest: Path, tmp_path: Path) -> Path:
    """An SQLite file at the newest schema."""
    return Path(shutil.copy(newest, tmp_path / "fold.db"))


@pytest.fixture
def db(file: Path) -> Iterator[database.Database]:
    """The file, open."""
    with closing(database.open_database(f"sqlite:///{file}")) as opened:
        yield opened


@pytest.fixture
def write(db: database.Database, now: datetime) -> Iterator[Callable[[int], None]]:
    """Append so many entries of about a page each, one commit after another."""
    with closing(journal.Journal(db, "w", wait_ms=0)) as log:
        yield lambda count: [log.record("k", BODY, now=now) for _ in range(count)] and None


def _in_file(file: Path, folder: Path) -> int:
    """Return how many entries the file holds without its log."""
    alone = shutil.copy(file, folder / "alone.db")
    with closing(sqlite3.connect(alone)) as connection:
        found: int = connection.execute("SELECT count(*) FROM journal").fetchone()[0]
    return found


def _wait_for(count: int, file: Path, folder: Path) -> None:
    until = time.monotonic() + 10
    while _in_file(file, folder) < count and time.monotonic() < until:
        time.sleep(0.05)


def _fold(db: database.Database) -> None:
    with closing(db.engine.raw_connection()) as connection:
        folding.fold(connection.driver_connection)


def test_no_commit_folds_and_fold_does(
    db: database.Database, file: Path, write: Callable[[int], None], tmp_path: Path
) -> None:
    write(PAGES // 2)
    assert _in_file(file, tmp_path) == 0
    _fold(db)
    assert _in_file(file, tmp_path) == PAGES // 2


def test_with_the_limit_of_sqlite_commits_fold(
    file: Path, write: Callable[[int], None], tmp_path: Path, db: database.Database
) -> None:
    """The mutant: then the same commits do what no commit should wait for."""
    connections = db.engine.pool
    sa.event.listen(connections, "checkout", _as_sqlite_has_it)
    write(PAGES // 2)
    assert _in_file(file, tmp_path) > 0


def _as_sqlite_has_it(connection: sqlite3.Connection, *_: object) -> None:
    connection.execute(f"PRAGMA wal_autocheckpoint={PAGES}")


@pytest.mark.parametrize("long", mostly([200, 1_000_000]), ids=["defence", "mutant"])
def test_a_long_log_begins_anew_instead_of_growing(
    db: database.Database,
    file: Path,
    write: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    long: int,
) -> None:
    """While others write: what is folded is never all, unless they are held for the rest."""
    monkeypatch.setattr(folding, "LONG", long)
    log, most = Path(f"{file}-wal"), 1.5 * 4096 * PAGES  # a commit writes about six pages
    for _ in range(1 if long == 200 else 9):  # by chance it begins anew without, now and then
        ahead = threading.Semaphore(2 if long == 200 else PAGES)  # lots that no fold has followed
        writer = threading.Thread(target=_in_lots, args=(write, ahead))
        writer.start()
        while writer.is_alive():
            _fold(db)
            ahead.release()
        if log.stat().st_size > most:
            break
    assert (log.stat().st_size < most) == (long == 200)


def _in_lots(write: Callable[[int], None], ahead: threading.Semaphore) -> None:
    """Write, but never far ahead of a folder that gets no time on a busy machine."""
    for _ in range(PAGES // 25):
        ahead.acquire(timeout=10)
        write(25)


def test_a_reader_of_older_pages_keeps_nobody_from_writing(
    db: database.Database,
    write: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    file: Path,
    tmp_path: Path,
) -> None:
    """What it reads stays in the log; when it has gone, all is folded."""
    monkeypatch.setattr(folding, "LONG", 10)
    write(20)
    with db.connect() as reader:
        (before,) = reader.execute(sa.text("SELECT count(*) FROM journal")).one()
        write(20)
        _fold(db)
        write(20)
        assert reader.execute(sa.text("SELECT count(*) FROM journal")).one() == (before,)
    _fold(db)
    assert _in_file(file, tmp_path) == 60


def test_the_thread_folds_while_entries_come_in(
    db: database.Database,
    file: Path,
    write: Callable[[int], None],
    tmp_path: Path,
) -> None:
    at_work = folding.Folding(db)
    at_work.start()
    write(200)
    _wait_for(200, file, tmp_path)
    assert _in_file(file, tmp_path) == 200
    at_work.close()
    assert "folding" not in {thread.name for thread in threading.enumerate()}


def test_the_thread_goes_on_when_a_fold_fails(
    db: database.Database,
    file: Path,
    write: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Whatever failed: the database, or no connection was free."""
    really, failures = folding.fold, [sqlite3.OperationalError("busy"), sa.exc.TimeoutError("all")]

    def fails_at_first(connection: object) -> None:
        if failures:
            raise failures.pop()
        really(connection)

    monkeypatch.setattr(folding, "AGAIN_S", 0.02)
    monkeypatch.setattr(folding, "fold", fails_at_first)
    at_work = folding.Folding(db)
    at_work.start()
    write(20)
    _wait_for(20, file, tmp_path)
    at_work.close()
    assert _in_file(file, tmp_path) == 20


def test_a_database_without_such_a_log_is_left_alone() -> None:
    """PostgreSQL does it on its own."""
    postgresql = sa.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    idle = folding.Folding(database.Database(postgresql))
    idle.start()
    assert "folding" not in {thread.name for thread in threading.enumerate()}
    idle.close()
