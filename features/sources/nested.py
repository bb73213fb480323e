"""Nested columns made flat: dotted paths become columns, the items of a list become rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from features.sources.phrases import SOURCE_ROW

if TYPE_CHECKING:
    import numpy as np

    from features.sources.mapping import FileMapping

DOT = "."


def roots(file: FileMapping, names: list[str]) -> list[str]:
    """Return which columns of a table a mapping needs for its paths."""
    needed = {*file.read_columns, *([file.each] if file.each else [])}
    starts = {start for path in needed for start in _starts(path)}
    return [name for name in names if name in starts]


def flat(file: FileMapping, table: pa.Table, numbers: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """Return the columns that a mapping reads, and the row number of each row.

    With `each`, one row per item of that list; rows without items leave nothing.
    """
    whole = table.combine_chunks()
    parents, items = None, None
    if file.each is not None:
        lists = _at(whole, file.each)
        if not _is_list(lists.type):
            lists = pa.nulls(len(lists), pa.list_(pa.string()))
        parents, items = pc.list_parent_indices(lists), pc.list_flatten(lists)
        numbers = numbers[parents.to_numpy()]
    columns = {}
    for path in sorted(file.read_columns - {SOURCE_ROW}):
        if file.each is not None and (path == file.each or path.startswith(file.each + DOT)):
            columns[path] = _plain(_inside(items, path[len(file.each) + 1 :]))
        else:
            values = reached(whole, path)
            columns[path] = values if parents is None else values.take(parents)
    return pa.table(columns), numbers


def reached(table: pa.Table, path: str) -> pa.Array:
    """Return the column at a path; nulls where the table has none, or a nested one."""
    return _plain(_at(table, path))


def _at(table: pa.Table, path: str) -> pa.Array:
    for name in _starts(path):
        if name in table.column_names:
            column = table[name]
            whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
            return _inside(whole, path[len(name) + 1 :])
    return pa.nulls(table.num_rows, pa.string())


def paths(schema: pa.Schema, each: str | None) -> list[str]:
    """Return every path of a schema; below a list by place, or by name where it is exploded."""
    return [path for field in schema for path in _below(field.name, field.type, each)]


def _below(path: str, kind: pa.DataType, each: str | None) -> list[str]:
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return [path] + [p for f in fields for p in _below(path + DOT + f.name, f.type, each)]
    if _is_list(kind):
        inner = path if path == each else f"{path}{DOT}0"
        return [path, *_below(inner, kind.value_type, each)]
    return [path]


def _inside(values: pa.Array, path: str) -> pa.Array:
    """Follow a path into structs by name and into lists by place."""
    kind = values.type
    if not path:
        return values
    for name in _starts(path):
        rest = path[len(name) + 1 :]
        if pa.types.is_struct(kind) and kind.get_field_index(name) >= 0:
            return _inside(pc.struct_field(values, name), rest)
        if _is_list(kind) and name.isdigit():
            place = int(name)
            is_long = pc.greater(pc.list_value_length(values), place)
            long = pc.if_else(is_long, values, None)
            return _inside(pc.list_element(long, place), rest)
    return pa.nulls(len(values), pa.string())


def _plain(values: pa.Array) -> pa.Array:
    return pa.nulls(len(values), pa.string()) if pa.types.is_nested(values.type) else values


def _starts(path: str) -> list[str]:
    """Return the starts of a path, longest first: names may hold dots themselves."""
    parts = path.split(DOT)
    return [DOT.join(parts[:n]) for n in range(len(parts), 0, -1)]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
