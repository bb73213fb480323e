"""A set of event ids, big and exact: which ids are new, and which rows have other versions.

An open-addressing table of id halves, 16 bytes a slot. Ids are placed by their first half, so that
all versions of a row lie on one path and are met in one search.
"""

from __future__ import annotations

from threading import Lock

import numpy as np
import pyarrow as pa
from numba import njit

from features import log

SMALLEST = 1 << 12
FULLEST = 0.6  # share of the slots in use before the table doubles

type Words = np.ndarray  # uint64
type Flags = np.ndarray  # bool

_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class KnownIds:
    """Event ids seen so far; safe to share between threads.

    With a `base`, its ids are known too, and are left as they are.
    """

    def __init__(self, expected: int = 0, base: KnownIds | None = None) -> None:
        self._lock = Lock()
        self._rows, self._contents = _empty(expected)
        self._count = 0
        self._base = base

    def __len__(self) -> int:
        return self._count

    def add(self, row: Words, content: Words) -> tuple[Flags, Flags]:
        """Add ids by their halves, in order; returns which were new, and which rows have another
        version here.
        """
        content = _nonzero(content)
        with self._lock:
            self._make_room(len(row))
            is_new, has_other = _add(self._rows, self._contents, row, content)
            self._count += int(is_new.sum())
        if self._base is None or not len(self._base):
            return is_new, has_other
        is_there, is_elsewhere = self._base._found(row, content)
        return is_new & ~is_there, has_other | is_elsewhere

    def holds(self, row: Words, content: Words) -> Flags:
        """Return which ids are here, adding none."""
        return self._found(row, _nonzero(content))[0]

    def holds_row(self, row: Words) -> Flags:
        """Return of which rows, by the first half of the id, any version is here."""
        is_there, has_other = self._found(row, np.zeros(len(row), np.uint64))
        there: Flags = is_there | has_other
        return there

    def expect(self, more: int) -> None:
        """Make room for ids to come, so that they need not be moved on the way."""
        with self._lock:
            self._make_room(more)

    def _found(self, row: Words, content: Words) -> tuple[Flags, Flags]:
        """Return which ids are here, and which rows have another version here."""
        with self._lock:
            found = _find(self._rows, self._contents, row, content)
        return found if self._base is None else _either(found, self._base._found(row, content))

    def _make_room(self, more: int) -> None:
        needed = self._count + more
        if needed <= FULLEST * len(self._rows):
            return
        rows, contents = self._rows, self._contents
        self._rows, self._contents = _empty(needed)
        used = contents != 0
        _add(self._rows, self._contents, rows[used], contents[used])


def fresh(events: pa.Table, known: KnownIds) -> tuple[pa.Table, Words]:
    """Return the events (SCHEMA columns) that are neither known nor earlier in the table, in order,
    and the fingerprints of rows that have another version; all are known from now on.
    """
    row, content = log.halves(events["event_id"])
    is_new, has_other = known.add(row, content)
    new = events if is_new.all() else events.filter(pa.array(is_new))
    return new, row[has_other]


def _either(one: tuple[Flags, Flags], other: tuple[Flags, Flags]) -> tuple[Flags, Flags]:
    return one[0] | other[0], one[1] | other[1]


def _empty(expected: int) -> tuple[Words, Words]:
    slots = SMALLEST
    while expected > FULLEST * slots:
        slots *= 2
    return np.zeros(slots, np.uint64), np.zeros(slots, np.uint64)


def _nonzero(content: Words) -> Words:
    """Keep 0 free for empty slots."""
    return np.where(content == 0, np.uint64(1), content)


@njit(cache=True, nogil=True)
def _add(rows: Words, contents: Words, row: Words, content: Words) -> tuple[Flags, Flags]:
    last = np.uint64(rows.size - 1)
    is_new = np.zeros(row.size, np.bool_)
    has_other = np.zeros(row.size, np.bool_)
    for i in range(row.size):
        slot = (row[i] * _SPREAD >> np.uint64(16)) & last
        is_there = False
        while contents[slot] != 0:
            if rows[slot] == row[i]:
                if contents[slot] == content[i]:
                    is_there = True
                else:
                    has_other[i] = True
            slot = (slot + np.uint64(1)) & last
        if not is_there:
            rows[slot], contents[slot] = row[i], content[i]
            is_new[i] = True
    return is_new, has_other


@njit(cache=True, nogil=True)
def _find(rows: Words, contents: Words, row: Words, content: Words) -> tuple[Flags, Flags]:
    last = np.uint64(rows.size - 1)
    is_there = np.zeros(row.size, np.bool_)
    has_other = np.zeros(row.size, np.bool_)
    for i in range(row.size):
        slot = (row[i] * _SPREAD >> np.uint64(16)) & last
        while contents[slot] != 0:
            if rows[slot] == row[i]:
                if contents[slot] == content[i]:
                    is_there[i] = True
                else:
                    has_other[i] = True
            slot = (slot + np.uint64(1)) & last
    return is_there, has_other
