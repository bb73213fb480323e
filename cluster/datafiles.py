"""Data files of a table: written by bucket as rows arrive, read back before or after their commit.

A writer keeps one open file per bucket and adds a row group per call, so memory is bounded by one
call and files stay few. No reader of the table sees a file until it is committed.
"""

from __future__ import annotations

import uuid
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.table import Table

FIELD_ID = b"PARQUET:field_id"
CODEC, LEVEL = "zstd", 1
RARELY_EQUAL = (pa.types.is_fixed_size_binary, pa.types.is_timestamp)  # no dictionary, no codec


class Writer:
    """Files of one table in the making. For one thread; other threads have their own."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._name = uuid.uuid4()
        self._open: dict[int, _File] = {}

    def add(self, rows: pa.Table) -> None:
        """Write rows (the table's columns, in any order) into the file of their bucket."""
        if not rows.num_rows:
            return
        schema = _file_schema(self._table, rows.schema)
        rows = rows.select(schema.names).cast(schema)
        for bucket, part in self._parts(rows):
            if bucket not in self._open:
                self._open[bucket] = _File(self._table, f"{self._name}-{bucket:05d}", bucket, rows)
            self._open[bucket].writer.write_table(part, row_group_size=len(part))

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
        numbers = transform(rows[column.name].combine_chunks()).to_numpy().astype(np.uint16)
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

    def __init__(self, table: Table, name: str, bucket: int, rows: pa.Table) -> None:
        self._table = table
        self._key = _partition(table, bucket)
        places = load_location_provider(table.location(), table.properties)
        self._path = places.new_data_location(f"{name}.parquet", self._key)
        self._output = table.io.new_output(self._path)
        self._stream: Any = self._output.create()
        self.writer = pq.ParquetWriter(self._stream, rows.schema, **_encoding(rows.schema))

    def close(self) -> DataFile:
        with self._stream:
            self.writer.close()
        schema = self._table.schema()
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=self.writer.writer.metadata,
            stats_columns=compute_statistics_plan(schema, self._table.properties),
            parquet_column_mapping=parquet_path_to_id_mapping(schema),
        )
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=self._path,
            file_format=FileFormat.PARQUET,
            partition=self._key.partition if self._key else Record(),
            file_size_in_bytes=len(self._output),
            sort_order_id=None,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
        file.spec_id = self._table.metadata.default_spec_id
        return file


def read(table: Table, files: Sequence[DataFile], columns: Sequence[str] | None) -> pa.Table:
    """Return the rows of data files, committed or not; all columns unless some are named."""
    schema = table.schema()
    projected = schema.select(*columns) if columns else schema
    tasks = [FileScanTask(file, delete_files=set(), residual=AlwaysTrue()) for file in files]
    return ArrowScan(table.metadata, table.io, projected, AlwaysTrue()).to_table(tasks)


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


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    plain = {f.name for f in schema if any(is_rare(f.type) for is_rare in RARELY_EQUAL)}
    return {
        "compression": {f.name: "none" if f.name in plain else CODEC for f in schema},
        "compression_level": {f.name: LEVEL for f in schema if f.name not in plain},
        "use_dictionary": [f.name for f in schema if f.name not in plain],
        "store_decimal_as_integer": True,
    }
