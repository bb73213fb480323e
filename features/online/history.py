"""The history of one shard, in the parts in which it is kept. Columns are numpy arrays over the
mapped file where they can be, and an Arrow table is made only when one is asked for. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numba import njit

from features import log
from features.fingerprint import fixed

type Ints = np.ndarray  # int64, or int32 for codes; one-dimensional
type Words = np.ndarray  # uint64
type Flags = np.ndarray  # bool
type Bytes = np.ndarray  # uint8


class Part(Protocol):
    """Some events of one shard, in no order that counts. Arrays are for reading only.

    Names are those of log.SCHEMA, without "shard".
    """

    @property
    def count(self) -> int:
        """How many events."""

    def numbers(self, name: str) -> Ints:
        """Return whole numbers, or times in microseconds: (n,) int64, any where there is none."""

    def is_there(self, name: str) -> Flags:
        """Return which events have a value: (n,) bool."""

    def codes(self, name: str) -> Ints:
        """Return places in `texts(name)`: (n,) int32, -1 where there is none.

        One text may have several codes.
        """

    def texts(self, name: str) -> pa.Array:
        """Return the texts that codes stand for; one object for all that share a mapped batch."""

    def spelled(self, name: str) -> tuple[Bytes, Ints]:
        """Return the bytes of `texts(name)` and the (n + 1,) int32 offsets into them."""

    def halves(self) -> tuple[Words, Words]:
        """Return the two halves of the event ids: row and content, (n,) uint64 each."""

    def table(self) -> pa.Table:
        """Return the events as SCHEMA columns."""


@dataclass(frozen=True, kw_only=True)
class History:
    """All events of one shard, each in one of the parts."""

    parts: tuple[Part, ...]
    _made: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    def once[T](self, key: object, make: Callable[[], T]) -> T:
        """Return what `make` makes of these events; it is kept beside them under its key."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    @property
    def count(self) -> int:
        """How many events."""
        return sum(part.count for part in self.parts)

    def table(self) -> pa.Table:
        """Return the events as SCHEMA columns."""
        tables = [part.table() for part in self.parts]
        return pa.concat_tables(tables) if tables else log.SCHEMA.empty_table()


def has_text(part: Part, name: str, text: str) -> Flags:
    """Return in which events of a part a column is the text, compared byte by byte: (n,) bool."""
    data, offsets = part.spelled(name)
    wanted = np.frombuffer(text.encode(), np.uint8)
    return _equal(fixed(part.codes(name)), fixed(data), fixed(offsets), wanted)


@njit(cache=True)
def _equal(codes: Ints, data: np.ndarray, offsets: Ints, wanted: np.ndarray) -> Flags:
    equal = np.zeros(codes.size, np.bool_)
    for i in range(codes.size):
        code = codes[i]
        if code < 0 or offsets[code + 1] - offsets[code] != wanted.size:
            continue
        place, at = 0, offsets[code]
        while place < wanted.size and data[at + place] == wanted[place]:
            place += 1
        equal[i] = place == wanted.size
    return equal
