"""JSON objects that were read one by one: their paths, their types, and their values made flat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from features.sources import nested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from features.sources.mapping import FileMapping

DOT = "."
ITEMS = "*"  # behind the path of the list whose items are rows, among the paths wanted
SEVERAL = (dict, list)  # what holds several values
STRING = pa.string()


class Mixed(Exception):
    """A path holds values of several types."""


def paths(found: Sequence[dict[str, Any]], each: str | None) -> list[str]:
    """Return every path of some objects that a mapping can name; below a list by place, or by name
    where it is exploded.
    """
    seen: set[str] = set()
    todo: list[tuple[str, Any]] = [("", value) for value in found]
    while todo:  # however deep
        for path, value in _below(*todo.pop(), each):
            seen.add(path)
            if isinstance(value, SEVERAL):
                todo.append((path, value))
    return sorted(path for path in seen if not nested.is_halved(path))


def schema(found: Sequence[dict[str, Any]], file: FileMapping) -> pa.Schema | None:
    """Return the types of the paths that a mapping reads; None where one of them has several.

    An object or a list where one value is wanted has none of them, nor has what is no list where
    one is to be made rows: Arrow refuses its block.
    """
    if file.each is not None:
        found = [value for value in found if no_list(value, file.each) is None]
    items = {f"{file.each}{DOT}{ITEMS}"} if file.each else set()
    try:
        kind = _kind(list(found), set(file.read_columns) | items)
    except Mixed:
        return None
    return pa.schema(list(kind)) if pa.types.is_struct(kind) else None


def flat(
    file: FileMapping,
    found: Sequence[tuple[int, dict[str, Any]]],
    again: Callable[[int], dict[str, Any] | None],
) -> tuple[pa.Table, np.ndarray]:
    """Return the columns of a mapping as strings, and the row number of each row.

    `again` reads the object of a row once more, its numbers Verbatim: an object or a list where one
    value is wanted is told with the digits that it was written with.
    """
    numbers: list[int] = []
    columns = [_Column.at(path, file.each) for path in sorted(file.read_columns)]
    for number, value in found:
        for place, item in enumerate(_items(file.each, value)):
            numbers.append(number)
            for column in columns:
                cell = column.reached(value, item)
                if isinstance(cell, SEVERAL):
                    exact = again(number) or value
                    cell = column.told(column.reached(exact, _items(file.each, exact)[place]))
                column.texts.append(cell if isinstance(cell, str) else _text(cell))
    arrays = {name: texts for column in columns for name, texts in column.arrays()}
    return nested.told(file, pa.table(arrays)), np.array(numbers, np.int64)


def no_list(value: Any, each: str) -> str | None:
    """Return why there is no list at a path; null and missing are none that has no items."""
    found, rest = _walked(value, each)
    if found is None or (isinstance(found, list) and not rest):
        return None
    where = f" in '{each.removesuffix(DOT + rest)}'" if rest else ""
    return f"the list '{each}' must be a list, got {nested.kind_of(found)}{where}"


def halved(file: FileMapping, found: Sequence[tuple[int, dict[str, Any]]]) -> dict[int, str]:
    """Return the rows that hold half of a surrogate pair in a text of the mapping, and where."""
    columns = [_Column.at(path, file.each) for path in sorted(file.read_columns)] if found else []
    wrong: dict[int, str] = {}
    for number, value in found:
        for item in _items(file.each, value):
            for column in columns:
                cell = column.reached(value, item)
                if isinstance(cell, str) and nested.is_halved(cell):
                    rule = f"field '{column.path}' must hold whole letters"
                    wrong[number] = f"{rule}, got {nested.HALF}"
    return wrong


@dataclass(frozen=True, kw_only=True)
class _Column:
    """The cells at one path."""

    path: str
    is_inside: bool  # the items of the list that is made rows
    below: str  # the path from there
    texts: list[str | None] = field(default_factory=list)
    nested: dict[int, str] = field(default_factory=dict)  # row -> "an object", "a list"

    @classmethod
    def at(cls, path: str, each: str | None) -> _Column:
        is_inside = each is not None and (path + DOT).startswith(each + DOT)
        below = path[len(each or "") + 1 :] if is_inside else path
        return cls(path=path, is_inside=is_inside, below=below)

    def reached(self, value: Any, item: Any) -> Any:
        return _reached(item if self.is_inside else value, self.below)

    def told(self, several: Any) -> str:
        self.nested[len(self.texts)] = nested.kind_of(several)
        return nested.written(several)

    def arrays(self) -> Iterator[tuple[str, pa.Array]]:
        yield self.path, pa.array(self.texts, STRING)
        if self.nested:
            said = [self.nested.get(row) for row in range(len(self.texts))]
            yield self.path + nested.NESTED, pa.array(said, STRING)


def _items(each: str | None, value: Any) -> list[Any]:
    if each is None:
        return [None]
    items = _reached(value, each)
    return items if isinstance(items, list) else []


def _reached(value: Any, path: str) -> Any:
    found, rest = _walked(value, path)
    return None if rest else found


def _walked(value: Any, path: str) -> tuple[Any, str]:
    """Follow a path as far as it leads: the value there, None where it is missing, and the rest."""
    if path and isinstance(value, dict):
        name = _first(path, value)
        return _walked(value.get(name), path[len(name) + 1 :])
    place, _, rest = path.partition(DOT)
    if not isinstance(value, list) or not place.isdigit():
        return value, path
    return _walked(value[int(place)], rest) if int(place) < len(value) else (None, rest)


def _first(path: str, names: Any) -> str:
    """Return the name at the start of a path: the longest that is there, as names may hold dots."""
    parts = path.split(DOT)
    starts = (DOT.join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((start for start in starts if start in names), parts[0])


def _text(value: Any) -> str | None:
    return ("true" if value else "false") if isinstance(value, bool) else None


def _below(path: str, value: Any, each: str | None) -> Iterable[tuple[str, Any]]:
    if isinstance(value, list):
        return [(path if path == each else f"{path}{DOT}{n}", v) for n, v in enumerate(value)]
    return [(f"{path}{DOT}{name}", v) for name, v in value.items()] if path else value.items()


def _kind(values: list[Any], wanted: set[str]) -> pa.DataType:
    """Return the Arrow type of values, of which only the paths wanted are kept."""
    values = [value for value in values if value is not None]
    kinds = {type(value) for value in values}
    if ITEMS in wanted and kinds <= {list}:
        return pa.list_(_kind([item for value in values for item in value], wanted - {ITEMS}))
    if "" not in wanted and kinds <= {dict} and (kinds or wanted):
        return _struct(values, wanted)
    if "" not in wanted and kinds == {list}:
        inside = {_behind_place(path) for path in wanted}
        return pa.list_(_kind([item for value in values for item in value], inside))
    return _plain(kinds, is_alone=wanted <= {""})


def _plain(kinds: set[type], *, is_alone: bool) -> pa.DataType:
    """Return the Arrow type of texts, numbers or booleans, objects and lists left out; Mixed where
    paths below these are wanted too and some may come.
    """
    plain = kinds - set(SEVERAL)
    if not is_alone and (plain < kinds or not kinds):
        raise Mixed
    if plain <= {str}:
        return STRING
    if plain == {bool}:
        return pa.bool_()
    if plain <= {int, float}:
        return pa.int64() if plain == {int} else pa.float64()
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
