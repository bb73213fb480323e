"""Looking for rows of a big table: by id file by file, and the commit in which one came.

Nothing is held but one column of one file, so a log of any size can be searched.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.ingest.committed import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyiceberg.manifest import DataFile

    from cluster.commits import Commit
    from cluster.tables import Tables

DIGITS = 32  # of an id of 16 bytes
_HEX = re.compile(rf"[0-9a-f]{{1,{DIGITS}}}")
_LOW = (1 << 64) - 1


def is_id(text: str) -> bool:
    """Could this be an id of 16 bytes in hexadecimal digits, or the beginning of one?"""
    return _HEX.fullmatch(text) is not None


def by_id(
    tables: Tables, table: str, column: str, start: str, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows whose id in `column` begins with the hexadecimal digits `start`: the columns
    asked for, and `path` of the file that a row is in. A missing table has none.
    """
    found = []
    for file in tables.files(table, tables.head(table)):
        hits = _hits(tables.read_files(table, [file], [column])[column], start)
        found += _rows(tables, table, file, hits, columns)
    return found


def by_ids(
    tables: Tables, table: str, column: str, ids: Sequence[str], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows that have one of several whole ids, as `by_id` does, in one go."""
    wanted, found = pa.array([bytes.fromhex(id) for id in ids], pa.binary(16)), []
    for file in tables.files(table, tables.head(table)):
        there = tables.read_files(table, [file], [column])[column].cast(pa.binary(16))
        found += _rows(tables, table, file, pc.is_in(there, wanted).to_numpy(), columns)
    return found


def _rows(
    tables: Tables, table: str, file: DataFile, hits: np.ndarray, columns: Sequence[str]
) -> list[dict[str, Any]]:
    if not hits.any():
        return []
    rows = tables.read_files(table, [file], list(columns)).filter(pa.array(hits))
    return [{**row, "path": file.file_path} for row in rows.to_pylist()]


def where(
    tables: Tables, table: str, wanted: Mapping[str, str | None], columns: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield, file by file, the rows in which any of some string columns has the value wanted of
    it; nothing has the value None.
    """
    for file in tables.files(table, tables.head(table)):
        keys = tables.read_files(table, [file], list(wanted))
        hits = np.zeros(keys.num_rows, bool)
        for name, value in wanted.items():
            hits |= pc.fill_null(pc.equal(keys[name], value), False).to_numpy()
        if hits.any():
            rows = tables.read_files(table, [file], list(columns))
            yield rows.filter(pa.array(hits))


def came_in(tables: Tables, table: str, chain: Sequence[Commit], id: str, path: str) -> Commit:
    """Return the commit in which a row came to the table, given the file in which it lies now.

    Commits that only wrote files anew are looked through.
    """
    column = KEYS[table]
    last = len(chain)
    while True:
        first = bisect_left(chain, True, 0, last, key=lambda c: path in _paths(tables, table, c))
        commit = chain[min(first, last - 1)]
        if commit.operation == "append" or commit.parent is None or not first:
            return commit
        gone = _gone(tables, table, commit)
        older = [
            file.file_path
            for file in gone
            if _hits(tables.read_files(table, [file], [column])[column], id).any()
        ]
        if not older:
            return commit
        path, last = older[0], first


def _gone(tables: Tables, table: str, commit: Commit) -> list[DataFile]:
    kept = _paths(tables, table, commit)
    return [f for f in tables.files(table, commit.parent) if f.file_path not in kept]


def _paths(tables: Tables, table: str, commit: Commit) -> set[str]:
    return {file.file_path for file in tables.files(table, commit.snapshot)}


def _hits(ids: pa.ChunkedArray, start: str) -> np.ndarray:
    """Return which ids lie between the lowest and the highest that begin so: (n,) bool."""
    first, last = int(start.ljust(DIGITS, "0"), 16), int(start.ljust(DIGITS, "f"), 16)
    high, low = log.halves(ids.cast(pa.binary(16)))
    hits: np.ndarray = (high >= np.uint64(first >> 64)) & (high <= np.uint64(last >> 64))
    if len(start) > DIGITS // 2:
        hits &= (low >= np.uint64(first & _LOW)) & (low <= np.uint64(last & _LOW))
    return hits
