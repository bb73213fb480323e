"""JSON lines as rows: one object per line, nested values by path, a list as rows of its items.

The types of the mapped paths are taken from the first lines; with them Arrow reads a block. Where
that fails, because a line is no object or a value changes its type, each line of that block is read
for itself, and numbers keep the digits they were written with.
"""

from __future__ import annotations

import codecs
import json
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
    if b"\n\n" in block or b"\n\r" in block or b"\n " in block or block[:1].isspace():
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
    if schema is not None and block and b"\0" not in block and is_utf8(block):
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


def _careful(file: FileMapping, block: bytes) -> tuple[Rows, int]:
    good: list[tuple[int, dict[str, Any]]] = []
    unreadable: list[Unreadable] = []
    lines = [line for line in block.split(b"\n") if line.strip()]
    for number, line in enumerate(lines):
        found = _object(line, str)
        if found is None:
            unreadable.append(Unreadable(source_row=number, reason=NO_OBJECT, raw=line))
        else:
            good.append((number, found))
    table, numbers = objects.flat(
        file, good, lambda number: _object(lines[number], nested.Verbatim)
    )
    return Rows(table=table, numbers=numbers, unreadable=unreadable), len(lines)


def _object(line: bytes, number: type[str] | None = None) -> dict[str, Any] | None:
    """Return the object of a line, its numbers as `number` has them; None where it is none."""
    try:
        found = json.loads(line.decode(), parse_float=number, parse_int=number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


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
