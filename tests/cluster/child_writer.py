"""A program that tests start and kill: appends from four threads and says what was acknowledged.

python -m tests.cluster.child_writer URL PREFIX COUNT PAUSE careful|hasty
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from cluster import database, journal

WRITER = "child"
THREADS = 4


class Careful(journal.Journal):
    """The journal, with a slow commit: the moment before it is when a kill hurts."""

    pause_s = 0.0

    def _write(self, connection: Any, group: Any) -> Any:
        written = super()._write(connection, group)
        time.sleep(self.pause_s)
        return written


class Hasty(Careful):
    """The mutant: acknowledges before it commits."""

    def _settle(self, queued: Any) -> None:
        with self._database.begin() as connection:
            outcomes, _ = journal.Journal._write(self, connection, queued)
            for draft, outcome in zip(queued, outcomes, strict=True):
                draft.resolve(outcome)
            time.sleep(self.pause_s)


def main(url: str, prefix: str, count: int, pause_s: float, kind: type[Careful]) -> None:
    """Append `count` entries per thread, each once the one before is acknowledged."""
    kind.pause_s = pause_s
    db = database.open_database(url)
    with closing(db), closing(kind(db, WRITER, wait_ms=1)) as log:
        threads = [
            threading.Thread(target=_append, args=(log, f"{prefix}-{number}", count))
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _append(log: journal.Journal, prefix: str, count: int) -> None:
    for number in range(count):
        entry = log.record("test", {"n": number}, id=f"{prefix}-{number}", now=datetime.now(UTC))
        os.write(1, f"{entry.id}\n".encode())


if __name__ == "__main__":
    _, url, prefix, count, pause, manner = sys.argv
    main(url, prefix, int(count), float(pause), {"careful": Careful, "hasty": Hasty}[manner])
