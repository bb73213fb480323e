"""A program for tests that kill processes: forks one child per line of work and tells its fate.

A line on standard input is JSON: {"work": ..., "url": ..., "prefix": ..., "count": ...}. Standard
output says "pid <number>", then what the child says, then "exit <status>". Forking keeps the
imports, which take longer than the work.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alembic.command
import psycopg  # noqa: F401  before the fork, for every child

from cluster import database, journal, links

WRITER = "child"
THREADS = 4


class Owing(links.Links):
    """Says of every group that it is stored, and owes it."""

    def __init__(self, db: database.Database) -> None:
        super().__init__(db)
        self.owed: list[tuple[Any, Any]] = []

    def extend(self, rows: Any, after: Any) -> bool:
        self.owed.append((rows, after))
        return True


class Hasty(journal.Journal):
    """The mutant: acknowledges before it stores."""

    pause_s = 0.02

    def _settle(self, queued: Any) -> None:
        self._links = owing = Owing(self._database)
        super()._settle(queued)
        time.sleep(self.pause_s)
        for rows, after in owing.owed:
            links.Links(self._database).extend(rows, after)


KINDS = {"plain": journal.Journal, "hasty": Hasty}


def main() -> None:
    """Fork a child for each line, and wait for it."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            say(f"pid {os.getpid()}")
            work(**json.loads(line))
            os._exit(0)
        say(f"exit {os.waitpid(child, 0)[1]}")


def work(work: str, url: str, prefix: str = "", count: int = 0, writer: str = WRITER) -> None:
    """Open the database, or append `count` entries from each thread, one after another."""
    if work == "open":
        open_slowly(url, meet=prefix)
        return
    db = database.open_database(url)
    with closing(db), closing(KINDS[work](db, writer, wait_ms=1)) as log:
        threads = [
            threading.Thread(target=append, args=(log, f"{prefix}-{number}", count))
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def open_slowly(url: str, meet: str) -> None:
    """Open the database with a long upgrade.

    With a folder to `meet` in it is the mutant: no lock, and two upgrades that wait for each other.
    """
    upgrade = alembic.command.upgrade

    def slow(*arguments: Any) -> None:
        time.sleep(0.2)
        if meet:
            Path(meet, f"{os.getpid()}").touch()
            while len(list(Path(meet).iterdir())) < 2:
                time.sleep(0.01)
        upgrade(*arguments)

    alembic.command.upgrade = slow  # type: ignore[assignment]
    if meet:
        database._wait_for_other_openers = lambda _: None  # type: ignore[assignment]
    database.open_database(url).close()


def append(log: journal.Journal, prefix: str, count: int) -> None:
    """Say every id once it is acknowledged; the child fails with the first that is not."""
    try:
        for number in range(count):
            id = f"{prefix}-{number}"
            say(log.record("test", {"n": number}, id=id, now=datetime.now(UTC)).id)
    except Exception:
        traceback.print_exc()
        os._exit(1)


def say(line: str) -> None:
    """Write a line at once, so that no kill can hold it back."""
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
