"""Where the rows of a delimited text end: one pass over the bytes, stray quotes included.

A quote opens a quoted value only where a value starts. A row that spans lines and then has the
wrong number of cells, goes on after its closing quote, or does not end within MOST_BYTES was opened
by a stray quote: its first line is no row, and the next line starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

MOST_BYTES = 262_144  # of a row that spans lines
GOOD, UNCLOSED, CELLS = 0, 1, 2  # states of a row
_PLAIN, _QUOTE, _SEPARATOR, _BREAK = 0, 1, 2, 3  # classes of bytes
_OPEN, _TOO_LONG = -1, -2  # a quoted value without its end


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The rows of a block. Blank lines are no rows."""

    starts: np.ndarray  # int64 (n,): first byte
    stops: np.ndarray  # int64 (n,): behind the last byte, line end included
    states: np.ndarray  # int8 (n,): GOOD, UNCLOSED or CELLS (too few or too many)
    consumed: int  # bytes of whole rows; what follows is the start of the next block


def ends(block: bytes, delimiter: str, quote: str, cells: int, *, is_last: bool) -> Ends:
    """Return the rows of a block that should have so many cells each."""
    data = np.frombuffer(block, np.uint8)
    table = np.full(256, _PLAIN, np.uint8)
    table[[10, 13]] = _BREAK
    table[[ord(quote), ord(delimiter)]] = _QUOTE, _SEPARATOR
    most = int(np.count_nonzero(data == 10)) + block.count(b"\r") + 1
    starts, stops = np.empty(most, np.int64), np.empty(most, np.int64)
    states = np.empty(most, np.int8)
    count, consumed = scanned(data, table, cells, is_last, starts, stops, states)
    return Ends(
        starts=starts[:count], stops=stops[:count], states=states[:count], consumed=consumed
    )


@njit(cache=True, nogil=True)
def scanned(data, table, cells, is_last, starts, stops, states):  # type: ignore[no-untyped-def]
    """Fill the rows of `data` into the arrays; return their number and the bytes of whole rows."""
    size, count, start = len(data), 0, 0
    while start < size:
        at, found, second_line, is_broken = _row(data, start, table)
        stop = _behind_break(data, at, is_last)
        if at == _OPEN:
            stop = size if is_last else _OPEN
        if at == _TOO_LONG or (second_line >= 0 and stop >= 0 and (is_broken or found != cells)):
            stop, is_broken = second_line, True
        if stop < 0:
            break
        if table[data[start]] != _BREAK:
            starts[count], stops[count] = start, stop
            states[count] = UNCLOSED if is_broken else (CELLS if found != cells else GOOD)
            count += 1
        start = stop
    return count, start


@njit(cache=True, nogil=True)
def _row(data, start, table):  # type: ignore[no-untyped-def]
    """Return the end of a row before its line end, its cells, its second line, and whether it
    breaks the rule of quotes.
    """
    size, at, found, second_line, is_broken = len(data), start, 1, -1, False
    while True:
        if at < size and table[data[at]] == _QUOTE:
            at, second_line = _closing(data, at + 1, table, start, second_line)
            if at < 0:
                return at, found, second_line, True
            is_broken |= second_line >= 0 and at < size and table[data[at]] in (_PLAIN, _QUOTE)
        while at < size and table[data[at]] < _SEPARATOR:
            at += 1
        if at >= size or table[data[at]] == _BREAK:
            return at, found, second_line, is_broken
        found += 1
        at += 1


@njit(cache=True, nogil=True)
def _closing(data, at, table, start, second_line):  # type: ignore[no-untyped-def]
    """Return the place behind the closing quote, and the second line of the row if it has one."""
    size = len(data)
    while at < size:
        what = table[data[at]]
        if what == _QUOTE:
            if at + 1 >= size or table[data[at + 1]] != _QUOTE:
                return at + 1, second_line
            at += 1
        elif what == _BREAK:
            if second_line < 0:
                second_line = _behind_break(data, at, True)
            if at - start > MOST_BYTES:
                return _TOO_LONG, second_line
        at += 1
    return _OPEN, second_line


@njit(cache=True, nogil=True)
def _behind_break(data, at, is_last):  # type: ignore[no-untyped-def]
    """Return the place behind a line end, or -1 where the data end before one can tell."""
    size = len(data)
    if at < 0 or (at >= size and not is_last):
        return -1
    if at < size and data[at] == 13:
        if at + 1 >= size and not is_last:
            return -1
        if at + 1 < size and data[at + 1] == 10:
            return at + 2
    return min(at + 1, size)
