"""Data files of a table: written by bucket as rows arrive, read back before or after their commit.

A writer keeps one open file per bucket and holds rows until they make a row group, so memory is
bounded by one call and a row group per bucket, and files stay few. No reader of the table sees a
file until it is committed.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import (
    ArrowScan,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import FileScanTask
from pyiceberg.table.locations import load_location_provider
from pyiceberg.typedef import Record
from pyiceberg.types import StringType

from cluster.encoding import encoding_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyiceberg.table import Table

    from cluster.encoding import Encoding

FIELD_ID = b"PARQUET:field_id"
LOOKS = 8  # at files at once
GROUP_ROWS = 65_536  # of a row group, at least, but for the last of a file


class Writer:
    """Files of one table in the making. For one thread; other threads have their own."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._name = uuid.uuid4()
        self._open: dict[int, _File] = {}
        self._encoding: Encoding | None = None

    def add(self, rows: pa.Table) -> None:
        """Write rows (the table's columns, in any order) into the file of their bucket."""
        if not rows.num_rows:
            return
        self._encoding = self._encoding or encoding_of(rows)
        rows = self._encoding.coded(rows)
        schema = _file_schema(self._table, rows.schema)
        rows = rows.select(schema.names).cast(schema)
        for bucket, part in self._parts(rows):
            if bucket not in self._open:
                name = f"{self._name}-{bucket:05d}"
                options = self._encoding.options(schema)
                self._open[bucket] = _File(self._table, name, bucket, schema, options)
            self._open[bucket].add(part)

    def close(self) -> list[DataFile]:
        """Finish every file and return their descriptions, by bucket."""
        return [self._open[bucket].close() for bucket in sorted(self._open)]

    def _parts(self, rows: pa.Table) -> list[tuple[int, pa.Table]]:
        spec = self._table.spec()
        if spec.is_unpartitioned():
            return [(0, rows)]
        field = spec.fields[0]
        column = self._table.schema().find_field(field.source_id)
        transform = field.transform.pyarrow_transform(column.field_type)
        numbers = _by_value(transform, rows[column.name].combine_chunks()).astype(np.uint16)
        order = np.argsort(numbers, kind="stable")
        there, first = np.unique(numbers[order], return_index=True)
        ordered = rows.take(pa.array(order))
        ends = [*first[1:].tolist(), len(order)]
        return [
            (int(bucket), ordered.slice(start, end - start))
            for bucket, start, end in zip(there, first.tolist(), ends, strict=True)
        ]


class _File:
    """One open Parquet file."""

    def __init__(
        self, table: Table, name: str, bucket: int, schema: pa.Schema, options: dict[str, Any]
    ) -> None:
        self._table = table
        self._key = _partition(table, bucket)
        places = load_location_provider(table.location(), table.properties)
        self._path = places.new_data_location(f"{name}.parquet", self._key)
        self._output = table.io.new_output(self._path)
        self._stream: Any = self._output.create()
        self._writer = pq.ParquetWriter(self._stream, schema, **options)
        self._held: list[pa.Table] = []
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        self._held.append(rows)
        self._rows += rows.num_rows
        if self._rows >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            rows = pa.concat_tables(self._held).unify_dictionaries()
            self._writer.write_table(rows, row_group_size=self._rows)
            self._held, self._rows = [], 0

    def close(self) -> DataFile:
        self._flush()
        with self._stream:
            self._writer.close()
        partition = self._key.partition if self._key else Record()
        metadata = self._writer.writer.metadata
        return _described(self._table, metadata, self._path, len(self._output), partition)


def find(table: Table, paths: Iterable[str]) -> list[DataFile]:
    """Return files of a table without partitions, by their own words: but those that are not there,
    not whole, or were written for other columns than the table has now.
    """
    with ThreadPoolExecutor(LOOKS) as threads:
        found = threads.map(lambda path: _find(table, path), paths)
        return [file for file in found if file is not None]


def _find(table: Table, path: str) -> DataFile | None:
    source = table.io.new_input(path)
    try:
        with source.open() as stream:
            footer = pq.read_metadata(stream)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    has = {f.name: (f.metadata or {}).get(FIELD_ID) for f in footer.schema.to_arrow_schema()}
    if has != {f.name: str(f.field_id).encode() for f in table.schema().fields}:
        return None
    return _described(table, footer, path, len(source), Record())


def _described(
    table: Table, metadata: pq.FileMetaData, path: str, size: int, partition: Record
) -> DataFile:
    schema = table.schema()
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=metadata,
        stats_columns=compute_statistics_plan(schema, table.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(schema),
    )
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=partition,
        file_size_in_bytes=size,
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )
    file.spec_id = table.metadata.default_spec_id
    return file


def read(table: Table, files: Sequence[DataFile], columns: Sequence[str] | None) -> pa.Table:
    """Return the rows of data files, committed or not; all columns unless some are named."""
    schema = table.schema()
    projected = schema.select(*columns) if columns else schema
    tasks = [FileScanTask(file, delete_files=set(), residual=AlwaysTrue()) for file in files]
    return ArrowScan(table.metadata, table.io, projected, AlwaysTrue()).to_table(tasks)


def read_coded(table: Table, files: Sequence[DataFile], columns: Sequence[str] | None) -> pa.Table:
    """Return the rows of data files like `read`, texts as dictionaries: a text that recurs is
    decoded once.
    """
    names = list(columns) if columns else [field.name for field in table.schema().fields]
    parts = [_coded(table, file, names) for file in files]
    if not parts:
        return read(table, files, columns)
    return pa.concat_tables(parts, promote_options="permissive").unify_dictionaries()


def texts(table: Table, names: Sequence[str]) -> list[str]:
    """Return those of the columns that hold texts; a file may lack others that the table has."""
    fields = [table.schema().find_field(name) for name in names]
    return [field.name for field in fields if isinstance(field.field_type, StringType)]


def _coded(table: Table, file: DataFile, names: list[str]) -> pa.Table:
    with table.io.new_input(file.file_path).open() as stream:
        metadata = pq.read_metadata(stream)
        if not has_columns(table, metadata.schema.to_arrow_schema(), names):
            return _encoded(read(table, [file], names))  # written when the table had others
        parquet = pq.ParquetFile(stream, metadata=metadata, read_dictionary=texts(table, names))
        return parquet.read(names, use_threads=False)


def _encoded(rows: pa.Table) -> pa.Table:
    is_text = [pa.types.is_string(f.type) or pa.types.is_large_string(f.type) for f in rows.schema]
    columns = [
        column.cast(pa.string()).dictionary_encode() if is_one else column
        for column, is_one in zip(rows.columns, is_text, strict=True)
    ]
    return pa.table(columns, names=rows.column_names)


def has_columns(table: Table, schema: pa.Schema, names: list[str]) -> bool:
    """Say whether a file of this schema has columns as the table has them now."""
    wanted = {f.name: str(f.field_id).encode() for f in table.schema().fields if f.name in names}
    return wanted == {f.name: (f.metadata or {}).get(FIELD_ID) for f in schema if f.name in wanted}


def _partition(table: Table, bucket: int) -> PartitionKey | None:
    spec = table.spec()
    if spec.is_unpartitioned():
        return None
    value = PartitionFieldValue(field=spec.fields[0], value=bucket)
    return PartitionKey([value], spec, table.schema())


def _file_schema(table: Table, given: pa.Schema) -> pa.Schema:
    """Return the columns as given, in the table's order and with the field ids of Iceberg."""
    fields = []
    for field in table.schema().fields:
        kind = given.field(field.name).type
        metadata = {FIELD_ID: str(field.field_id).encode()}
        fields.append(pa.field(field.name, kind, nullable=not field.required, metadata=metadata))
    return pa.schema(fields)


def _by_value(transform: Callable[[pa.Array], pa.Array], column: pa.Array) -> np.ndarray:
    if not pa.types.is_dictionary(column.type):
        plain: np.ndarray = transform(column).to_numpy()
        return plain
    of_values: np.ndarray = transform(column.dictionary).to_numpy()
    by_row: np.ndarray = of_values[column.indices.to_numpy()]
    return by_row
