"""A dataset: one version of something that a run reads or writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A snapshot of a table, a file with its content, or a blob under the name of its use.

    >>> Dataset.table("events", 7).version
    '7'
    """

    kind: Literal["table", "file", "blob"]
    name: str
    version: str  # snapshot of a table, SHA-256 of a file, name of a blob
    rows: int | None = None  # read or written, where that is not what the commit says
    present: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # column -> rows, values

    @classmethod
    def table(cls, name: str, snapshot: int | None, rows: int | None = None) -> Dataset:
        """Return a snapshot of a table; of an empty one the version is "none"."""
        version = "none" if snapshot is None else str(snapshot)
        return cls(kind="table", name=name, version=version, rows=rows)

    @classmethod
    def file(cls, name: str, content: str) -> Dataset:
        """Return a file whose bytes have the SHA-256 `content`."""
        return cls(kind="file", name=name, version=content)

    @classmethod
    def blob(cls, name: str, id: str) -> Dataset:
        """Return a blob; `name` says what it is."""
        return cls(kind="blob", name=name, version=id)
