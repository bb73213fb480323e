"""What parsing a column gives: values, and for each cell that is none of them the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_SHAPE = 40
_UPPER, _LOWER, _DIGIT = re.compile(r"[^\W\d_a-z]"), re.compile(r"[a-z]"), re.compile(r"\d")


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A parsed column."""

    values: pa.Array  # null where the cell is absent or could not be parsed
    reasons: dict[int, str] = field(default_factory=dict)  # row -> the rule that its cell breaks


def shape(text: str) -> str:
    """Describe a value without quoting it: letters become A or a, digits 9.

    >>> shape("31/2/24")
    "a value of 7 letters like '99/9/99'"
    """
    letters = _LOWER.sub("a", _DIGIT.sub("9", _UPPER.sub("A", text[:LONGEST_SHAPE])))
    more = "..." if len(text) > LONGEST_SHAPE else ""
    return f"a value of {len(text)} letters like {letters + more!r}"


def failed(texts: pa.Array, values: pa.Array, rule: str) -> dict[int, str]:
    """Return a reason for every row that has a text and no value."""
    lost = texts.null_count != values.null_count
    rows = np.flatnonzero(_is_lost(texts, values)) if lost else np.empty(0, np.int64)
    wrong = texts.take(pa.array(rows)).to_pylist()
    return {row: f"{rule}: {shape(text)}" for row, text in zip(rows.tolist(), wrong, strict=True)}


def or_null(texts: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Convert strings; those that it refuses (ArrowInvalid) become null, found by halving."""
    try:
        return convert(texts)
    except pa.ArrowInvalid:
        coded = texts.dictionary_encode()
        kind = convert(texts.slice(0, 0)).type
        return _halved(coded.dictionary, convert, kind).take(coded.indices)


def _halved(
    texts: pa.Array, convert: Callable[[pa.Array], pa.Array], kind: pa.DataType
) -> pa.Array:
    try:
        return convert(texts)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.nulls(1, kind)
    middle = len(texts) // 2
    parts = (texts.slice(0, middle), texts.slice(middle))
    return pa.concat_arrays([_halved(part, convert, kind) for part in parts])


def _is_lost(texts: pa.Array, values: pa.Array) -> np.ndarray:
    lost: np.ndarray = pc.and_(pc.is_valid(texts), pc.is_null(values)).to_numpy(
        zero_copy_only=False
    )
    return lost
