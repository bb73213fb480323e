"""A column of strings by its bytes: what can be said of a million cells without touching each.

The lowest and the highest byte of a column tell at once that it holds no blank, no control
character and nothing but ASCII; only where they do not, cells are looked at one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BLANK, DELETE, BEYOND_ASCII = 0x20, 0x7F, 0x80
_DIGITS = (0x30, 0x39)
LONGEST_LETTER = 4  # bytes in UTF-8


@dataclass(frozen=True)
class Strings:
    """One column of a batch: an array of strings without chunks."""

    cells: pa.Array

    @cached_property
    def is_present(self) -> np.ndarray:
        """(n,) bool: neither null nor empty."""
        return self.is_valid & (self.bytes > 0)

    @cached_property
    def is_valid(self) -> np.ndarray:
        """(n,) bool: not null."""
        return valid(self.cells)

    @cached_property
    def bytes(self) -> np.ndarray:
        """(n,) int32: bytes of each cell in UTF-8; of a null, anything."""
        spans: np.ndarray = np.diff(self._offsets)
        return spans

    def may_be_shorter(self, letters: int) -> bool:
        """Whether some cell that is not null may have fewer letters than that."""
        if letters <= 1:  # an empty one
            full = np.count_nonzero(self.is_present) == np.count_nonzero(self.is_valid)
            return letters == 1 and not full
        few = self.bytes < LONGEST_LETTER * letters
        return bool((few & self.is_valid).any())

    @cached_property
    def lowest(self) -> int:
        """The lowest byte of the column; 255 if there is none."""
        return int(self._data.min()) if len(self._data) else 255

    @cached_property
    def highest(self) -> int:
        """The highest byte of the column; 0 if there is none."""
        return int(self._data.max()) if len(self._data) else 0

    def holding(self, byte: int) -> np.ndarray:
        """Return the rows that hold a byte, in order."""
        if not self.lowest <= byte <= self.highest:
            return np.empty(0, dtype=np.int64)
        return self._rows_of(self._data == byte)

    def unusual(self) -> np.ndarray:
        """Return the rows that may hold a control character, a blank at an end or a letter beyond
        ASCII, in order: every row that does is among them.
        """
        if self.lowest > BLANK and self.highest < DELETE:
            return np.empty(0, dtype=np.int64)
        found = np.zeros(len(self.cells), dtype=bool)
        if self.lowest < BLANK or self.highest >= DELETE:
            found[self._rows_of((self._data < BLANK) | (self._data >= DELETE))] = True
        rows = np.flatnonzero(self.is_present)
        first, last = self._offsets[rows], self._offsets[rows + 1] - 1
        found[rows[(self._data[first] == BLANK) | (self._data[last] == BLANK)]] = True
        return np.flatnonzero(found)

    def with_digits(self, least: int) -> np.ndarray:
        """Return the rows with at least so many ASCII digits, in order."""
        if self.lowest > _DIGITS[1] or self.highest < _DIGITS[0]:
            return np.empty(0, dtype=np.int64)
        is_digit = (self._data >= _DIGITS[0]) & (self._data <= _DIGITS[1])
        before = np.concatenate([[0], np.cumsum(is_digit, dtype=np.int32)])
        count = before[self._offsets[1:]] - before[self._offsets[:-1]]
        return np.flatnonzero((count >= least) & self.is_valid)

    def take(self, rows: np.ndarray) -> pa.Array:
        """Return the cells of some rows."""
        return self.cells.take(pa.array(rows))

    def _rows_of(self, is_hit: np.ndarray) -> np.ndarray:
        places = np.flatnonzero(is_hit)
        rows = np.unique(np.searchsorted(self._offsets, places, side="right") - 1)
        return np.asarray(rows[self.is_valid[rows]])

    @cached_property
    def _offsets(self) -> np.ndarray:
        """(n + 1,) int32: where each cell begins in the data."""
        count, start = len(self.cells), self.cells.offset
        buffer = self.cells.buffers()[1]
        if buffer is None or count == 0:
            return np.zeros(count + 1, dtype=np.int32)
        places: np.ndarray = np.frombuffer(buffer, np.int32, count=start + count + 1)[start:]
        return places if places[0] == 0 else np.asarray(places - places[0])

    @cached_property
    def _data(self) -> np.ndarray:
        count, start = len(self.cells), self.cells.offset
        _, places, letters = self.cells.buffers()
        if letters is None or places is None or count == 0:
            return np.empty(0, dtype=np.uint8)
        ends = np.frombuffer(places, np.int32, count=start + count + 1)
        return np.frombuffer(letters, np.uint8)[ends[start] : ends[-1]]


@dataclass(frozen=True)
class Integers:
    """One column of a batch: an array of 64-bit integers or moments without chunks."""

    cells: pa.Array

    @cached_property
    def is_present(self) -> np.ndarray:
        """(n,) bool: not null."""
        return valid(self.cells)

    @cached_property
    def values(self) -> np.ndarray:
        """(n,) int64; of a null, anything."""
        start, buffer = self.cells.offset, self.cells.buffers()[1]
        if buffer is None or not len(self.cells):
            return np.zeros(len(self.cells), dtype=np.int64)
        return np.frombuffer(buffer, np.int64, count=start + len(self.cells))[start:]

    def take(self, rows: np.ndarray) -> pa.Array:
        """Return the cells of some rows."""
        return self.cells.take(pa.array(rows))


type Column = Strings | Integers


def valid(cells: pa.Array) -> np.ndarray:
    """Return which cells are not null: (n,) bool."""
    if cells.null_count == 0:
        return np.ones(len(cells), dtype=bool)
    mask: np.ndarray = pc.is_valid(cells).to_numpy(zero_copy_only=False)
    return mask


def column(cells: pa.ChunkedArray) -> Column:
    """Return a column of a table by its type."""
    whole = cells.chunk(0) if cells.num_chunks == 1 else cells.combine_chunks()
    return Strings(whole) if pa.types.is_string(whole.type) else Integers(whole)


def matching_rows(values: pa.Array, pattern: str) -> np.ndarray:
    """Return which strings match an RE2 pattern somewhere: (n,) bool, false for null."""
    matches = pc.match_substring_regex(values, pattern)
    return np.asarray(pc.fill_null(matches, False).to_numpy(zero_copy_only=False), dtype=bool)
