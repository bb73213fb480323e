"""Events as bytes, one by one, for the SQL table of the tail: a fixed head, then the texts.

The head holds the numbers and, per text, its length; absent values are bits of a mask. Packing goes
through Arrow buffers and unpacking through a compiled loop, so no event costs Python time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from cluster.errors import FunnelcastError
from features import log
from features.fingerprint import fixed
from features.online import bits, ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.online.history import Bytes, Flags, Ints, Words
    from features.online.ids import Pairs

FORMAT = 1
TEXTS = tuple(f.name for f in log.SCHEMA if pa.types.is_string(f.type))
NUMBERS = ("source_row", "event_time", "known_at", "number")
HEAD = np.dtype(
    [
        ("format", "<u4"),
        ("absent", "<u4"),  # bit i: text i; then the numbers
        ("event_id", "V16"),
        *((name, "<i8") for name in NUMBERS),
        ("length", "<u4", (len(TEXTS),)),
    ]
)
_PLACES = {name: place for place, name in enumerate((*TEXTS, *NUMBERS))}  # of bits in `absent`
_TYPES = {name: log.SCHEMA.field(name).type for name in NUMBERS}
_HEAD, _COUNT, _ALL = HEAD.itemsize, len(TEXTS), len(_PLACES)
_LENGTHS = _HEAD - 4 * _COUNT  # where they begin in a head


class UnknownFormat(FunnelcastError):
    """The bytes were written by another version of the program."""


def pack(events: pa.Table) -> list[bytes]:
    """Return each event (SCHEMA columns) as bytes."""
    if not events.num_rows:
        return []
    texts = [events[name].combine_chunks() for name in TEXTS]
    heads = _heads(events, texts)
    data = pa.py_buffer(heads.tobytes())
    fixed = pa.Array.from_buffers(pa.binary(HEAD.itemsize), len(heads), [None, data])
    plain = [pc.fill_null(text, "").cast(pa.binary()) for text in texts]
    joined = pc.binary_join_element_wise(fixed.cast(pa.binary()), *plain, b"")
    packed: list[bytes] = joined.to_pylist()
    return packed


def unpack(payloads: Sequence[bytes]) -> pa.Table:
    """Return packed events as a table of SCHEMA columns; UnknownFormat for other bytes."""
    return Unpacked(payloads).table()


class Unpacked:
    """Packed events, parted into columns: a Part. UnknownFormat for other bytes."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        data = np.frombuffer(b"".join(payloads), np.uint8)
        bad, heads, self._offsets, texts = _parted(data, len(payloads))
        if bad:
            raise UnknownFormat(
                f"an online event must be whole and have format {FORMAT}, got another: start anew"
            )
        self._heads = heads.view(HEAD)[:, 0]
        self._valid = fixed(_present(np.ascontiguousarray(self._heads["absent"])))
        self._texts = texts
        self.count = len(payloads)

    def numbers(self, name: str) -> Ints:
        """Return numbers, 0 where there is none."""
        return np.ascontiguousarray(self._heads[name])

    def is_there(self, name: str) -> Flags:
        """Return which events have a value."""
        return bits.flags(self._valid[_PLACES[name]], 0, self.count)

    def codes(self, name: str) -> Ints:
        """Return the number of the event itself: each has its own text."""
        own = fixed(np.arange(self.count, dtype=np.int32))
        return bits.masked(own, self._valid[_PLACES[name]], 0)

    def texts(self, name: str) -> pa.Array:
        """Return the text of each event."""
        place = _PLACES[name]
        return self._array(pa.string(), self._valid[place], self._offsets[place], self._texts)

    def spelled(self, name: str) -> tuple[Bytes, Ints]:
        """Return the bytes of all texts, and the offsets of those of a column."""
        return self._texts, self._offsets[_PLACES[name]]

    def halves(self) -> tuple[Words, Words]:
        """Return row and content of the event ids."""
        return ids.halves(self.pairs())

    def pairs(self) -> Pairs:
        """Return the event ids as they lie in memory."""
        own = np.ascontiguousarray(self._heads["event_id"])
        return fixed(own.view(np.uint64).reshape(-1, 2))

    def table(self) -> pa.Table:
        """Return SCHEMA columns."""
        columns = {name: self.texts(name) for name in TEXTS}
        columns["event_id"] = self._array(pa.binary(16), None, self.pairs())
        for name in NUMBERS:
            valid = self._valid[_PLACES[name]]
            columns[name] = self._array(_TYPES[name], valid, self.numbers(name))
        return pa.Table.from_arrays([columns[name] for name in log.SCHEMA.names], schema=log.SCHEMA)

    def _array(self, type: pa.DataType, *buffers: np.ndarray | None) -> pa.Array:
        kept = [None if buffer is None else pa.py_buffer(buffer) for buffer in buffers]
        return pa.Array.from_buffers(type, self.count, kept)


def _heads(events: pa.Table, texts: list[pa.Array]) -> np.ndarray:
    heads = np.zeros(events.num_rows, HEAD)
    heads["format"] = FORMAT
    heads["event_id"] = ids.pairs(events["event_id"].combine_chunks()).view("V16")[:, 0]
    for name in NUMBERS:
        heads[name] = pc.fill_null(events[name].cast(pa.int64()), 0).to_numpy()
    for place, text in enumerate(texts):
        lengths = pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False)
        heads["length"][:, place] = lengths
    for name, place in _PLACES.items():
        if events[name].null_count:
            is_absent = pc.is_null(events[name]).to_numpy(zero_copy_only=False)
            heads["absent"] |= np.where(is_absent, np.uint32(1 << place), np.uint32(0))
    return heads


@njit(cache=True, nogil=True)
def _number(data: np.ndarray, at: int) -> int:
    number = np.int64(0)
    for place in range(4):
        number |= np.int64(data[at + place]) << (8 * place)
    return int(number)


@njit(cache=True, nogil=True)
def _parted(data: np.ndarray, count: int) -> tuple[bool, np.ndarray, Ints, np.ndarray]:
    """Return whether these are other bytes than `count` payloads, else their heads (count, _HEAD),
    the offsets (_COUNT, count + 1) of the texts of each column, and the texts, column by column.
    """
    heads = np.empty((count, _HEAD), np.uint8)
    offsets = np.zeros((_COUNT, count + 1), np.int32)
    at = 0
    for i in range(count):
        if at + _HEAD > data.size or _number(data, at) != FORMAT:
            return True, heads, offsets, data
        for place in range(_HEAD):
            heads[i, place] = data[at + place]
        lengths = at + _LENGTHS
        at += _HEAD
        for k in range(_COUNT):
            length = _number(data, lengths + 4 * k)
            offsets[k, i + 1] = length
            at += length
    if at != data.size:
        return True, heads, offsets, data
    texts, at = np.empty(data.size - count * _HEAD, np.uint8), 0
    for k in range(_COUNT):
        offsets[k, 0] = at
        for i in range(count):
            at += offsets[k, i + 1]
            offsets[k, i + 1] = at
    _copy(data, offsets, texts)
    return False, heads, offsets, texts


@njit(cache=True, nogil=True)
def _copy(data: np.ndarray, offsets: Ints, texts: np.ndarray) -> None:
    at = np.uint64(0)
    for i in range(offsets.shape[1] - 1):
        at += np.uint64(_HEAD)
        for k in range(offsets.shape[0]):
            for place in range(np.uint64(offsets[k, i]), np.uint64(offsets[k, i + 1])):
                texts[place] = data[at]
                at += np.uint64(1)


@njit(cache=True, nogil=True)
def _present(absent: np.ndarray) -> np.ndarray:
    """Return per text and number the bits of the events that have it: (columns, bytes) uint8."""
    valid = np.zeros((_ALL, (absent.size + 7) >> 3), np.uint8)
    for i in range(absent.size):
        for k in range(_ALL):
            valid[k, i >> 3] |= np.uint8((~absent[i] >> k & 1) << (i & 7))
    return valid
