"""Row groups: the rows of data files a part at a time, for what is too much to hold at once.

Row groups that hold nothing of a span are left out by their statistics, or by one column read
ahead of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from cluster import datafiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table


@dataclass(frozen=True, kw_only=True)
class Span:
    """The rows with `low <= value < high` of a column without nulls: whole numbers, or times in
    microseconds.
    """

    column: str
    low: int
    high: int

    def holds(self, values: pa.ChunkedArray) -> np.ndarray:
        """Return which values lie in it: (n,) bool."""
        whole = values.cast(pa.int64()).to_numpy()
        inside: np.ndarray = (self.low <= whole) & (whole < self.high)
        return inside


def read(
    table: Table, files: Sequence[DataFile], columns: Sequence[str], span: Span | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of data files, those of a span if one is given, row group by row group, in no
    particular order; texts as dictionaries.
    """
    for file in files:
        yield from _of_file(table, file, list(columns), span)


def filtered(rows: pa.Table, keep: np.ndarray) -> pa.Table:
    """Return some of the rows; a dictionary that is longer than they are holds no other words."""
    if keep.all():
        return rows
    kept = rows.filter(pa.array(keep))
    for place, column in enumerate(kept.columns):
        if pa.types.is_dictionary(column.type):
            kept = kept.set_column(place, kept.field(place).name, _shortened(column))
    return kept


def _of_file(
    table: Table, file: DataFile, columns: list[str], span: Span | None
) -> Iterator[pa.Table]:
    needed = list(dict.fromkeys([*columns, *([span.column] if span else [])]))
    texts = datafiles.texts(table, needed)
    with table.io.new_input(file.file_path).open() as stream:
        metadata = pq.read_metadata(stream)
        if not datafiles.has_columns(table, metadata.schema.to_arrow_schema(), needed):
            rows = datafiles.read_coded(table, [file], needed)  # written when the table had others
            yield from _some(rows, columns, span)
            return
        parquet = pq.ParquetFile(stream, metadata=metadata, read_dictionary=texts)
        for group in range(metadata.num_row_groups):
            if span is None or _may_hold(parquet, group, span):
                yield from _some(
                    parquet.read_row_group(group, needed, use_threads=False), columns, span
                )


def _some(rows: pa.Table, columns: list[str], span: Span | None) -> Iterator[pa.Table]:
    kept = rows if span is None else filtered(rows, span.holds(rows[span.column]))
    if kept.num_rows:
        yield kept.select(columns)


def _may_hold(parquet: pq.ParquetFile, group: int, span: Span) -> bool:
    """Say whether a row group has rows of a span: by its statistics, then by the column itself."""
    place = parquet.schema_arrow.get_field_index(span.column)
    said = parquet.metadata.row_group(group).column(place).statistics
    if said is not None and said.has_min_max:
        if said.max_raw < span.low or span.high <= said.min_raw:
            return False
        if span.low <= said.min_raw and said.max_raw < span.high:
            return True
    ahead = parquet.read_row_group(group, [span.column], use_threads=False)
    return bool(span.holds(ahead[span.column]).any())


def _shortened(column: pa.ChunkedArray) -> pa.ChunkedArray:
    words = sum(len(chunk.dictionary) for chunk in column.chunks)
    return (
        column.cast(column.type.value_type).dictionary_encode() if words > len(column) else column
    )
