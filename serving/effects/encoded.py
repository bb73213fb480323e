"""Features of rows as trees take them, and the segments that they fall into."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from serving.model import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.effects.rows import Rows

MOST_WORDS = 12  # of a text that get a column of their own
UNKNOWN = "unknown"
MOST_SEGMENTS = 8  # of one feature; the rest are told as others
OTHERS = "others"


def encoded(rows: Rows, found: pa.Table, segments: Sequence[str]) -> Rows:
    """Return rows with the features found for them (columns entity, time and features), which are
    of the same rows in any order; those without are left out.
    """
    place = _places(rows, found)
    there = place >= 0
    rows, found = rows.filter(there), found.take(pa.array(place[there]))
    names, columns = [], []
    for name in found.column_names:
        if name in {"entity", "account", "time"}:
            continue
        for label, column in _columns(name, found[name]):
            names.append(label)
            columns.append(column)
    matrix = np.column_stack(columns).astype(np.float32)
    words = {name: segmented(found[name]) for name in segments}
    return replace(rows, names=tuple(names), features=matrix, segments=words)


def segmented(column: pa.ChunkedArray) -> np.ndarray:
    """Return the segment of each row: its text, or of a number which part of about a third."""
    if not is_text(column.type) and not pt.is_dictionary(column.type):
        return _thirds(np.asarray(pc.cast(column, pa.float64(), safe=False)))
    text = np.asarray([each or UNKNOWN for each in column.to_pylist()], object)
    names, counts = np.unique(text.astype(str), return_counts=True)
    most = set(names[np.argsort(-counts, kind="stable")][:MOST_SEGMENTS])
    return np.asarray([each if each in most else OTHERS for each in text], object)


def _thirds(number: np.ndarray) -> np.ndarray:
    there = np.isfinite(number)
    if not there.any():
        return np.full(len(number), UNKNOWN, object)
    values = np.unique(number[there])
    if len(values) <= 3:
        words = [f"{each:g}" if known else UNKNOWN for each, known in zip(number, there)]  # noqa: B905
        return np.asarray(words, object)
    low, high = np.quantile(number[there], (1 / 3, 2 / 3), method="inverted_cdf")
    names = np.array([f"up to {low:g}", f"up to {high:g}", f"above {high:g}"], object)
    part = np.searchsorted([low, high], np.where(there, number, low), side="left")
    return np.where(there, names[part], UNKNOWN)


def _places(rows: Rows, found: pa.Table) -> np.ndarray:
    """Return where the features of each row are, -1 for nowhere."""
    place = pc.fill_null(pc.index_in(rows.asked["entity"], found["entity"].combine_chunks()), -1)
    return np.asarray(place.to_numpy(), np.int64)


def _columns(name: str, column: pa.ChunkedArray) -> list[tuple[str, np.ndarray]]:
    if not is_text(column.type) and not pt.is_dictionary(column.type):
        return [(name, np.asarray(pc.cast(column, pa.float64(), safe=False)))]
    text = np.asarray([each or "" for each in column.to_pylist()], object).astype(str)
    names, counts = np.unique(text, return_counts=True)
    order = np.lexsort((names, -counts))[:MOST_WORDS]
    return [(f"{name}={names[n] or UNKNOWN}", (text == names[n]) * 1.0) for n in order]
