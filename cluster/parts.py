"""Parts: what is finished of work that is committed all at once at its end.

Whoever does a part keeps a record of it, with the files that it wrote: work that was killed goes on
with what is missing. A sweep of files spares those on record, until their work has rested for long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cluster import canonical, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from pyiceberg.manifest import DataFile

    from cluster.database import Database

_PARTS = schema.parts


@dataclass(frozen=True, kw_only=True)
class Part:
    """One finished part of some work. What `said` calls its `blob` is of this part alone, and goes
    with it.
    """

    number: int
    files: tuple[str, ...] = ()  # written, no reader sees them yet
    said: Mapping[str, Any]  # what whoever ends the work must know of it, as JSON


class Parts:
    """The parts of one database. Safe to share between threads and with other processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, work: str, part: Part, now: datetime) -> None:
        """Put a part on record; durable when it returns. Of several of a number the first stays."""
        row: dict[str, object] = {
            "work": work,
            "number": part.number,
            "files": canonical.dumps(part.files).decode(),
            "said": canonical.dumps(part.said).decode(),
            "at": schema.micros(now),
        }
        with self._database.begin() as connection:
            self._database.insert_new(connection, _PARTS, [row])

    def resume(self, work: str, now: datetime) -> list[Part]:
        """Return the parts of some work, by number; from now on they count as young again."""
        mine = _PARTS.c.work == work
        with self._database.begin() as connection:
            connection.execute(_PARTS.update().where(mine).values(at=schema.micros(now)))
            rows = connection.execute(sa.select(_PARTS).where(mine).order_by(_PARTS.c.number))
            return [_part(row) for row in rows.mappings()]

    def whole(
        self, work: str, now: datetime, find: Callable[[list[str]], Iterable[DataFile]]
    ) -> list[tuple[Part, list[DataFile]]]:
        """Return the parts of some work, like `resume`, with their files as `find` finds them by
        path; those that lost a file are taken off the record.
        """
        kept = self.resume(work, now)
        there = {file.file_path: file for file in find([f for part in kept for f in part.files])}
        whole = [part for part in kept if there.keys() >= set(part.files)]
        self.drop(work, {part.number for part in kept} - {part.number for part in whole})
        return [(part, [there[path] for path in part.files]) for part in whole]

    def drop(self, work: str, numbers: Collection[int] | None = None) -> None:
        """Take parts of some work off the record, by default all: they are committed, or lost."""
        mine = _PARTS.c.work == work
        if numbers is not None:
            mine = sa.and_(mine, _PARTS.c.number.in_(list(numbers)))
        with self._database.begin() as connection:
            connection.execute(_PARTS.delete().where(mine))

    def forget(self, before: datetime) -> list[Part]:
        """Take off the record all work of which no part is younger, and return its parts."""
        limit = schema.micros(before)
        work = _PARTS.c.work
        resting = sa.select(work).group_by(work).having(sa.func.max(_PARTS.c.at) < limit)
        # each row is looked at again: it may have been taken up since the others were counted
        gone = _PARTS.delete().where(work.in_(resting), _PARTS.c.at < limit).returning(_PARTS)
        with self._database.begin() as connection:
            return [_part(row) for row in connection.execute(gone).mappings()]

    def files(self) -> set[str]:
        """Return the files of all parts on record."""
        with self._database.connect() as connection:
            return {
                f
                for text in connection.scalars(sa.select(_PARTS.c.files))
                for f in json.loads(text)
            }


def _part(row: sa.RowMapping) -> Part:
    return Part(
        number=row["number"],
        files=tuple(json.loads(row["files"])),
        said=json.loads(row["said"]),
    )
