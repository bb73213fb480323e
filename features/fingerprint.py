"""Fingerprints of rows: XXH64 over the cells of Arrow columns, without Python time per row.

XXH64 is the hash of that name (seed 0; github.com/Cyan4973/xxHash, doc/xxhash_spec.md), so anyone
can compute the same numbers. The fingerprint of a row over several columns is the XXH64 of the
fingerprints of its cells as little-endian words; an absent cell has a word of its own, so that it
differs from an empty text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Sequence

type Cells = pa.Array | pa.ChunkedArray
type Words = np.ndarray  # uint64

ABSENT = np.uint64(0x9E3779B97F4A7C15)  # the word of a null

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)


def of_cells(column: Cells) -> Words:
    """Return the fingerprint of every cell: (n,) uint64, ABSENT for null.

    Strings and binaries are hashed as their bytes, integers and times as eight bytes.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if array.null_count == len(array):
        return np.full(len(array), ABSENT)
    if pa.types.is_dictionary(array.type):
        return _of_codes(of_cells(array.dictionary), array.indices)
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        words = _of_texts(*buffers(array))
    else:
        values = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        words = _of_words(fixed(np.ascontiguousarray(values).view(np.uint64).reshape(1, -1)))
    return _with_absent(words, array)


def of_rows(columns: Sequence[Cells]) -> Words:
    """Return the fingerprint of every row over `columns`: (n,) uint64."""
    words = np.empty((len(columns), len(columns[0])), np.uint64)
    for place, column in enumerate(columns):
        words[place] = of_cells(column)
    return _of_words(fixed(words))


def _of_codes(of_values: Words, codes: pa.Array) -> Words:
    words = of_values[pc.fill_null(codes, 0).to_numpy(zero_copy_only=False)]
    return _with_absent(words, codes)


def _with_absent(words: Words, array: pa.Array) -> Words:
    if array.null_count:
        words[pc.is_null(array).to_numpy(zero_copy_only=False)] = ABSENT
    return words


def buffers(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of all texts and the (n + 1,) offsets into them, read-only."""
    _, offsets, data = array.buffers()
    whole = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return fixed(np.frombuffer(data or bytes(1), np.uint8)), fixed(whole)


def fixed(values: np.ndarray) -> np.ndarray:
    """Return values to read only, whoever else may write them: one kernel is compiled for all."""
    view = values.view()
    view.flags.writeable = False
    return view


@njit(cache=True, nogil=True)
def _word(data: np.ndarray, at: int) -> np.uint64:
    place, word = np.uintp(at), np.uint64(0)  # unsigned: then eight bytes are one load
    for byte in range(8):
        word |= np.uint64(data[place + np.uintp(byte)]) << np.uint64(8 * byte)
    return word


@njit(cache=True, nogil=True, inline="always")
def _turned(word: np.uint64, by: int) -> np.uint64:
    return (word << np.uint64(by)) | (word >> np.uint64(64 - by))


@njit(cache=True, nogil=True, inline="always")
def _round(state: np.uint64, word: np.uint64) -> np.uint64:
    return _turned(state + word * _P2, 31) * _P1


@njit(cache=True, nogil=True, inline="always")
def _merged(state: np.uint64, lane: np.uint64) -> np.uint64:
    return (state ^ _round(np.uint64(0), lane)) * _P1 + _P4


@njit(cache=True, nogil=True, inline="always")
def _joined(one: np.uint64, two: np.uint64, three: np.uint64, four: np.uint64) -> np.uint64:
    state = _turned(one, 1) + _turned(two, 7) + _turned(three, 12) + _turned(four, 18)
    return _merged(_merged(_merged(_merged(state, one), two), three), four)


@njit(cache=True, nogil=True, inline="always")
def _mixed(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> np.uint64(33))) * _P2
    state = (state ^ (state >> np.uint64(29))) * _P3
    return state ^ (state >> np.uint64(32))


@njit(cache=True, nogil=True)
def of_text(data: np.ndarray, at: int, end: int) -> np.uint64:
    length = end - at
    state = _P5
    if length >= 32:
        one, two, three, four = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
        while end - at >= 32:
            one = _round(one, _word(data, at))
            two = _round(two, _word(data, at + 8))
            three = _round(three, _word(data, at + 16))
            four = _round(four, _word(data, at + 24))
            at += 32
        state = _joined(one, two, three, four)
    state += np.uint64(length)
    while end - at >= 8:
        state = _turned(state ^ _round(np.uint64(0), _word(data, at)), 27) * _P1 + _P4
        at += 8
    if end - at >= 4:
        place, half = np.uintp(at), np.uint64(0)
        for byte in range(4):
            half |= np.uint64(data[place + np.uintp(byte)]) << np.uint64(8 * byte)
        state = _turned(state ^ (half * _P1), 23) * _P2 + _P3
        at += 4
    while at < end:
        state = _turned(state ^ (np.uint64(data[at]) * _P5), 11) * _P1
        at += 1
    return _mixed(state)


@njit(cache=True, nogil=True)
def _of_texts(data: np.ndarray, offsets: np.ndarray) -> Words:
    words = np.empty(offsets.size - 1, np.uint64)
    for i in range(words.size):
        words[i] = of_text(data, offsets[i], offsets[i + 1])
    return words


@njit(cache=True, nogil=True)
def _of_words(columns: np.ndarray) -> Words:
    count = columns.shape[0]
    words = np.empty(columns.shape[1], np.uint64)
    for i in range(words.size):
        state, at = _P5, 0
        if count >= 4:
            one, two, three, four = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
            while count - at >= 4:
                one, two = _round(one, columns[at, i]), _round(two, columns[at + 1, i])
                three, four = _round(three, columns[at + 2, i]), _round(four, columns[at + 3, i])
                at += 4
            state = _joined(one, two, three, four)
        state += np.uint64(8 * count)
        while at < count:
            state = _turned(state ^ _round(np.uint64(0), columns[at, i]), 27) * _P1 + _P4
            at += 1
        words[i] = _mixed(state)
    return words


@njit(cache=True, nogil=True)
def recurring(words: Words) -> np.ndarray:
    """Return which words may be there more than once, and a few more: (n,) bool.

    A word has one bit of sixteen per word; those whose bit was set before are told by a second set.
    """
    places = 64
    while places < 16 * words.size:
        places *= 2
    mask, one = np.uint64(places - 1), np.uint64(1)
    seen, again = np.zeros(places // 64, np.uint64), np.zeros(places // 64, np.uint64)
    for word in words:
        at, bit = (word & mask) >> np.uint64(6), one << (word & np.uint64(63))
        again[at] |= seen[at] & bit
        seen[at] |= bit
    found = np.empty(words.size, np.bool_)
    for i in range(words.size):
        at, bit = (words[i] & mask) >> np.uint64(6), one << (words[i] & np.uint64(63))
        found[i] = (again[at] & bit) != 0
    return found
