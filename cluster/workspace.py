"""The workspace: the one object handed down, holding everything that outlives a process.

Settings travel to workers, connections do not: a worker calls `Workspace.open(settings)` for
itself.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self

from cluster.blobs import Blobs, open_blobs
from cluster.database import Database, open_database
from cluster.journal import Journal
from cluster.refs import Refs
from cluster.runs import Runs
from cluster.tables import Tables
from cluster.vault import Vault, open_vault

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from cluster.settings import Settings

type Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time of this machine, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Settings, database, tables, blobs, refs, journal, runs and clock of one place of work."""

    settings: Settings
    database: Database
    tables: Tables
    blobs: Blobs
    refs: Refs
    journal: Journal
    runs: Runs
    clock: Clock

    @classmethod
    def open(cls, settings: Settings, clock: Clock = utc_now, writer: str | None = None) -> Self:
        """Open the workspace of `settings`, making what is not there yet."""
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = open_database(settings.database)
        return cls(
            settings=settings,
            database=database,
            tables=Tables(settings.database, settings.warehouse),
            blobs=open_blobs(settings.blobs),
            refs=Refs(database),
            journal=Journal(database, writer or writer_name(), wait_ms=settings.journal_wait_ms),
            runs=Runs(database),
            clock=clock,
        )

    @cached_property
    def vault(self) -> Vault:
        """What is known of persons, sealed; opened when first asked for.

        A workspace without persons needs no master key. WrongUse if the master key is wrong.
        """
        return open_vault(self.database, self.settings)

    def close(self) -> None:
        """Write what is still queued and let go of the connections."""
        self.journal.close()
        self.tables.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def writer_name() -> str:
    """Return a journal writer's name of this process's own: two processes never share a chain."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
