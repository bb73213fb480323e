"""Cells: columns of candidate events seen as arrays, and tables with some columns replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import log

if TYPE_CHECKING:
    from collections.abc import Mapping


def of_kind(rows: pa.Table, *kinds: str) -> np.ndarray:
    """Return which rows are of one of the kinds: (n,) bool."""
    return _mask(pc.is_in(rows["kind"], pa.array(kinds)))


def named(rows: pa.Table, kind: str, *names: str) -> np.ndarray:
    """Return which rows are of a kind and have one of the names: (n,) bool."""
    return np.asarray(of_kind(rows, kind) & _mask(pc.is_in(rows["name"], pa.array(names))))


def at_least(rows: pa.Table, column: str, least: int) -> np.ndarray:
    """Return which rows hold a number of at least `least`: (n,) bool."""
    return _mask(pc.greater_equal(rows[column], least))


def present(rows: pa.Table, column: str) -> np.ndarray:
    """Return which rows hold a value: (n,) bool."""
    return _mask(pc.is_valid(rows[column]))


def replaced(rows: pa.Table, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Return the rows with whole columns replaced."""
    for name, values in columns.items():
        field, place = log.CANDIDATE.field(name), rows.column_names.index(name)
        rows = rows.set_column(place, field, values)
    return rows


def overwritten(rows: pa.Table, column: str, mask: np.ndarray, values: pa.Array) -> pa.Table:
    """Return the rows with new values where the mask is true, one per true entry."""
    # a position in the new values behind the old ones, which needs no copy per chunk
    old = rows[column].combine_chunks()
    place = np.arange(len(old))
    place[mask] = len(old) + np.arange(len(values))
    return replaced(rows, {column: pa.concat_arrays([old, values]).take(pa.array(place))})


def words(texts: list[str]) -> pd.api.extensions.ExtensionArray:
    """Return a column of strings for a DataFrame, which stays one when it is empty."""
    return pd.array(texts, dtype="str")


def times(micros: np.ndarray) -> pa.Array:
    """Return microseconds since 1970 as times."""
    return pa.array(micros).cast(log.MICROSECONDS)


def _mask(cells: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(cells, False).to_numpy(zero_copy_only=False))
