"""Folding: SQLite's log is brought into its file beside the commits, not within one of them.

SQLite folds its write-ahead log (a "checkpoint" in its own words) within the commit that makes it
longer than a limit, and whoever waits for that commit waits for the whole of it. On a thread of its
own it holds no commit up but at its end: the log begins anew, instead of growing, only when all of
it is folded while nobody writes. https://sqlite.org/wal.html, sections 2.2 and 3.3.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from cluster.database import Database

EVERY_S = 0.02  # little at a time: a commit meanwhile waits for the disk behind what is folded
AGAIN_S = 0.5  # after a failure
LONG = 4_000  # pages of the log from which it is made to begin anew
HELD_MS = 5  # for how long commits may be held up for that, by readers of older pages

_LOG = logging.getLogger(__name__)


class Folding:
    """Folds the log of one database every EVERY_S seconds; nothing to do on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folding", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._engine.dialect.name == "sqlite":
            self._thread.start()

    def close(self) -> None:
        """Stop; what is left is folded when the last process closes the database."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with closing(self._engine.raw_connection()) as connection:
                    self._fold_on(connection.driver_connection)
            except (sqlite3.Error, sa.exc.SQLAlchemyError) as error:  # commits need no fold
                _LOG.warning("the log of the database must be folded, got '%s': trying on", error)
                self._closing.wait(AGAIN_S)

    def _fold_on(self, connection: Any) -> None:
        while not self._closing.wait(EVERY_S):
            fold(connection)


def fold(connection: Any) -> None:
    """Fold the log, and have it begin anew if it is long.

    `connection` is one of the driver, outside a transaction, in no other hands meanwhile.
    """
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if pages < LONG:
        return
    (patience_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout={HELD_MS}")
    try:
        connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()  # what came since
    finally:
        connection.execute(f"PRAGMA busy_timeout={patience_ms}")
