"""A simulation as it is on record, one attempt at it, and a question that is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cluster import schema

if TYPE_CHECKING:
    import sqlalchemy as sa

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
UNDER_WAY, AGAIN = (QUEUED, RUNNING), (FAILED, CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A simulation as it is on record."""

    id: str
    asked: dict[str, Any]  # the request
    pinned: dict[str, Any]  # of what it rests on, which: questions.pins
    asked_by: str
    asked_at: datetime
    status: str
    attempt: int
    progress: dict[str, Any] | None
    why: str | None
    result: str | None  # digest of a blob
    heard_at: datetime
    began_at: datetime | None  # when the job of the attempt said its first word
    finished_at: datetime | None
    is_shared: bool

    @property
    def is_under_way(self) -> bool:
        """Is it queued or running?"""
        return self.status in UNDER_WAY

    @property
    def run(self) -> Run:
        """The attempt that counts."""
        return Run(id=self.id, attempt=self.attempt)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt at a simulation, written as `id.attempt`.

    >>> str(Run.read("4f2a.3"))
    '4f2a.3'
    """

    id: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.id}.{self.attempt}"

    @property
    def job(self) -> str:
        """What its job is called."""
        return f"simulation-{self.id}-{self.attempt}"

    @classmethod
    def read(cls, text: str) -> Run:
        """Return the run of a text; ValueError for another text."""
        id, _, attempt = text.rpartition(".")
        return cls(id=id, attempt=int(attempt))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question, by whom, when."""

    id: str  # that it is given if it is new
    key: str
    request: dict[str, Any]
    pinned: dict[str, Any]
    owner: str
    now: datetime


def kept(row: sa.RowMapping) -> Kept:
    """Return the simulation of a row."""
    began, finished = row["began_at"], row["finished_at"]
    return Kept(
        id=row["id"],
        asked=json.loads(row["asked"]),
        pinned=json.loads(row["pinned"]),
        asked_by=row["asked_by"],
        asked_at=schema.moment(row["asked_at"]),
        status=row["status"],
        attempt=row["attempt"],
        progress=json.loads(row["progress"]) if row["progress"] else None,
        why=row["why"],
        result=row["result"],
        heard_at=schema.moment(row["heard_at"]),
        began_at=None if began is None else schema.moment(began),
        finished_at=None if finished is None else schema.moment(finished),
        is_shared=row["shared_at"] is not None,
    )
