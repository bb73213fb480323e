"""Shredding: that what a database deletes is gone from its files, not only from its answers.

SQLite leaves deleted bytes in free space and in the write-ahead log. `secure` makes it overwrite
the one, `scrub` empties the other. PostgreSQL has neither; docs/vault.md says what to do there.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from cluster import errors

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cluster.database import Database


class NotScrubbed(errors.FunnelcastError):
    """Deleted bytes are still in the write-ahead log."""


def secure(connection: sa.Connection) -> None:
    """Let SQLite overwrite what this connection deletes or moves, from now on.

    Pages that only grow need it too: a page that is split keeps a copy in its free space.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON").close()


def scrub(database: Database) -> None:
    """Empty SQLite's write-ahead log; NotScrubbed if readers hold it longer than the wait."""
    if database.engine.dialect.name != "sqlite":
        return
    with closing(database.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.close()
    if busy:
        raise NotScrubbed(
            "the write-ahead log must be emptied after a key is destroyed, got one that is being "
            "read: the key is destroyed; end long reads and destroy it again to clean the file"
        )
