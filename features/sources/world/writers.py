"""Writers: files of three formats to which a table is appended part by part."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Protocol

    class Writer(Protocol):
        """What takes one table after the other."""

        def write_table(self, table: pa.Table) -> None:
            """Append a table."""


class Files:
    """Open files below a folder, by name: `.csv`, `.jsonl` or `.parquet`; close them at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Writer] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def append(self, name: str, table: pa.Table) -> None:
        """Write a table at the end of a file, which takes its columns from the first one."""
        if name not in self._open:
            self._open[name] = self._opened(self._folder / name, table.schema)
        self._open[name].write_table(table)

    def _opened(self, path: Path, schema: pa.Schema) -> Writer:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer: Writer
        if path.suffix == ".csv":
            writer = self._closing.enter_context(pyarrow.csv.CSVWriter(str(path), schema))
        elif path.suffix == ".parquet":
            writer = self._closing.enter_context(pyarrow.parquet.ParquetWriter(path, schema))
        else:
            writer = self._closing.enter_context(_Lines(path))
        return writer


class _Lines:
    """A file of one JSON object per row; what is absent is left out."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write_table(self, table: pa.Table) -> None:
        """Append a table."""
        lines = json_lines(table)
        self._file.writelines(f"{line}\n" for line in lines.to_pylist())


def json_lines(table: pa.Table) -> pa.ChunkedArray:
    """Return every row as a JSON object: strings, integers and times, without nulls."""
    members = [_members(name, table[name]) for name in table.column_names]
    joined = pc.binary_join_element_wise(*members, ",", null_handling="skip")
    return pc.binary_join_element_wise("{", joined, "}", "")


def _members(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type):
        return pc.binary_join_element_wise(f'"{name}":', column.cast(pa.string()), "")
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    escaped = pc.replace_substring(column, "\\", "\\\\")
    escaped = pc.replace_substring(escaped, '"', '\\"')
    return pc.binary_join_element_wise(f'"{name}":"', escaped, '"', "")
