"""Which entities an event speaks of: pairs of "kind:key" and the shard of the event. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KINDS = ("lead", "opportunity", "account")
PAIRS = pa.schema([("key", pa.string()), ("shard", pa.string())])


def named(kind: str, key: str) -> str:
    """Return the name of an entity among all kinds."""
    return f"{kind}:{key}"


def pairs(events: pa.Table) -> pa.Table:
    """Return the distinct pairs of entity and shard in events (SCHEMA columns): PAIRS columns."""
    shards = pc.dictionary_encode(events["shard"].combine_chunks())
    found = [distinct(kind, events[kind], shards.indices.to_numpy()) for kind in KINDS]
    tables = [
        pa.table({"key": names, "shard": shards.dictionary.take(pa.array(codes))}, PAIRS)
        for names, codes in found
    ]
    return pa.concat_tables(tables)


def distinct(
    kind: str, column: pa.Array | pa.ChunkedArray, shards: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    """Return the entities of one kind and the code of the shard of each, every pair once.

    `column` holds keys, null for none; `shards` (n,) ints, the code of the shard of each row.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole if pa.types.is_dictionary(whole.type) else pc.dictionary_encode(whole)
    keys = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    both = shards.astype(np.int64) << 32 | keys
    both = both[keys >= 0]
    if len(both):
        both = np.unique(both[np.append(True, both[1:] != both[:-1])])
    names = encoded.dictionary.take(pa.array(both & 0xFFFFFFFF))
    return pc.binary_join_element_wise(f"{kind}:", names, ""), both >> 32
