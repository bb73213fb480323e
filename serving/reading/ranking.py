"""Ranking: in which order the accounts of a list stand. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving import batch


def ranking(rows: pa.Table, *, falling: bool) -> np.ndarray:
    """Return the places of rows (COLUMNS) in the order of a list: the first of each account.

    A row without an account is one by itself.
    """
    order = ranked(rows, falling=falling)
    return np.asarray(order[firsts(rows["account"], order)])


def ranked(rows: pa.Table, *, falling: bool) -> np.ndarray:
    """Return the places of rows (COLUMNS) in the order of a list: all of them.

    The highest scores first, in whole percentage points, as one reads them; among equals what is
    rising before what is falling; then the higher score, then the id. With `falling` only what
    falls, the largest fall first.
    """
    score = rows["probability"].to_numpy()
    by_id = pc.rank(rows["entity"].combine_chunks(), tiebreaker="first").to_numpy()
    trend = _trends(rows["trend"])
    if falling:
        change = rows["change"].to_numpy(zero_copy_only=False).astype(np.float64)
        order = np.lexsort((by_id, np.nan_to_num(change)))
        return np.asarray(order[trend[order] > 0])
    return np.lexsort((by_id, -score, trend, -np.floor(score * 100 + 0.5)))


def _trends(column: pa.ChunkedArray) -> np.ndarray:
    """Return -1 for rising, 0 for steady or nothing known, 1 for falling."""
    ways = pa.array([batch.RISING, batch.STILL, batch.FALLING])
    found = pc.index_in(column, value_set=ways)
    return np.asarray(pc.fill_null(found, 1).to_numpy().astype(np.int64) - 1)


def firsts(accounts: pa.ChunkedArray, order: np.ndarray) -> np.ndarray:
    """Return which places of `order` (n,) are the first of their account, rising."""
    encoded = accounts.combine_chunks().dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    alone = codes < 0
    codes[alone] = len(encoded.dictionary) + np.flatnonzero(alone)
    _, firsts = np.unique(codes[order], return_index=True)
    return np.asarray(np.sort(firsts))
