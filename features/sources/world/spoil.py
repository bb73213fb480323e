"""Spoiling: functions that turn columns of good rows into those of broken ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.sources.world.cells import times as as_times
from features.sources.world.chance import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

type Columns = dict[str, pa.Array | pa.ChunkedArray]
type Spoiler = Callable[[np.random.Generator, pa.Table], Columns]

TOO_LONG = 600  # letters
FAR = 64_060_588_800_000_000  # microseconds: the year 4000
CARD = "4539 1488 0343 6467"  # passes the check sum, belongs to nobody
BANK_ACCOUNT = "DE89 3704 0044 0532 0130 00"  # the example of the standard


def absent(*columns: str) -> Spoiler:
    """Leave columns empty."""
    return lambda _, rows: {
        name: pa.nulls(rows.num_rows, log.CANDIDATE.field(name).type) for name in columns
    }


def said(column: str, word: str) -> Spoiler:
    """Say one word in every row."""
    return lambda _, rows: {column: pa.repeat(word, rows.num_rows)}


def misspelt(column: str) -> Spoiler:
    """Leave out the second letter."""

    def spoil(_: np.random.Generator, rows: pa.Table) -> Columns:
        start, end = (pc.utf8_slice_codeunits(rows[column], *c) for c in ((0, 1), (2, None)))
        return {column: pc.binary_join_element_wise(start, end, "")}

    return spoil


def capitals(column: str) -> Spoiler:
    """Write every word with a capital letter."""
    return lambda _, rows: {column: pc.utf8_title(rows[column])}


def swapped(one: str, other: str) -> Spoiler:
    """Put each of two columns in the other's place."""
    return lambda _, rows: {one: rows[other], other: rows[one]}


def before(column: str, letters: str) -> Spoiler:
    """Put letters in front."""
    return lambda _, rows: {column: pc.binary_join_element_wise(letters, rows[column], "")}


def after(column: str, letters: str) -> Spoiler:
    """Put letters at the end."""
    return lambda _, rows: {column: pc.binary_join_element_wise(rows[column], letters, "")}


def too_long(column: str) -> Spoiler:
    """Say far too much."""
    return said(column, "x" * TOO_LONG)


def times(factor: int) -> Spoiler:
    """Multiply the number."""
    return lambda _, rows: {"number": pc.multiply(rows["number"], factor)}


def address(column: str, words: str = "") -> Spoiler:
    """Write down an e-mail address in clear."""

    def spoil(rng: np.random.Generator, rows: pa.Table) -> Columns:
        digits = pa.array(rng.integers(100, 10_000, rows.num_rows)).cast(pa.string())
        return {column: pc.binary_join_element_wise(words, "jane.doe", digits, "@mail.example", "")}

    return spoil


def phone(rng: np.random.Generator, rows: pa.Table) -> Columns:
    """Write down a telephone number in clear."""
    digits = pa.array(rng.integers(1_000_000, 9_999_999, rows.num_rows)).cast(pa.string())
    return {"text": pc.binary_join_element_wise("call +49 30 555 ", digits, "")}


def bank_account(_: np.random.Generator, rows: pa.Table) -> Columns:
    """Write down the number of a bank account in clear."""
    return {"text": pa.repeat(f"pay to {BANK_ACCOUNT}", rows.num_rows)}


def card(_: np.random.Generator, rows: pa.Table) -> Columns:
    """Write down the number of a payment card in clear."""
    return {"text": pa.repeat(f"card {CARD}", rows.num_rows)}


def in_1970(_: np.random.Generator, rows: pa.Table) -> Columns:
    """Divide the time by a thousand: it falls into January 1970."""
    return {"event_time": as_times(log.microseconds(rows["event_time"]) // 1_000)}


def in_far_future(rng: np.random.Generator, rows: pa.Table) -> Columns:
    """Put the time far behind all that computers were built for."""
    return {"event_time": as_times(FAR + rng.integers(0, 1_000_000, rows.num_rows) * DAY)}


def not_yet(rng: np.random.Generator, rows: pa.Table) -> Columns:
    """Let it happen years after it was known."""
    years = rng.integers(2 * 365, 5 * 365, rows.num_rows) * DAY
    return {"event_time": as_times(log.microseconds(rows["known_at"]) + years)}


def known_too_early(rng: np.random.Generator, rows: pa.Table) -> Columns:
    """Let it be known months before it happened."""
    months = rng.integers(60, 600, rows.num_rows) * DAY
    return {"known_at": as_times(log.microseconds(rows["event_time"]) - months)}
