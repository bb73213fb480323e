"""No waiting for the disk: tests kill processes, never the machine, and a killed process loses
nothing that it handed over. What a power cut loses, tests/cluster/power.py shows on a disk of its
own.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cluster import database

if TYPE_CHECKING:
    import pytest

configure_sqlite = database._configure_sqlite  # as services have it


def switch_on(patch: pytest.MonkeyPatch) -> None:
    """Let nothing in this process wait for the disk from now on."""
    patch.setattr(os, "fsync", _nothing)
    patch.setattr(database, "_configure_sqlite", _configure_sqlite)
    sa.event.listen(sa.Engine, "connect", _hurry)  # those of Iceberg


def _nothing(_file: int) -> None:
    pass


def _configure_sqlite(connection: sqlite3.Connection, record: object) -> None:
    configure_sqlite(connection, record)
    _hurry(connection, record)


def _hurry(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):  # not the disk that forgets
        connection.execute("PRAGMA synchronous=OFF")
