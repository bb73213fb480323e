"""Which files a snapshot has, by bucket: a snapshot never changes, so it is asked for once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table

KEPT = 16  # snapshots, those last asked for


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The files of one snapshot, and the table as it was when they were listed."""

    table: Table
    files: dict[int, list[DataFile]]  # by bucket, 0 for a table without

    @classmethod
    def of(cls, table: Table, tasks: Iterable[FileScanTask]) -> Planned:
        """Sort files by bucket."""
        files: dict[int, list[DataFile]] = {}
        for task in tasks:
            files.setdefault(bucket_of(task), []).append(task.file)
        return cls(table=table, files=files)

    def has(self, columns: Sequence[str]) -> bool:
        """Did the table have these columns?"""
        return set(columns) <= {field.name for field in self.table.schema().fields}


class Plans:
    """The plans of the last snapshots, made by `plan(table name, snapshot)`."""

    def __init__(self, plan: Callable[[str, int], Planned]) -> None:
        self._plan = plan
        self._kept: dict[tuple[str, int], Planned] = {}

    def of(self, name: str, snapshot: int, columns: Sequence[str] = ()) -> Planned:
        """Return a plan that knows `columns`: a table may have been given more since."""
        kept = self._kept.pop((name, snapshot), None)
        if kept is None or not kept.has(columns):
            kept = self._plan(name, snapshot)
        self._kept[name, snapshot] = kept
        for oldest in list(self._kept)[:-KEPT]:
            self._kept.pop(oldest, None)
        return kept


def bucket_of(task: FileScanTask) -> int:
    """Return the bucket that a file belongs to."""
    return int(task.file.partition[0]) if len(task.file.partition) else 0
