"""JSON lines as rows: one object per line, nested values by path, a list as rows of its items.

The types of the mapped paths are taken from the first lines; with them Arrow reads a block. Where
that fails, because a line is no object or a value changes its type, each line of that block is read
for itself, and numbers keep the digits they were written with. A line that is no row is unreadable:
no JSON object, NaN in it, half a letter in a field that is read, no list where one is to be made
rows.
"""

from __future__ import annotations

import codecs
import functools
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json

from cluster.errors import WrongUse
from features.sources import files, nested, objects
from features.sources.blocks import BLOCK, is_utf8, pieces, used
from features.sources.lot import Rows, Strip, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from features.sources.mapping import FileMapping

SAMPLE_BYTES = 1 << 20
NO_OBJECT = "a line must be one JSON object"
_ESCAPED = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(u[dD][89a-fA-F])|.)")  # [1]: a half
_BLANK = re.compile(rb"\n[\n\r\t ]")  # a line that may be blank
_LAX = (  # what Arrow takes for numbers; JSON has none of it
    re.compile(rb"NaN(?<=[:\[,\s-]NaN)\s*[,}\]]"),
    re.compile(rb"Inf(?<=[:\[,\s-]Inf)(?:inity)?\s*[,}\]]"),
)


def columns(file: FileMapping, folder: Path, name: str) -> list[str]:
    """Return the paths that the first lines have; WrongUse when the file is not JSON lines."""
    return objects.paths(_sample(file, folder, name)[0], file.each)


def rows(file: FileMapping, folder: Path, strip: Strip, block_bytes: int = BLOCK) -> Iterator[Rows]:
    """Yield the rows of a strip; all items of a list have the row number of their line."""
    sample, mark = _sample(file, folder, strip.file)
    schema = objects.schema(sample, file)
    first = strip.first_row
    texts = pieces(folder, strip, file.encoding, mark, block_bytes)
    for found, lines in used(texts, lambda text, last: _parsed(file, schema, text, last)):
        yield replace(
            found,
            numbers=found.numbers + first,
            unreadable=[replace(u, source_row=u.source_row + first) for u in found.unreadable],
        )
        first += lines


def strips(file: FileMapping, folder: Path, whole: Strip, size_bytes: int) -> list[Strip]:
    """Cut a file that is longer than `size_bytes` behind lines, and count the lines of each."""
    size = (folder / whole.file.partition("!")[0]).stat().st_size
    if size <= size_bytes or not files.is_plain(whole.file, file.encoding):
        return [whole]
    found: list[Strip] = []
    start, at, first_row, row = 0, 0, 1, 1
    texts = pieces(folder, whole, file.encoding, 0, min(BLOCK, size_bytes))
    for lines, size_used in used(texts, _counted):
        at, row = at + size_used, row + lines
        if at - start >= size_bytes or at >= size:
            found.append(replace(whole, start=start, stop=at, first_row=first_row))
            start, first_row = at, row
    return found


def _counted(text: bytes, is_last: bool) -> tuple[tuple[int, int], int]:
    cut = len(text) if is_last else text.rfind(b"\n") + 1
    return (_lines(text[:cut]), cut), cut


def _lines(block: bytes) -> int:
    """Return the number of lines that are not blank."""
    if block[:1].isspace() or _BLANK.search(block):
        return sum(1 for line in block.split(b"\n") if line.strip())
    return block.count(b"\n") + (not block.endswith(b"\n") and bool(block))


def _parsed(
    file: FileMapping, schema: pa.Schema | None, text: bytes, is_last: bool
) -> tuple[tuple[Rows, int], int]:
    """Return the rows of the whole lines of a text, numbered from 0, and the number of its lines;
    then the bytes used.
    """
    cut = len(text) if is_last else text.rfind(b"\n") + 1
    block = text[:cut]
    if schema is not None and block and is_utf8(block) and not _is_lax(block):
        try:
            table = _table(schema, block)
        except pa.ArrowInvalid:
            pass
        else:
            if table.num_rows == _lines(block):
                flat, numbers = nested.flat(file, table, np.arange(table.num_rows))
                return (Rows(table=flat, numbers=numbers, unreadable=[]), table.num_rows), cut
    return _careful(file, block), cut


def _table(schema: pa.Schema, block: bytes) -> pa.Table:
    return arrow_json.read_json(
        pa.BufferReader(block),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore"
        ),
    )


def _is_lax(block: bytes) -> bool:
    """Does Arrow read more in a block than JSON has? Texts may look like it."""
    return b"\0" in block or any(word.search(block) for word in _LAX)


def _careful(file: FileMapping, block: bytes) -> tuple[Rows, int]:
    lines = [line for line in block.split(b"\n") if line.strip()]
    read = list(enumerate(_row(file, line) for line in lines))
    wrong = {number: found for number, found in read if isinstance(found, str)}
    good = [(number, found) for number, found in read if not isinstance(found, str)]
    wrong |= objects.halved(file, [each for each in good if _has_half(lines[each[0]])])
    table, numbers = objects.flat(
        file,
        [each for each in good if each[0] not in wrong],
        lambda number: _object(lines[number], nested.Verbatim),
    )
    unreadable = [Unreadable(source_row=n, reason=wrong[n], raw=lines[n]) for n in sorted(wrong)]
    return Rows(table=table, numbers=numbers, unreadable=unreadable), len(lines)


def _has_half(line: bytes) -> bool:
    """Does a line hold half of a surrogate pair, wherever it is?"""
    return any(escaped[1] for escaped in _ESCAPED.finditer(line))


def _row(file: FileMapping, line: bytes) -> dict[str, Any] | str:
    """Return the object of a line, its numbers as texts; or why it leaves no row."""
    found = _read(line, str)
    if file.each is None or isinstance(found, str) or objects.no_list(found, file.each) is None:
        return found
    return objects.no_list(_read(line, nested.Verbatim), file.each) or NO_OBJECT


def _object(line: bytes, number: type[str] | None = None) -> dict[str, Any] | None:
    """Return the object of a line, its numbers as `number` has them; None where it is none."""
    found = _read(line, number)
    return None if isinstance(found, str) else found


def _read(line: bytes, number: type[str] | None) -> dict[str, Any] | str:
    """Return the object of a line, or why there is none."""
    try:
        found = _decoder(number).decode(line.decode())
    except _NoNumber as error:
        return str(error)
    except (ValueError, RecursionError):
        return NO_OBJECT
    return found if isinstance(found, dict) else NO_OBJECT


@functools.cache
def _decoder(number: type[str] | None) -> json.JSONDecoder:
    return json.JSONDecoder(parse_float=number, parse_int=number, parse_constant=_no_number)


def _no_number(word: str) -> None:
    raise _NoNumber(f"{NO_OBJECT}, got {word}: JSON has none")


class _NoNumber(ValueError):
    """A number that JSON does not have."""


def _sample(file: FileMapping, folder: Path, name: str) -> tuple[list[dict[str, Any]], int]:
    """Return the objects of the first lines, and the size of the byte order mark."""
    with files.opened(folder, name, file.encoding) as stream:
        start = files.read(stream, SAMPLE_BYTES, name)
    files.refuse_other(start, name, "JSON lines")
    text = start.removeprefix(codecs.BOM_UTF8)
    if text.lstrip()[:1] == b"[":
        raise WrongUse(f"'{name}' must hold one JSON object per line, got a list: write its items")
    lines = text.split(b"\n")[: None if len(start) < SAMPLE_BYTES else -1]
    found = [parsed for line in lines if (parsed := _object(line)) is not None]
    if not found:
        raise WrongUse(f"'{name}' must hold one JSON object per line, got none: check the file")
    return found, len(start) - len(text)
