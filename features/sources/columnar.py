"""Parquet files as rows: row groups are strips, and only the columns of the mapping are read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import WrongUse
from features.sources import files, nested
from features.sources.lot import Rows, Strip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from features.sources.mapping import FileMapping


def columns(file: FileMapping, folder: Path, name: str) -> list[str]:
    """Return the names of the columns, nested ones by their paths too."""
    with _opened(folder, name) as parquet:
        return nested.paths(parquet.schema_arrow, file.each)


def strips(folder: Path, name: str, part: int, size_bytes: int) -> list[Strip]:
    """Cut a file into runs of row groups of about so many bytes."""
    found: list[Strip] = []
    start, size, row, first_row = 0, 0, 1, 1
    with _opened(folder, name) as parquet:
        groups = parquet.metadata.num_row_groups
        for group in range(groups):
            size += parquet.metadata.row_group(group).total_byte_size
            row += parquet.metadata.row_group(group).num_rows
            if size >= size_bytes or group == groups - 1:
                found.append(
                    Strip(file=name, part=part, start=start, stop=group + 1, first_row=first_row)
                )
                start, size, first_row = group + 1, 0, row
    return found


def count(folder: Path, strip: Strip) -> int:
    """Return the exact number of rows of a strip."""
    with _opened(folder, strip.file) as parquet:
        stop = strip.stop or parquet.metadata.num_row_groups
        return sum(parquet.metadata.row_group(g).num_rows for g in range(strip.start, stop))


def rows(file: FileMapping, folder: Path, strip: Strip, most: int) -> Iterator[Rows]:
    """Yield the rows of a strip, at most so many at once."""
    number = strip.first_row
    with _opened(folder, strip.file) as parquet:
        stop = strip.stop or parquet.metadata.num_row_groups
        wanted = nested.roots(file, parquet.schema_arrow.names)
        groups = list(range(strip.start, stop))
        for batch in parquet.iter_batches(most, row_groups=groups, columns=wanted):
            numbers = number + np.arange(batch.num_rows)
            number += batch.num_rows
            table, numbers = nested.flat(file, pa.Table.from_batches([batch]), numbers)
            yield Rows(table=table, numbers=numbers, unreadable=[])


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[pq.ParquetFile]:
    if not files.is_plain(name):
        raise WrongUse(f"a Parquet file must lie by itself, got '{name}': unpack it first")
    try:
        parquet = pq.ParquetFile(folder / name)
    except (pa.ArrowInvalid, OSError) as error:
        with files.opened(folder, name) as stream:
            files.refuse_other(stream.read(16), name, "a Parquet file")
        raise WrongUse(f"'{name}' must be a Parquet file, got other bytes: check it") from error
    with parquet:
        yield parquet
