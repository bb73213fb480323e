"""How the columns of a data file are written, chosen by its first rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

CODEC, LEVEL = "zstd", 1
SAMPLE = 1_000  # rows by which the encoding of a file is chosen
FEW = 64  # distinct values of a sample up to which a column travels as a dictionary
RARE = 0.99  # share of distinct values in a sample from which a dictionary does not pay


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How the columns of a file are written."""

    few: frozenset[str]  # few distinct texts: a dictionary from the start
    rare: frozenset[str]  # values hardly repeat: no dictionary
    dated: frozenset[str]  # few distinct times: a dictionary

    def coded(self, rows: pa.Table) -> pa.Table:
        """Return rows with the columns of few texts as dictionaries."""
        for place, name in enumerate(rows.column_names):
            if name in self.few and not pa.types.is_dictionary(rows[name].type):
                rows = rows.set_column(place, name, _as_dictionary(rows[name].combine_chunks()))
        return rows

    def options(self, schema: pa.Schema) -> dict[str, Any]:
        """Return the options of a Parquet writer."""
        numbers = {f.name for f in schema if pa.types.is_integer(f.type)}
        times = {f.name for f in schema if pa.types.is_timestamp(f.type)} - self.dated
        ids = {f.name for f in schema if pa.types.is_fixed_size_binary(f.type)}
        plain = ids | times  # ids do not compress, and deltas of times hardly
        return {
            "compression": {n: "none" if n in plain else CODEC for n in schema.names},
            "compression_level": {n: LEVEL for n in schema.names if n not in plain},
            "use_dictionary": [n for n in schema.names if n not in self.rare | numbers | plain],
            "column_encoding": dict.fromkeys(numbers | times, "DELTA_BINARY_PACKED"),
            "store_decimal_as_integer": True,
            "store_schema": False,  # else a reader would meet dictionaries in some files
        }


def encoding_of(rows: pa.Table) -> Encoding:
    """Choose an encoding by the first rows."""
    sample = rows.slice(0, SAMPLE)
    texts = [f.name for f in rows.schema if _is_text(f.type)]
    distinct = {name: len(pc.unique(sample[name])) for name in texts}
    return Encoding(
        few=frozenset(n for n, count in distinct.items() if count <= FEW),
        rare=frozenset(n for n, count in distinct.items() if count > RARE * len(sample) > FEW),
        dated=frozenset(f.name for f in rows.schema if _is_dated(sample[f.name])),
    )


def _is_dated(column: pa.ChunkedArray) -> bool:
    return pa.types.is_timestamp(column.type) and len(pc.unique(column)) <= FEW


def _as_dictionary(column: pa.Array) -> pa.Array:
    if column.null_count < len(column):
        return column.dictionary_encode()
    nulls = pa.nulls(len(column), pa.int32())  # without looking at each
    return pa.DictionaryArray.from_arrays(nulls, pa.array([], column.type))


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))
