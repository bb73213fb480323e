"""The rules that hold for every event: the envelope is there, its times make sense, its strings can
be read and identify nobody.

A family first asks whether any row can break it, with one pass over a column; rows are looked at
one by one only where some can.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.contracts import identifying, reasons
from features.contracts.batch import KEYS, NO_CONTRACT
from features.contracts.columns import matching_rows
from features.contracts.reasons import NOTHING, Broken, Valid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from features.contracts.batch import Batch, Clock
    from features.contracts.columns import Integers

ENVELOPE = ("row_key", "source", "kind", "event_time", "known_at")  # required of every kind
TIMES = ("event_time", "known_at")
WORDS = ("row_key", "source", "kind", "name", *KEYS)  # strings by which rows are found again
FIRST_YEAR, LAST_YEAR = 1990, 2100  # a time outside is a unit error, not a fact
TOLERANCE = timedelta(minutes=5)  # by which clocks of two systems may differ
LEAST_DIGITS = 7  # of anything identifying that is not an e-mail address
_MICROSECOND = timedelta(microseconds=1)
_UNCLEAN = r"[\x00-\x1f\x7f\x{80}-\x{9f}\x{fffd}\x{feff}]|^[\s\p{Z}]|[\s\p{Z}]$"
_UNREADABLE = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x{80}-\x{9f}\x{fffd}]|^[\s\p{Z}]*$"
_MARKS_OF_EMAIL = (0x40, 0x25, 0xEF)  # "@", "%" of "%40", and the first byte of the wide "@"


def complete(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find rows that lack a column which every event needs."""
    for name in ENVELOPE:
        rows = np.flatnonzero(~batch.is_present(name))
        yield batch.absent(name, rows, f"{name} is required")


def in_our_time(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find times outside the years in which a company's records can lie."""
    first, end = (
        _micros(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)),
        _micros(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)),
    )
    for name, cells in batch.integers(TIMES):
        outside = cells.is_present & ((cells.values < first) | (cells.values >= end))
        rule = f"{name} lies in the years {FIRST_YEAR}..{LAST_YEAR}"
        yield _wrong_time(batch, name, cells, np.flatnonzero(outside), rule)


def in_order(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find what was known before it happened, unless it was planned."""
    happened, known = (cells for _, cells in batch.integers(TIMES))
    ahead = happened.values > known.values + TOLERANCE // _MICROSECOND
    rows = np.flatnonzero(ahead & happened.is_present & known.is_present)
    rule = "known_at is not before event_time, unless it was planned"
    yield _wrong_time(batch, "known_at", known, _unplanned(batch, rows), rule)


def not_ahead(batch: Batch, clock: Clock) -> Iterator[Broken]:
    """Find what happened, or was learnt, later than now."""
    if clock.now is None:
        return
    latest = _micros(clock.now) + TOLERANCE // _MICROSECOND
    for name, cells in batch.integers(TIMES):
        rows = np.flatnonzero(cells.is_present & (cells.values > latest))
        rows = _unplanned(batch, rows) if name == "event_time" else rows
        yield _wrong_time(batch, name, cells, rows, f"{name} is not in the future")


def of_known_kind(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find kinds of event without a contract."""
    rows = np.flatnonzero(batch.contract_of == NO_CONTRACT)
    rows = rows[batch.columns["kind"].is_present[rows]]
    if rows.size:
        valid = Valid.of(batch.rules.contracts)
        yield batch.wrong("kind", rows, reasons.of_text("kind has a contract", valid))


def well_formed(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find strings with control characters, letters that were read wrongly, or outer blanks."""
    for name, cells in batch.strings((*WORDS, "text")):
        rows = cells.unusual()
        rows = rows[cells.is_present[rows]]
        if not rows.size:
            continue
        is_text = name == "text"
        rows = rows[matching_rows(cells.take(rows), _UNREADABLE if is_text else _UNCLEAN)]
        what = "readable characters" if is_text else "readable characters and no outer blank"
        yield batch.wrong(name, rows, reasons.of_text(f"{name} has {what}"))


def not_identifying(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find e-mail addresses anywhere, and numbers of phones, accounts and cards in free text."""
    for name, cells in batch.strings((*WORDS, "text")):
        looks = [cells.holding(mark) for mark in _MARKS_OF_EMAIL]
        classes: tuple[str, ...] = (identifying.EMAIL,)
        if name == "text":
            looks, classes = [*looks, cells.with_digits(LEAST_DIGITS)], identifying.CLASSES
        rows = np.unique(np.concatenate(looks))
        if rows.size:
            for found, mask in identifying.found(cells.take(rows), classes).items():
                rule = f"{name} holds no {found} in the clear"
                words = reasons.of_text(rule, is_private=True)
                yield batch.wrong(name, rows[mask], words)


def _wrong_time(batch: Batch, name: str, cells: Integers, rows: np.ndarray, rule: str) -> Broken:
    if not rows.size:
        return NOTHING
    years = pc.year(cells.take(rows)).cast(pa.string())
    words = pc.binary_join_element_wise(f"{rule}: a time in", years, " ")
    return Broken(rows=rows + batch.start, column=name, reasons=words)


def _unplanned(batch: Batch, rows: np.ndarray) -> np.ndarray:
    """Return those of the rows whose contract does not say that they are known before."""
    if not rows.size:
        return rows
    kinds = batch.columns["kind"].take(rows)
    names = batch.columns["name"].take(rows)
    planned = np.zeros(len(rows), dtype=bool)
    for kind, contract in batch.rules.contracts.items():
        is_named = pc.is_in(names, pa.array(contract.planned, pa.string()))
        is_planned = pc.and_(pc.equal(kinds, kind), is_named)
        planned |= pc.fill_null(is_planned, False).to_numpy(zero_copy_only=False)
    return rows[~planned]


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
