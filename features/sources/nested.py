"""Nested columns made flat: dotted paths become columns, the items of a list become rows.

An object or a list where a mapping wants one value stays what it is: its cell is its JSON, and a
column beside it, "<path> (nested)", says "an object" or "a list". Both go with the row into
quarantine and back, so that a repair that leaves the cell as it was is refused again.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import WrongUse
from features.sources.phrases import SOURCE_ROW

if TYPE_CHECKING:
    import numpy as np

    from features.sources.mapping import FileMapping

DOT = "."
STRING = pa.string()
NESTED = " (nested)"  # behind the path of a column: the name of the one that says what it holds
OBJECT, LIST = "an object", "a list"
HALF = "half of a surrogate pair"
_HALF = re.compile("[\ud800-\udfff]")


class Verbatim(str):
    """What JSON holds as it stands: a number with the digits that it was read with."""

    __slots__ = ()


_COMMA = Verbatim(",")


def is_halved(text: str) -> bool:
    """Does a text hold half of a surrogate pair? JSON can write it, UTF-8 cannot."""
    return not text.isascii() and _HALF.search(text) is not None


def kind_of(value: Any) -> str:
    """Return what a value of JSON is, in words; a number may be Verbatim."""
    if isinstance(value, dict):
        return OBJECT
    if isinstance(value, list):
        return LIST
    if isinstance(value, bool):
        return "a boolean"
    return "a number" if isinstance(value, int | float | Verbatim) else "a text"


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
            columns[path] = _inside(items, path[len(file.each) + 1 :])
        else:
            values = _at(whole, path)
            columns[path] = values if parents is None else values.take(parents)
    return told(file, pa.table(columns)), numbers


def told(file: FileMapping, table: pa.Table) -> pa.Table:
    """Return a table that has no nested types: objects and lists are JSON, and said to be.

    WrongUse where a lookup has some: it has no events that could be refused.
    """
    for place, column in enumerate(table.schema):
        if pa.types.is_nested(column.type):
            cells = table[column.name].to_pylist(maps_as_pydicts="lossy")
            texts = pa.array([None if v is None else written(v) for v in cells], STRING)
            what = OBJECT if _is_object(column.type) else LIST
            said = pc.if_else(texts.is_valid(), what, pa.scalar(None, STRING))
            table = table.set_column(place, column.name, texts)
            table = table.append_column(column.name + NESTED, said)
    if not file.events:
        _refuse(file, table)
    return table


def marked(table: pa.Table) -> list[str]:
    """Return the paths beside which a column says where objects and lists stand."""
    texts = {column.name for column in table.schema if pa.types.is_string(column.type)}
    return sorted(name for name in table.column_names if name + NESTED in texts)


def written(value: Any) -> str:
    """Return the JSON of a value, however deep; what JSON does not know, as text."""
    parts: list[str] = []
    todo = [value]
    while todo:
        here = todo.pop()
        if isinstance(here, Verbatim):
            parts.append(here)
        elif isinstance(here, dict):
            named = ((Verbatim(f"{_json(str(name))}:"), inner) for name, inner in here.items())
            todo += _enclosed("{", [part for pair in named for part in (_COMMA, *pair)], "}")
        elif isinstance(here, list):
            todo += _enclosed("[", [part for item in here for part in (_COMMA, item)], "]")
        else:
            parts.append(_json(here))
    return "".join(parts)


def _enclosed(start: str, inside: list[Any], end: str) -> list[Any]:
    """Return the parts of a list or an object as a stack: the first one last."""
    return [Verbatim(end), *reversed(inside[1:]), Verbatim(start)]


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text.encode(errors="backslashreplace").decode()  # half of a pair, as JSON escapes it


def _refuse(file: FileMapping, table: pa.Table) -> None:
    for path in marked(table):
        for what in (OBJECT, LIST):
            if pc.any(pc.equal(table[path + NESTED], what)).as_py():
                raise WrongUse(
                    f"a lookup must hold texts, numbers, booleans or null, got {what} in field"
                    f" '{path}' of '{file.file}': take a path below it"
                )


def _at(table: pa.Table, path: str) -> pa.Array:
    for name in _starts(path):
        if name in table.column_names:
            column = table[name]
            whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
            return _inside(whole, path[len(name) + 1 :])
    return pa.nulls(table.num_rows, pa.string())


def paths(schema: pa.Schema, each: str | None) -> list[str]:
    """Return every path of a schema; below a list by place, or by name where it is exploded.

    WrongUse where what is to be exploded is no list.
    """
    return [path for field in schema for path in _below(field.name, field.type, each)]


def _below(path: str, kind: pa.DataType, each: str | None) -> list[str]:
    if path == each:
        _require_list(path, kind)
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return [path] + [p for f in fields for p in _below(path + DOT + f.name, f.type, each)]
    if _is_list(kind):
        inner, each = (path, None) if path == each else (f"{path}{DOT}0", each)
        return [path, *_below(inner, kind.value_type, each)]
    return [path]


def _require_list(path: str, kind: pa.DataType) -> None:
    if not _is_list(kind) and not pa.types.is_null(kind):
        what = OBJECT if _is_object(kind) else kind
        raise WrongUse(
            f"'each' must name a list, got {what} in column '{path}': name another or leave it out"
        )


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


def _starts(path: str) -> list[str]:
    """Return the starts of a path, longest first: names may hold dots themselves."""
    parts = path.split(DOT)
    return [DOT.join(parts[:n]) for n in range(len(parts), 0, -1)]


def _is_object(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) or pa.types.is_map(kind))


def _is_list(kind: pa.DataType) -> bool:
    is_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_it(kind) for is_it in is_list)
