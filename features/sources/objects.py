"""JSON objects that were read one by one: their paths, their types, and their values made flat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from features.sources.mapping import FileMapping

DOT = "."
STRING = pa.string()


class Mixed(Exception):
    """A path holds values of several types."""


def paths(found: Sequence[dict[str, Any]], each: str | None) -> list[str]:
    """Return every path of some objects; below a list by place, or by name where it is exploded."""
    return sorted({path for value in found for path in _below("", value, each)})


def schema(found: Sequence[dict[str, Any]], file: FileMapping) -> pa.Schema | None:
    """Return the types of the paths that a mapping reads; None where one of them has several."""
    try:
        kind = _kind(list(found), set(file.read_columns) | ({file.each} if file.each else set()))
    except Mixed:
        return None
    return pa.schema(list(kind)) if pa.types.is_struct(kind) else None


def flat(
    file: FileMapping, found: Sequence[tuple[int, dict[str, Any]]]
) -> tuple[pa.Table, np.ndarray]:
    """Return the columns of a mapping as strings, and the row number of each row."""
    numbers: list[int] = []
    wanted = sorted(file.read_columns)
    cells: dict[str, list[str | None]] = {path: [] for path in wanted}
    for number, value in found:
        for item in _items(file.each, value):
            numbers.append(number)
            for path in wanted:
                is_inside = file.each is not None and (path + DOT).startswith(file.each + DOT)
                here = path[len(file.each or "") + 1 :] if is_inside else path
                cells[path].append(_text(_reached(item if is_inside else value, here)))
    columns = {path: pa.array(texts, STRING) for path, texts in cells.items()}
    return pa.table(columns), np.array(numbers, np.int64)


def _items(each: str | None, value: Any) -> list[Any]:
    if each is None:
        return [None]
    items = _reached(value, each)
    return items if isinstance(items, list) else []


def _reached(value: Any, path: str) -> Any:
    if not path:
        return value
    if isinstance(value, list):
        place, _, rest = path.partition(DOT)
        is_there = place.isdigit() and int(place) < len(value)
        return _reached(value[int(place)], rest) if is_there else None
    if isinstance(value, dict):
        name = _first(path, value)
        return _reached(value.get(name), path[len(name) + 1 :])
    return None


def _first(path: str, names: Any) -> str:
    """Return the name at the start of a path: the longest that is there, as names may hold dots."""
    parts = path.split(DOT)
    starts = (DOT.join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((start for start in starts if start in names), parts[0])


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def _below(path: str, value: Any, each: str | None) -> Iterator[str]:
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _below(f"{path}{DOT}{name}" if path else name, inner, each)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _below(path if path == each else f"{path}{DOT}{place}", inner, each)


def _kind(values: list[Any], wanted: set[str]) -> pa.DataType:
    """Return the Arrow type of values, of which only the paths wanted are kept."""
    values = [value for value in values if value is not None]
    if all(isinstance(value, dict) for value in values) and (values or wanted - {""}):
        return _struct(values, wanted - {""})
    if all(isinstance(value, list) for value in values) and values:
        inside = {_behind_place(path) for path in wanted}
        return pa.list_(_kind([item for value in values for item in value], inside))
    kinds = {type(value) for value in values}
    if kinds <= {str}:
        return STRING
    if kinds == {bool}:
        return pa.bool_()
    if kinds <= {int, float}:
        return pa.int64() if kinds == {int} else pa.float64()
    raise Mixed


def _struct(values: list[dict[str, Any]], wanted: set[str]) -> pa.DataType:
    names = set().union(*values) if values else set()
    inner: dict[str, set[str]] = {}
    for path in wanted:
        name = _first(path, names)
        inner.setdefault(name, set()).add(path[len(name) + 1 :])
    kinds = {name: _kind([v.get(name) for v in values], rest) for name, rest in inner.items()}
    return pa.struct(sorted(kinds.items()))


def _behind_place(path: str) -> str:
    place, _, rest = path.partition(DOT)
    return rest if place.isdigit() else path
