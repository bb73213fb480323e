"""Run records: what a job read and reported, under a key made of everything it depends on.

A run with the same key is the same run: it need not happen again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from cluster import canonical, schema
from cluster.settings import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import RowMapping

    from cluster.database import Database

PACKAGES = ("cluster", "features", "serving")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one job."""

    key: str
    job: str
    status: str  # running, done, failed
    report: dict[str, Any] | None
    inputs: dict[str, str]
    started: datetime
    finished: datetime | None


class Runs:
    """The run records of a workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, key: str) -> Run | None:
        """Return the run of this key, whatever became of it."""
        query = select(schema.runs).where(schema.runs.c.key == key)
        with self._database.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _run(row)

    def all(self) -> list[Run]:
        """Return every run on record, oldest first."""
        query = select(schema.runs).order_by(schema.runs.c.started_at, schema.runs.c.key)
        with self._database.connect() as connection:
            return [_run(row) for row in connection.execute(query).mappings()]

    def start(self, key: str, job: str, inputs: dict[str, str], now: datetime) -> None:
        """Record that a run began; an earlier try under this key is replaced."""
        row = {
            "key": key,
            "job": job,
            "status": "running",
            "inputs": canonical.dumps(inputs).decode(),
            "report": None,
            "started_at": schema.micros(now),
            "finished_at": None,
        }
        with self._database.begin() as connection:
            connection.execute(schema.runs.delete().where(schema.runs.c.key == key))
            connection.execute(schema.runs.insert().values(row))

    def finish(self, key: str, status: str, report: dict[str, object], now: datetime) -> None:
        """Record how a run ended."""
        values = {
            "status": status,
            "report": canonical.dumps(report).decode(),
            "finished_at": schema.micros(now),
        }
        with self._database.begin() as connection:
            connection.execute(schema.runs.update().where(schema.runs.c.key == key).values(values))


def _run(row: RowMapping) -> Run:
    finished = row["finished_at"]
    return Run(
        key=row["key"],
        job=row["job"],
        status=row["status"],
        report=json.loads(row["report"]) if row["report"] else None,
        inputs=json.loads(row["inputs"]),
        started=schema.moment(row["started_at"]),
        finished=None if finished is None else schema.moment(finished),
    )


def run_key(job: str, settings: dict[str, object], inputs: dict[str, str], code: str) -> str:
    """Return the identity of a run: the job, its settings, all that it reads, and the code."""
    return canonical.digest({"job": job, "settings": settings, "inputs": inputs, "code": code})


@cache
def code_version(*more: str, root: Path = ROOT) -> str:
    """Return a hash over the source of the packages below the jobs, and of the folders `more`.

    It is the same in every copy of the repository, and read once by a process.
    """
    files = sorted(p for folder in (*PACKAGES, *more) for p in (root / folder).rglob("*.py"))
    return canonical.digest(
        {str(p.relative_to(root)): canonical.sha256_hex(p.read_bytes()) for p in files}
    )
