"""Landing: written files become part of a table, in one commit, and no id twice.

A commit takes place only after the very snapshot that it was checked against. When another writer
was first, what that one added is looked at, rows that it has too are taken out, and the commit is
tried again: so any number of ingestions at once leave every row once.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from features import log
from features.ingest import retraction
from features.ingest.committed import KEYS
from features.known import KnownIds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.manifest import DataFile

    from cluster.tables import Tables

LONGEST_WAIT_S = 0.5  # before another try


class Landing:
    """Commits to one table, starting from the snapshot whose ids the writers knew."""

    def __init__(self, tables: Tables, table: str, seen: int | None) -> None:
        self._tables = tables
        self._table = table
        self._seen = seen  # up to this snapshot ids are known to the writers, or in `_later`
        self._later = KnownIds()
        self._several = _none()  # rows of which our writers have met several versions
        self._tries = 0

    def land(
        self,
        files: list[DataFile],
        properties: Mapping[str, str],
        *,
        versions: np.ndarray | None = None,
        disjoint: bool = True,
    ) -> tuple[int | None, int]:
        """Commit files; returns the snapshot, None if nothing was left, and how many rows were
        dropped because another writer had added them.

        `versions` are the fingerprints of rows with several versions, which may need marks.
        `disjoint` says that our own writers never write an id twice among themselves.
        """
        dropped = 0
        versions = self._with_several(files, versions)
        while True:
            head = self._tables.head(self._table)
            files, doubled, met = self._without(files, head)
            dropped += doubled
            marks = self._marks(files, head, _united(versions, met))
            if not files and not marks:
                return None, dropped
            snapshot = self._tables.commit_after(
                self._table, [*files, *marks], head=head, properties=properties
            )
            if snapshot is not None:
                if disjoint:
                    self._seen = snapshot
                return snapshot, dropped
            self._wait()

    def _with_several(self, files: list[DataFile], versions: np.ndarray | None) -> np.ndarray:
        """Add the rows of which files landed before said that there are several versions.

        Of two strips that are read side by side only the one that is read second knows, and that
        one may land first.
        """
        held = [self._ids(file)[0] for file in files] if len(self._several) else []
        said = [row[np.isin(row, self._several)] for row in held]
        found = _united(versions, np.concatenate([_none(), *said]))
        self._several = np.union1d(self._several, found)
        return found

    def _without(
        self, files: list[DataFile], head: int | None
    ) -> tuple[list[DataFile], int, np.ndarray]:
        """Return the files without rows that came to the table since, how many those were, and the
        fingerprints of the rows of which other versions came.
        """
        if head is not None and head != self._seen:
            for file in self._tables.added(self._table, self._seen, head):
                self._later.add(*self._ids(file))
            self._seen = head
        if not len(self._later):
            return files, 0, np.empty(0, np.uint64)
        kept = [self._kept(file) for file in files]
        rest = [file for parts, _, _ in kept for file in parts]
        return rest, sum(n for _, n, _ in kept), np.concatenate([*(m for _, _, m in kept), _none()])

    def _kept(self, file: DataFile) -> tuple[list[DataFile], int, np.ndarray]:
        row, content = self._ids(file)
        is_there = self._later.holds(row, content)
        met = row[self._later.holds_row(row)]
        if not is_there.any():
            return [file], 0, met
        rows = self._tables.read_files(self._table, [file])
        fresh = rows.filter(pa.array(~is_there))
        return self._tables.write(self._table, fresh), int(is_there.sum()), met

    def _marks(self, files: list[DataFile], head: int | None, rows: np.ndarray) -> list[DataFile]:
        if not len(rows) or self._table != log.TABLE:
            return []
        places = [
            (file, self._of_rows(file, retraction.PLACE, rows))
            for file in (*self._tables.files(self._table, head), *files)
        ]
        moved = retraction.moved(pa.concat_tables([there for _, there in places]))
        found = [
            self._of_rows(file, retraction.COLUMNS, moved)
            for file, there in places
            if retraction.of_rows(there, moved).num_rows
        ]
        return self._tables.write(self._table, retraction.marks(found)) if found else []

    def _of_rows(self, file: DataFile, columns: tuple[str, ...], rows: np.ndarray) -> pa.Table:
        return retraction.of_rows(self._tables.read_files(self._table, [file], columns), rows)

    def _ids(self, file: DataFile) -> tuple[np.ndarray, np.ndarray]:
        key = KEYS[self._table]
        return log.halves(self._tables.read_files(self._table, [file], [key])[key])

    def _wait(self) -> None:
        """Let the other writers finish; randomly, so that two do not meet for ever."""
        self._tries += 1
        longest = min(LONGEST_WAIT_S, 0.01 * 2 ** min(self._tries, 10))
        time.sleep(random.uniform(0.0, longest))


def _united(versions: np.ndarray | None, met: np.ndarray) -> np.ndarray:
    return np.unique(np.concatenate([_none() if versions is None else versions, met]))


def _none() -> np.ndarray:
    return np.empty(0, np.uint64)
