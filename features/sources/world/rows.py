"""Rows: what happened in the world, written down as candidate events of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOURCE = "world"
NOBODY = -1  # position of an absent entity


@dataclass(frozen=True, kw_only=True)
class Words:
    """A column of words: positions in a vocabulary, NOBODY for null."""

    vocabulary: Sequence[str] | pa.Array
    codes: np.ndarray

    def where(self, keep: np.ndarray) -> Words:
        """Return the words with a true entry in `keep`."""
        return Words(vocabulary=self.vocabulary, codes=self.codes[keep])

    def array(self) -> pa.Array:
        """Return the words as strings."""
        indices = pa.array(self.codes, pa.int32(), mask=self.codes == NOBODY)
        words = pa.array(self.vocabulary, pa.string())
        return pa.DictionaryArray.from_arrays(indices, words).cast(pa.string())


@dataclass(frozen=True, kw_only=True)
class Block:
    """Events of one kind; arrays of one entry per event."""

    kind: str
    name: Words | str
    time: np.ndarray  # microseconds since the start of the world
    lag: np.ndarray  # microseconds until it is known
    keys: Mapping[str, Words]
    number: np.ndarray | None = None
    has_number: np.ndarray | None = None  # where it is not null; everywhere by default
    text: Words | str | None = None


def table(blocks: list[Block], start_us: int, part: int) -> pa.Table:
    """Return all blocks as rows of log.CANDIDATE; the key of a row is its place in its kind."""
    next_of_kind: dict[str, int] = {}
    parts = []
    for block in blocks:
        first = next_of_kind.get(block.kind, 0)
        next_of_kind[block.kind] = first + len(block.time)
        keys = row_keys(block.kind, part, np.arange(first, next_of_kind[block.kind]))
        parts.append(_table(block, keys, start_us))
    # one chunk, because rows are taken from it again and again
    return pa.concat_tables(parts).combine_chunks()


def _table(block: Block, keys: pa.Array, start_us: int) -> pa.Table:
    count = len(block.time)
    time = start_us + block.time
    number = pa.nulls(count, pa.int64()) if block.number is None else pa.array(block.number)
    if block.has_number is not None:
        number = pc.if_else(pa.array(block.has_number), number, pa.scalar(None, pa.int64()))
    columns = {
        "row_key": keys,
        "source": _words(SOURCE, count),
        "source_row": pa.nulls(count, pa.int64()),
        "kind": _words(block.kind, count),
        "name": _words(block.name, count),
        "event_time": pa.array(time).cast(log.MICROSECONDS),
        "known_at": pa.array(time + block.lag).cast(log.MICROSECONDS),
        **{key: _words(block.keys.get(key), count) for key in log.KEYS},
        "number": number,
        "text": _words(block.text, count),
    }
    return pa.table(columns, schema=log.CANDIDATE)


def row_keys(kind: str, part: int, places: np.ndarray) -> pa.Array:
    """Return the identities of rows: "world:touch:0:123"."""
    digits = pa.array(places).cast(pa.string())
    return pc.binary_join_element_wise(f"{SOURCE}:{kind}:{part}", digits, ":")


def _words(words: Words | str | None, count: int) -> pa.Array:
    if isinstance(words, Words):
        return words.array()
    return pa.nulls(count, pa.string()) if words is None else pa.repeat(words, count)
