"""Pseudonyms that were made once are remembered: keyed hashing is slow, and persons return.

A table of fingerprints leads to the values seen, which are compared byte by byte, so two values
that share a fingerprint still have pseudonyms of their own.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from features import fingerprint

if TYPE_CHECKING:
    from cluster.vault import Vault

MOST = 4_000_000  # values remembered of a namespace; then it starts anew
LETTERS = 27  # of a pseudonym
SMALLEST = 1 << 12
FULLEST = 0.5  # share of the slots in use before the table doubles


class Remembered:
    """The pseudonyms of a vault, with a memory. Safe to share between threads."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._lock = Lock()
        self._seen: dict[str, _Memory] = {}  # by namespace

    def __call__(self, namespace: str, values: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Return the pseudonym of each value, null for null: as `Vault.pseudonyms` does."""
        whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if pa.types.is_dictionary(whole.type):
            return self(namespace, whole.dictionary).take(whole.indices)
        texts = whole.cast(pa.string())
        words = fingerprint.of_cells(texts)
        with self._lock:
            memory = self._seen.get(namespace)
            if memory is None or memory.count > MOST:
                memory = self._seen[namespace] = _Memory()
            places = memory.places(texts, words)
            missing = np.flatnonzero(places < 0)
            if len(missing):
                new = texts.take(pa.array(missing)).drop_null().unique()
                memory.add(new, self._vault.pseudonyms(namespace, new))
                places[missing] = memory.places(texts.take(pa.array(missing)), words[missing])
            return memory.named(places)


class _Memory:
    """Values and their pseudonyms, in the order in which they came."""

    def __init__(self) -> None:
        self.count = 0
        self._slots = np.full(SMALLEST, -1, np.int32)  # places, by fingerprint
        self._keys = np.zeros(SMALLEST, np.uint64)  # their fingerprints, beside them
        self._words = np.empty(0, np.uint64)  # fingerprints by place
        self._starts = np.zeros(1, np.int64)  # of each value, and the end
        self._bytes = np.empty(0, np.uint8)
        self._names = np.empty((0, LETTERS), np.uint8)
        self._has_name = np.empty(0, np.bool_)

    def places(self, texts: pa.Array, words: np.ndarray) -> np.ndarray:
        """Return the place of each value, -1 for one not seen and for null: (n,) int32."""
        data, offsets = fingerprint.buffers(texts)
        found = np.empty(len(texts), np.int32)
        _find(self._slots, self._keys, self._starts, self._bytes, data, offsets, words, found)
        if texts.null_count:
            found[pc.is_null(texts).to_numpy(zero_copy_only=False)] = -1
        return found

    def add(self, values: pa.Array, names: pa.Array) -> None:
        """Remember values that are not here, and their names (null: nobody)."""
        data, offsets = fingerprint.buffers(values)
        has_name = pc.is_valid(names).to_numpy(zero_copy_only=False)
        letters = np.zeros((len(values), LETTERS), np.uint8)
        packed = b"".join(name.encode() for name in names.drop_null().to_pylist())
        letters[has_name] = np.frombuffer(packed, np.uint8).reshape(-1, LETTERS)
        self._names = np.concatenate([self._names, letters])
        self._has_name = np.concatenate([self._has_name, has_name])
        ends = self._starts[-1] + (offsets[1:].astype(np.int64) - offsets[0])
        self._starts = np.concatenate([self._starts, ends])
        self._bytes = np.concatenate([self._bytes, data[offsets[0] : offsets[-1]]])
        words = fingerprint.of_cells(values)
        self._words = np.concatenate([self._words, words])
        first, self.count = self.count, len(self._words)
        if self.count > FULLEST * len(self._slots):
            first, slots = 0, 1 << int(np.ceil(np.log2(self.count / FULLEST)))
            self._slots, self._keys = np.full(slots, -1, np.int32), np.zeros(slots, np.uint64)
        _fill(self._slots, self._keys, self._words, first)

    def named(self, places: np.ndarray) -> pa.Array:
        """Return the pseudonyms at some places, null for -1."""
        is_somebody = places >= 0
        if self.count:
            is_somebody &= self._has_name[places]
        names = self._names[np.where(is_somebody, places, 0)] if self.count else self._names
        lengths = np.where(is_somebody, LETTERS, 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        data = names[is_somebody] if not is_somebody.all() else names
        mask = None if is_somebody.all() else pa.array(is_somebody).buffers()[1]
        buffers = [mask, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
        return pa.Array.from_buffers(pa.string(), len(places), buffers)


@njit(cache=True, nogil=True)
def _fill(slots: np.ndarray, keys: np.ndarray, words: np.ndarray, first: int) -> None:
    last = np.uint64(slots.size - 1)
    for place in range(first, words.size):
        slot = words[place] & last
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & last
        slots[slot], keys[slot] = place, words[place]


@njit(cache=True, nogil=True)
def _find(slots, keys, starts, arena, data, offsets, words, found):  # type: ignore[no-untyped-def]
    """Look up the words first, which waits for memory least, and compare the bytes after it."""
    last = np.uint64(slots.size - 1)
    for i in range(words.size):
        slot = words[i] & last
        while slots[slot] >= 0 and keys[slot] != words[i]:
            slot = (slot + np.uint64(1)) & last
        found[i] = slots[slot]
    for i in range(words.size):
        if found[i] >= 0 and not _same(found[i], i, starts, arena, data, offsets):
            slot = words[i] & last
            while slots[slot] >= 0 and not _same(slots[slot], i, starts, arena, data, offsets):
                slot = (slot + np.uint64(1)) & last
            found[i] = slots[slot]


@njit(cache=True, nogil=True, inline="always")
def _same(place, i, starts, arena, data, offsets):  # type: ignore[no-untyped-def]
    ours, theirs, size = starts[place], offsets[i], offsets[i + 1] - offsets[i]
    same = starts[place + 1] - ours == size
    if same:
        for k in range(size):
            same = same and arena[np.uintp(ours + k)] == data[np.uintp(theirs + k)]
    return same
