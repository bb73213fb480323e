"""A program for tests: issues a key and dies by a signal on the way, as the first argument says.

plain: before its journal entry; late: after it, before the commit; hasty: the mutant, which commits
the key before the entry. The second argument is the database.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster import database
from cluster.access import entries, keystore
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def die(*_: Any) -> None:
    """End at once, as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(way: str, url: str) -> None:
    """Issue a key, and die."""
    append, insert = entries.append, keystore._insert

    def late(*given: Any) -> None:
        append(*given)
        die()

    def hasty(connection: Any, record: Any) -> None:
        insert(connection, record)
        connection.commit()

    if way == "hasty":
        keystore._insert = hasty
    entries.append = late if way == "late" else die
    asked = Asked(name="crm", roles=("viewer",), lifetime=timedelta(days=1))
    store = KeyStore(database.open_database(url), load_roles())
    store.issue(asked, Act(actor="ada", reason="pilot", now=NOW), pepper=bytes(32))


if __name__ == "__main__":
    main(*sys.argv[1:])
