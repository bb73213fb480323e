"""Content: what rows say, whatever files they lie in and whatever their order. Pure.

Each row has a fingerprint over its cells, by the names of their columns. The content of a set of
rows is their number and, in four lanes, the sum of a hash of each fingerprint modulo 2^64. So the
content of a whole is the sum of those of its parts, and no part need be sorted or kept. Equal rows
count as often as they occur. It tells sets of rows apart that differ by accident, not by intent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import canonical
from features import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

LANES = 4
_WHOLE = 2**64


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of a set of rows."""

    rows: int = 0
    sums: tuple[int, ...] = (0,) * LANES

    def __add__(self, other: Content) -> Content:
        """Return the content of both sets together."""
        sums = (a + b for a, b in zip(self.sums, other.sums, strict=True))
        return Content(rows=self.rows + other.rows, sums=tuple(s % _WHOLE for s in sums))

    def digest(self, schema: pa.Schema) -> str:
        """Return 64 hex digits that name these rows under the columns of `schema`."""
        columns = {field.name: str(field.type) for field in schema}
        return canonical.digest({"columns": columns, "rows": self.rows, "sums": self.sums})

    def said(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {"rows": self.rows, "sums": list(self.sums)}

    @classmethod
    def heard(cls, said: Mapping[str, object]) -> Self:
        """Return what `said` gave."""
        return cls(rows=said["rows"], sums=tuple(said["sums"]))  # type: ignore[arg-type]


def of(rows: pa.Table) -> Content:
    """Return the content of rows."""
    names = sorted(rows.column_names)
    words = fingerprint.of_rows([_hashable(rows[name]) for name in names])
    lanes = (fingerprint.of_rows([_lane(words, lane)]) for lane in range(1, LANES + 1))
    # a sum of uint64 goes round at 2^64
    return Content(rows=rows.num_rows, sums=tuple(int(lane.sum(dtype=np.uint64)) for lane in lanes))


def _hashable(column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return a column of a type that can be fingerprinted; reals as their bits."""
    kind = column.type
    if pa.types.is_large_string(kind):
        return column.cast(pa.string())
    if not pa.types.is_floating(kind):
        return column
    bits = pc.fill_null(column, 0.0).to_numpy().astype(np.float64).view(np.int64)
    return pa.array(bits, mask=pc.is_null(column).to_numpy())


def _lane(words: np.ndarray, lane: int) -> pa.Array:
    return pa.array((words ^ np.uint64(lane)).view(np.int64))
