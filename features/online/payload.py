"""Events as bytes, one by one, for the SQL table of the tail: a fixed head, then the texts.

The head holds the numbers and, per text, its length; absent values are bits of a mask. Packing and
unpacking go through Arrow buffers, so that no event costs Python time of its own but a slice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import FunnelcastError
from features import log

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_BITS = {name: 1 << place for place, name in enumerate((*TEXTS, *NUMBERS))}
_TYPES = {name: log.SCHEMA.field(name).type for name in NUMBERS}
_CELLS = len(TEXTS) + 1  # of one payload: its head is a cell like the texts


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
    count = len(payloads)
    if not count:
        return log.SCHEMA.empty_table()
    heads = np.frombuffer(b"".join([payload[: HEAD.itemsize] for payload in payloads]), HEAD)
    if (heads["format"] != FORMAT).any():
        found = int(heads["format"].max())
        raise UnknownFormat(f"an online event must have format {FORMAT}, got {found}: start anew")
    columns = _texts(heads, b"".join(payloads)) | _numbers(heads)
    return pa.Table.from_arrays([columns[name] for name in log.SCHEMA.names], schema=log.SCHEMA)


def _heads(events: pa.Table, texts: list[pa.Array]) -> np.ndarray:
    heads = np.zeros(events.num_rows, HEAD)
    heads["format"] = FORMAT
    ids = events["event_id"].combine_chunks()
    whole = np.frombuffer(ids.buffers()[1], "V16")
    heads["event_id"] = whole[ids.offset : ids.offset + len(ids)]
    for name in NUMBERS:
        heads[name] = pc.fill_null(events[name].cast(pa.int64()), 0).to_numpy()
    for place, text in enumerate(texts):
        lengths = pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False)
        heads["length"][:, place] = lengths
    for name, bit in _BITS.items():
        if events[name].null_count:
            is_absent = pc.is_null(events[name]).to_numpy(zero_copy_only=False)
            heads["absent"] |= np.where(is_absent, np.uint32(bit), np.uint32(0))
    return heads


def _texts(heads: np.ndarray, data: bytes) -> dict[str, pa.Array]:
    """Read the payloads as one column of cells, head and texts in turn, and part it by place."""
    count = len(heads)
    lengths = np.full((count, _CELLS), HEAD.itemsize, np.int32)
    lengths[:, 1:] = heads["length"]
    offsets = np.zeros(count * _CELLS + 1, np.int32)
    np.cumsum(lengths.ravel(), out=offsets[1:])
    shifted = heads["absent"][:, None] >> np.arange(len(TEXTS), dtype=np.uint32)
    is_there = np.ones((count, _CELLS), bool)
    is_there[:, 1:] = (shifted & 1) == 0
    valid = np.packbits(is_there.ravel(), bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(data)]
    cells = pa.Array.from_buffers(pa.string(), count * _CELLS, buffers)
    by_place = np.arange(count * _CELLS, dtype=np.int32).reshape(count, _CELLS).T[1:]
    ordered = cells.take(pa.array(by_place.ravel()))
    return {name: ordered.slice(i * count, count) for i, name in enumerate(TEXTS)}


def _numbers(heads: np.ndarray) -> dict[str, pa.Array]:
    count = len(heads)
    ids = pa.py_buffer(np.ascontiguousarray(heads["event_id"]))
    columns = {"event_id": pa.Array.from_buffers(pa.binary(16), count, [None, ids])}
    some_absent = int(np.bitwise_or.reduce(heads["absent"]))
    for name in NUMBERS:
        valid = None
        if some_absent & _BITS[name]:
            is_there = (heads["absent"] & _BITS[name]) == 0
            valid = pa.py_buffer(np.packbits(is_there, bitorder="little"))
        data = pa.py_buffer(np.ascontiguousarray(heads[name]))
        columns[name] = pa.Array.from_buffers(_TYPES[name], count, [valid, data])
    return columns
