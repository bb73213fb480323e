"""Delimited text as rows, block by block: every row is read, or named as unreadable with its bytes.

A block goes to Arrow as it is. Only where that fails, or where a value seems to span lines, is the
block first cut into rows; those that are none are taken out, and the rest goes to Arrow.
"""

from __future__ import annotations

import codecs
import csv
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from cluster.errors import WrongUse
from features.sources import files, rowends
from features.sources.blocks import BLOCK, MOST_BLOCK, is_utf8, pieces, used
from features.sources.lot import Rows, Strip, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from features.sources.mapping import FileMapping

HEADER_BYTES = 1 << 20
BOM = codecs.BOM_UTF8
_LINE_FEED, _RETURN = 10, 13
LINES_AT_ONCE = 8 << 20  # bytes
THREADS = 2  # that count lines: they wait for the disk
NUL, NOT_UTF8 = 3, 4  # states beside those of `rowends`
REASONS = {
    rowends.UNCLOSED: "a quoted value must be closed before the next row",
    rowends.CELLS: "a row must have as many cells as the header",
    NUL: "a row must not hold a NUL byte",
    NOT_UTF8: "a row must be text in the encoding of its mapping",
}


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first row of a file."""

    columns: list[str]
    size: int  # bytes of the UTF-8 text that it takes, byte order mark included


def header(file: FileMapping, folder: Path, name: str) -> Header:
    """Read the names of the columns; WrongUse when the file is not delimited text."""
    with files.opened(folder, name, file.encoding) as stream:
        start = files.read(stream, HEADER_BYTES, name)
    files.refuse_other(start, name, f"delimited text in {file.encoding}")
    text = start.removeprefix(BOM)
    found = rowends.ends(text, file.delimiter, file.quote, 0, is_last=len(start) < HEADER_BYTES)
    if not len(found.starts):
        raise WrongUse(f"'{name}' must start with a header, got no row: check the file")
    line = text[found.starts[0] : found.stops[0]]
    if b"\0" in line or not is_utf8(line):
        raise WrongUse(f"'{name}' must be text in {file.encoding}, got other: add 'encoding'")
    names = next(
        csv.reader(io.StringIO(line.decode()), delimiter=file.delimiter, quotechar=file.quote)
    )
    columns = _distinct([column.strip() for column in names])
    return Header(columns=columns, size=len(start) - len(text) + int(found.stops[0]))


def rows(file: FileMapping, folder: Path, strip: Strip, block_bytes: int = BLOCK) -> Iterator[Rows]:
    """Yield the rows of a strip."""
    head = header(file, folder, strip.file)
    first = strip.first_row
    texts = pieces(folder, strip, file.encoding, head.size, block_bytes)
    for found in used(texts, lambda text, last: parsed(file, head.columns, text, last)):
        yield replace(
            found,
            numbers=found.numbers + first,
            unreadable=[replace(u, source_row=u.source_row + first) for u in found.unreadable],
        )
        first += len(found.numbers) + len(found.unreadable)


def strips(file: FileMapping, folder: Path, whole: Strip, size_bytes: int) -> list[Strip]:
    """Cut a file that is longer than `size_bytes` behind rows, and count the rows of each strip."""
    if not files.is_plain(whole.file, file.encoding):
        return [whole]
    size = (folder / whole.file).stat().st_size
    if size <= size_bytes:
        return [whole]
    head = header(file, folder, whole.file)
    found = _by_lines(file, folder, whole, (head.size, size, size_bytes))
    return found or _by_rows(file, folder, whole, (head, size, size_bytes))


def _by_lines(
    file: FileMapping, folder: Path, whole: Strip, extent: tuple[int, int, int]
) -> list[Strip]:
    """Cut where rows are lines, several parts at once; nothing where a line may be no row."""
    first, size, most = extent
    cuts = [_behind_line(folder / whole.file, at) for at in range(first + most, size, most)]
    places = [first, *(cut for cut in cuts if cut < size), size]
    parts = list(pairwise(places))
    with ThreadPoolExecutor(THREADS) as threads:
        counts = list(threads.map(lambda part: _lines(file, folder / whole.file, part), parts))
    if None in counts or len(set(places)) < len(places):
        return []
    rows = np.cumsum([1, *(count for count in counts if count is not None)]).tolist()
    starts = [0, *places[1:-1]]
    return [
        replace(whole, start=start, stop=stop, first_row=row)
        for start, (_, stop), row in zip(starts, parts, rows[:-1], strict=True)
    ]


def _lines(file: FileMapping, path: Path, part: tuple[int, int]) -> int | None:
    """Return the number of lines between two places; None where quotes, carriage returns or blank
    lines ask for a closer look.
    """
    count, at, stop, was_break = 0, *part, True
    with path.open("rb") as stream:
        stream.seek(at)
        while at < stop:
            text = np.frombuffer(stream.read(min(LINES_AT_ONCE, stop - at)), np.uint8)
            is_break = text == _LINE_FEED
            if (text == ord(file.quote)).any() or (text == _RETURN).any() or not text.size:
                return None
            if (was_break and is_break[0]) or (is_break[1:] & is_break[:-1]).any():
                return None
            count, at = count + int(np.count_nonzero(is_break)), at + text.size
            was_break = bool(is_break[-1])
    return count + (not was_break)


def _behind_line(path: Path, at: int) -> int:
    with path.open("rb") as stream:
        stream.seek(at)
        return at + len(stream.readline(MOST_BLOCK))


def _by_rows(
    file: FileMapping, folder: Path, whole: Strip, extent: tuple[Header, int, int]
) -> list[Strip]:
    """Cut behind rows that may span lines."""
    head, size, most = extent
    found: list[Strip] = []
    start, at, first_row, row = 0, head.size, 1, 1
    texts = pieces(folder, whole, file.encoding, head.size, min(BLOCK, most))
    for count, size_used in used(texts, lambda text, last: counted(file, head.columns, text, last)):
        at, row = at + size_used, row + count
        if at - start >= most or at >= size:
            found.append(replace(whole, start=start, stop=at, first_row=first_row))
            start, first_row = at, row
    return found


def counted(
    file: FileMapping, columns: list[str], text: bytes, is_last: bool
) -> tuple[tuple[int, int], int]:
    """Return the number of whole rows at the start of a text and their bytes, twice."""
    if file.quote.encode() in text or b"\r" in text or b"\n\n" in text or text[:1] == b"\n":
        found = rowends.ends(text, file.delimiter, file.quote, len(columns), is_last=is_last)
        return (len(found.starts), found.consumed), found.consumed
    cut = len(text) if is_last else text.rfind(b"\n") + 1
    count = text.count(b"\n") + (is_last and not text.endswith(b"\n"))
    return (count, cut), cut


def parsed(file: FileMapping, columns: list[str], text: bytes, is_last: bool) -> tuple[Rows, int]:
    """Return the whole rows at the start of a text, numbered from 0, and their bytes."""
    cut = len(text) if is_last else text.rfind(b"\n") + 1
    block = pa.py_buffer(text).slice(0, cut)
    if cut and b"\0" not in text and is_utf8(block):
        try:
            table = _table(file, columns, block)
        except pa.ArrowInvalid:
            pass
        else:
            if file.quote.encode() not in text or _is_one_per_line(file, text, cut, table.num_rows):
                return Rows(table=table, numbers=np.arange(table.num_rows), unreadable=[]), cut
    return _careful(file, columns, text, is_last)


def _is_one_per_line(file: FileMapping, text: bytes, cut: int, rows: int) -> bool:
    """Did Arrow see a row in every line, and the last of them closed?"""
    lines = text.count(b"\n", 0, cut) + (not text.endswith(b"\n", 0, cut))
    last = text[text.rfind(b"\n", 0, cut - 1) + 1 : cut]
    closed = rowends.ends(last, file.delimiter, file.quote, 0, is_last=False).consumed
    return rows == lines and closed == len(last)


def _careful(file: FileMapping, columns: list[str], text: bytes, is_last: bool) -> tuple[Rows, int]:
    """Cut a text into rows, take out those that are none, and parse the rest."""
    found = rowends.ends(text, file.delimiter, file.quote, len(columns), is_last=is_last)
    block = text[: found.consumed]
    states = found.states.copy()
    if b"\0" in block:
        nul = np.flatnonzero(np.frombuffer(block, np.uint8) == 0)
        states[np.unique(np.searchsorted(found.stops, nul, side="right"))] = NUL
    states[_broken_utf8(block, found)] = NOT_UTF8
    good = np.flatnonzero(states == rowends.GOOD)
    tables: list[pa.Table] = []
    states[list(_halved(file, columns, block, (found, good), tables))] = rowends.UNCLOSED
    unreadable = [
        Unreadable(
            source_row=row,
            reason=REASONS[int(states[row])],
            raw=block[found.starts[row] : found.stops[row]],
        )
        for row in np.flatnonzero(states).tolist()
    ]
    table = pa.concat_tables(tables or [_table(file, columns, b"")])
    numbers = np.flatnonzero(states == rowends.GOOD)
    return Rows(table=table, numbers=numbers, unreadable=unreadable), found.consumed


def _halved(
    file: FileMapping,
    columns: list[str],
    block: bytes,
    wanted: tuple[rowends.Ends, np.ndarray],
    tables: list[pa.Table],
) -> Iterator[int]:
    """Parse the rows wanted into `tables`, by halves where Arrow sees other rows than we do; yield
    the rows that it cannot read.
    """
    found, places = wanted
    if not len(places):
        return
    try:
        table = _table(file, columns, _joined(block, found, places))
    except pa.ArrowInvalid:
        table = None
    if table is not None and table.num_rows == len(places):
        tables.append(table)
    elif len(places) == 1:
        yield int(places[0])
    else:
        for half in np.array_split(places, 2):
            yield from _halved(file, columns, block, (found, half), tables)


def _joined(block: bytes, found: rowends.Ends, places: np.ndarray) -> bytes:
    """Return the text of some rows; runs of rows that follow one another are cut at once."""
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    firsts = places[np.concatenate([[0], breaks])]
    lasts = places[np.concatenate([breaks - 1, [len(places) - 1]])]
    runs = zip(found.starts[firsts].tolist(), found.stops[lasts].tolist(), strict=True)
    return b"".join([block[start:stop] for start, stop in runs])


def _table(file: FileMapping, columns: list[str], text: bytes | pa.Buffer) -> pa.Table:
    if not len(text):
        return pa.schema([(name, pa.string()) for name in columns]).empty_table()
    return arrow_csv.read_csv(
        pa.BufferReader(text),
        read_options=arrow_csv.ReadOptions(
            column_names=columns, use_threads=False, block_size=max(len(text), 1 << 10)
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=file.delimiter, quote_char=file.quote, newlines_in_values=True
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in columns},
            strings_can_be_null=True,
            null_values=[""],
            check_utf8=False,  # checked for the whole block
        ),
    )


def _broken_utf8(block: bytes, found: rowends.Ends) -> list[int]:
    """Return the rows that are no UTF-8."""
    rows: list[int] = []
    view, at = memoryview(block), 0
    while not rows or at < len(block):
        try:
            codecs.utf_8_decode(view[at:], "strict", True)
            break
        except UnicodeDecodeError as error:
            place = at + error.start
            rows.append(int(np.searchsorted(found.stops, place, side="right")))
            at = int(found.stops[rows[-1]])
    return rows


def _distinct(names: list[str]) -> list[str]:
    """Tell columns of one name apart: the second `x` is `x#2`."""
    return [
        f"{name}#{names[:i].count(name) + 1}" if name in names[:i] else name
        for i, name in enumerate(names)
    ]
