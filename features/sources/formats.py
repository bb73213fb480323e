"""The one place that knows the formats: columns, strips and rows of a file, whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.sources import columnar, delimited, files, queries, records
from features.sources.blocks import BLOCK, BYTES_PER_ROW
from features.sources.lot import Rows, Strip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from features.sources.mapping import FileMapping

PACKED = 5  # a compressed text is about so many times smaller


def names(file: FileMapping, folder: Path, part: int) -> list[str]:
    """Return the files that a mapping reads, as strips call them; WrongUse if there are none."""
    return files.found(folder, file.file) if file.query is None else [f"query:{part}"]


def columns(file: FileMapping, folder: Path, name: str) -> list[str]:
    """Return the names of the columns of a file, from its header or first rows."""
    if file.query is not None:
        return queries.columns(file.query)
    if file.kind_of_file == "parquet":
        return columnar.columns(file, folder, name)
    if file.kind_of_file == "jsonl":
        return records.columns(file, folder, name)
    return delimited.header(file, folder, name).columns


def strips(file: FileMapping, folder: Path, whole: Strip, size_bytes: int) -> list[Strip]:
    """Cut a file into strips of about so many bytes."""
    if file.query is not None:
        return [whole]
    if file.kind_of_file == "parquet":
        return columnar.strips(folder, whole.file, whole.part, size_bytes)
    cut = records.strips if file.kind_of_file == "jsonl" else delimited.strips
    return cut(file, folder, whole, size_bytes)


def rows(file: FileMapping, folder: Path, strip: Strip, most: int) -> Iterator[Rows]:
    """Yield the rows of a strip, at most so many at once."""
    if file.query is not None:
        yield from queries.rows(file.query, strip, most)
    elif file.kind_of_file == "parquet":
        yield from columnar.rows(file, folder, strip, most)
    else:
        read = records.rows if file.kind_of_file == "jsonl" else delimited.rows
        block = min(BLOCK, most * BYTES_PER_ROW)
        for found in read(file, folder, strip, block):
            yield from _cut(found, most)


def rows_of(file: FileMapping, folder: Path, strip: Strip) -> int:
    """Return about how many rows a strip has: exactly for Parquet, by its bytes for text, 0 where
    only the database knows.
    """
    if file.query is not None:
        return 0
    if file.kind_of_file == "parquet":
        return columnar.count(folder, strip)
    size = (folder / strip.file.partition("!")[0]).stat().st_size
    if not files.is_plain(strip.file):
        size *= PACKED
    return ((strip.stop or size) - strip.start) // BYTES_PER_ROW + 1


def _cut(found: Rows, most: int) -> Iterator[Rows]:
    """Yield rows in lots; what is unreadable goes with the first."""
    for start in range(0, max(len(found.numbers), 1), most):
        yield Rows(
            table=found.table.slice(start, most),
            numbers=found.numbers[start : start + most],
            unreadable=[] if start else found.unreadable,
        )
