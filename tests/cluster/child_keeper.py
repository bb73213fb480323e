"""A program for tests that race: processes open one new vault at once and keep the same subjects.

A line on standard input is JSON: {"url": ..., "home": ..., "count": ...}. Each process keeps one
value that all share and one of its own, of every subject. Standard output says how many failed.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pandas  # noqa: F401  before the fork, for every child
import psycopg  # noqa: F401
import pyarrow as pa

from cluster import database, vault
from cluster.settings import Settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SUBJECTS = 50


def main() -> None:
    """Let the processes of each line race."""
    for line in sys.stdin:
        os.write(1, f"{race(**json.loads(line))}\n".encode())


def race(url: str, home: str, count: int) -> int:
    """Fork `count` children that begin together; return how many failed."""
    ready, go = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)  # ends when the parent closes it
            keep(url, Path(home), number)
            os._exit(0)
        children.append(child)
    os.close(go)
    os.close(ready)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def keep(url: str, home: Path, number: int) -> None:
    """Keep a shared and an own value of every subject."""
    with closing(database.open_database(url)) as db:
        opened = vault.open_vault(db, Settings(home=home))
        ids = pa.array([str(n) for n in range(SUBJECTS)])
        subjects = opened.pseudonyms("crm", ids)
        for value in ("shared", f"own-{number}"):
            table = {"subject": subjects, "field": ["name"] * SUBJECTS, "value": [value] * SUBJECTS}
            opened.keep(pa.table(table), NOW)


if __name__ == "__main__":
    main()
