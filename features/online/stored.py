"""The part of a history that the base holds: a stretch of a mapped record batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from features import fingerprint, log
from features.online import bits, ids

if TYPE_CHECKING:
    from features.online.history import Bytes, Flags, Ints, Words
    from features.online.ids import Pairs


NO_TEXTS = np.zeros(1, np.uint8), np.zeros(1, np.int32)


class Column(NamedTuple):
    """One column of a batch, over its mapped bytes."""

    values: Ints | None  # numbers or codes; None for texts that are not numbered
    valid: np.ndarray | None  # bits; None where every value is there
    texts: pa.Array | None  # that codes stand for
    spelled: tuple[Bytes, Ints]  # bytes and offsets of the texts


class Batch:
    """A mapped record batch, whose columns are opened once. Safe to share between threads."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self.rows = rows
        self._columns: dict[str, Column] = {}

    @cached_property
    def ids(self) -> Pairs:
        """The event ids, as they lie in the file."""
        return ids.pairs(self.rows.column("event_id"))

    def column(self, name: str) -> Column:
        """Return a column; it stays the same object."""
        found = self._columns.get(name)
        return found or self._columns.setdefault(name, _opened(self.rows.column(name)))


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Events of one shard in a batch: a Part."""

    batch: Batch
    shard: str
    start: int
    count: int

    def numbers(self, name: str) -> Ints:
        """Return numbers as they lie in the file."""
        return self._values(self.batch.column(name))

    def is_there(self, name: str) -> Flags:
        """Return which events have a value."""
        valid = self.batch.column(name).valid
        if valid is None:
            return np.ones(self.count, np.bool_)
        return bits.flags(valid, self.start, self.count)

    def codes(self, name: str) -> Ints:
        """Return codes as they lie in the file if every event has one."""
        column = self.batch.column(name)
        codes = self._values(column)
        return codes if column.valid is None else bits.masked(codes, column.valid, self.start)

    def texts(self, name: str) -> pa.Array:
        """Return the texts of the whole batch."""
        return self.batch.column(name).texts

    def spelled(self, name: str) -> tuple[Bytes, Ints]:
        """Return the bytes of the texts as they lie in the file."""
        return self.batch.column(name).spelled

    def ids(self) -> pa.Array:
        """Return the event ids."""
        return self.batch.rows.column("event_id").slice(self.start, self.count)

    def pairs(self) -> Pairs:
        """Return the event ids as they lie in the file."""
        return self.batch.ids[self.start : self.start + self.count]

    def halves(self) -> tuple[Words, Words]:
        """Return row and content of the event ids."""
        return ids.halves(self.pairs())

    def table(self) -> pa.Table:
        """Return SCHEMA columns, with plain texts."""
        rows = self.batch.rows.slice(self.start, self.count)
        columns = dict(zip(rows.schema.names, map(_plain, rows.columns), strict=True))
        columns["shard"] = pa.repeat(self.shard, self.count)
        return pa.Table.from_arrays([columns[name] for name in log.SCHEMA.names], schema=log.SCHEMA)

    def _values(self, column: Column) -> Ints:
        if column.values is None:
            return np.arange(self.start, self.start + self.count, dtype=np.int32)
        return column.values[self.start : self.start + self.count]


def _opened(array: pa.Array) -> Column:
    if array.offset:  # a batch of which this is a part has its bytes and bits elsewhere
        array = array.take(pa.array(np.arange(len(array))))
    valid, *_ = array.buffers()
    flags = np.frombuffer(valid, np.uint8) if array.null_count else None
    if pa.types.is_dictionary(array.type):
        codes = np.frombuffer(array.indices.buffers()[1], np.int32)
        texts = array.dictionary
        return Column(codes, flags, texts, fingerprint.buffers(texts))
    if pa.types.is_string(array.type):
        return Column(None, flags, array, fingerprint.buffers(array))
    return Column(np.frombuffer(array.buffers()[1], np.int64), flags, None, NO_TEXTS)


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
