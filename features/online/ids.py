"""Event ids as pairs of words, over the bytes in which they lie. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import pyarrow as pa

type Pairs = np.ndarray  # (n, 2) uint64, of whichever order of bytes the machine has
type Words = np.ndarray  # uint64
type Flags = np.ndarray  # bool


def pairs(ids: pa.Array) -> Pairs:
    """Return ids as they lie in their buffer."""
    words = np.frombuffer(ids.buffers()[1], np.uint64).reshape(-1, 2)
    return words[ids.offset : ids.offset + len(ids)]


@njit(cache=True)
def halves(ids: Pairs) -> tuple[Words, Words]:
    """Return row and content, as log.halves does: (n,) uint64 each."""
    row, content = np.empty(len(ids), np.uint64), np.empty(len(ids), np.uint64)
    for i in range(len(ids)):
        row[i], content[i] = _turned(ids[i, 0]), _turned(ids[i, 1])
    return row, content


@njit(cache=True)
def among(ids: Pairs, wanted: Pairs) -> Flags:
    """Return which of the wanted ids are among others: (n wanted,) bool.

    The wanted ones, few, are placed in a table by their second half: many may share the first.
    """
    size = 2
    while size < 2 * len(wanted):
        size *= 2
    last = np.uint64(size - 1)
    table, found = np.full(size, -1, np.int32), np.zeros(len(wanted), np.bool_)
    for i in range(len(wanted)):
        slot = wanted[i, 1] & last
        while table[slot] >= 0:
            slot = (slot + np.uint64(1)) & last
        table[slot] = i
    for k in range(len(ids)):
        slot = ids[k, 1] & last
        while table[slot] >= 0:
            i = table[slot]
            if wanted[i, 0] == ids[k, 0] and wanted[i, 1] == ids[k, 1]:
                found[i] = True
            slot = (slot + np.uint64(1)) & last
    return found


@njit(cache=True, inline="always")
def _turned(word: np.uint64) -> np.uint64:
    """Return a big-endian word as a number, on a little-endian machine."""
    turned = np.uint64(0)
    for _ in range(8):
        turned = turned << np.uint64(8) | word & np.uint64(0xFF)
        word >>= np.uint64(8)
    return turned
