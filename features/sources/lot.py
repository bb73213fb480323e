"""What travels between the readers of a source and the ingestion: strips in, mapped lots out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from features.contracts import Broken

    # namespace and keys in the clear (null = none) -> pseudonyms, null where the key is null
    type Pseudonyms = Callable[[str, pa.Array], pa.Array]

LOT_ROWS = 250_000
WORLD = "world"  # the file of a strip of a synthetic company
PEOPLE = pa.schema([("subject", pa.string()), ("field", pa.string()), ("value", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A stretch of one file. Plain values, so that it can travel to a worker."""

    file: str  # path below the folder, "a.zip!b.csv", "query:<n>" for SQL, or "world"
    part: int  # position of its FileMapping in the mapping; of a world the part of it
    start: int = 0  # first byte of a text file, first row group of a Parquet file
    stop: int = 0  # behind the last one; (0, 0) is the whole file
    first_row: int = 1  # row number of its first row; the first below the header is 1


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """Bytes that should be a row and are none."""

    source_row: int
    reason: str
    raw: bytes


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as a reader found them."""

    table: pa.Table  # text formats: string columns; Parquet and SQL: typed ones
    numbers: np.ndarray  # int64 (n,): row number of each in its file
    unreadable: list[Unreadable]


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """One lot of rows, turned into candidate events."""

    events: pa.Table  # log.CANDIDATE columns; a cell that could not be parsed is null
    origin: np.ndarray  # int64 (n events,): position in `raw` of the row each event came from
    raw: pa.Table  # the rows as read: string columns, null = empty
    broken: list[Broken]  # cells that could not be parsed: rows are positions in `events`
    unreadable: list[Unreadable]
    people: pa.Table  # PEOPLE columns, distinct: pseudonym, field, value in the clear


def as_text(table: pa.Table) -> pa.Table:
    """Return a table with every column as strings, nested ones left out."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_nested(column.type):
            columns[name] = text_of(column)
    return pa.table(columns) if columns else table.select([])


def text_of(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return a column as strings; bytes that are no UTF-8 are written in hexadecimal digits."""
    if pa.types.is_string(column.type):
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        cells = [None if v is None else v.hex() for v in column.to_pylist()]
        return pa.array(cells, pa.string())
