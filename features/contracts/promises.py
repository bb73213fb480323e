"""The rules that a contract makes: what must be there, what it may be, how large and how long.

A rule is settled per variant and distinct name, and rows look it up; only broken ones are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.contracts import reasons
from features.contracts.columns import LONGEST_LETTER, Strings, matching_rows
from features.contracts.reasons import Broken, Valid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from features.contracts.batch import Batch, Clock, Variant
    from features.contracts.contract import Property

_LIMIT_WORDS = {
    "minimum": "{} is at least {} {}",
    "maximum": "{} is at most {} {}",
    "minLength": "{} has at least {} letters",
    "maxLength": "{} has at most {} letters",
}


def required(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find rows without a value in a required column."""
    bits = batch.bits

    def needs(variant: Variant) -> int:
        return sum(bits[c] for c, promise in variant.promises.items() if promise.required)

    lacking = batch.rules.lookup("required", needs, 0)[batch.variant_of] & ~batch.presence
    yield from _by_bit(batch, lacking, "{} is required")


def any_of(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find rows without a value in any column of a group."""
    most = max((len(c.any_of) for c in batch.rules.contracts.values()), default=0)
    for place in range(most):

        def columns(variant: Variant, place: int = place) -> int:
            groups = variant.contract.any_of[place : place + 1]
            return sum(batch.bits[column] for column in {c for group in groups for c in group})

        masks = batch.rules.lookup(f"any of {place}", columns, 0)[batch.variant_of]
        rows = np.flatnonzero(((batch.presence & masks) == 0) & (masks != 0))
        variants = batch.variant_of[rows]
        for number in np.unique(variants).tolist():
            group = batch.rules.variants[number - 1].contract.any_of[place]
            rule = f"one of {', '.join(group)} is required"
            yield batch.absent(group[0], rows[variants == number], rule)


def declared(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find values in columns of which the contract does not speak."""
    bits = batch.bits

    def speaks(variant: Variant) -> int:
        return sum(bits[column] for column in variant.promises)

    spoken = batch.rules.lookup("declared", speaks, sum(bits.values()))
    surplus = batch.presence & ~spoken[batch.variant_of]
    yield from _by_bit(batch, surplus, "{} has no meaning in this kind and name")


def listed(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find values that are not in the list of valid ones."""

    def is_good(promise: Property, values: pa.Array) -> np.ndarray:
        is_in = pc.is_in(values, value_set=pa.array(promise.allowed, pa.string()))
        return np.asarray(is_in.to_numpy(zero_copy_only=False))

    for promise, rows in _judged(batch, lambda promise: bool(promise.allowed), is_good):
        rule = f"{promise.column} is on the list"
        yield _promised(batch, promise, rows, rule, Valid.of(promise.allowed))


def matching(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find strings that do not match their pattern."""

    def is_good(promise: Property, values: pa.Array) -> np.ndarray:
        return matching_rows(values, promise.logicalTypeOptions.pattern or "")

    has_pattern = lambda promise: promise.logicalTypeOptions.pattern is not None  # noqa: E731
    for promise, rows in _judged(batch, has_pattern, is_good):
        rule = f"{promise.column} matches {promise.logicalTypeOptions.pattern}"
        yield _promised(batch, promise, rows, rule)


def in_range(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find numbers below the minimum or above the maximum."""
    for name, cells in batch.integers(tuple(batch.bits)):
        low, high = _limits(batch, name, "minimum"), _limits(batch, name, "maximum")
        below = (cells.values < low[batch.variant_of]) & cells.is_present
        above = (cells.values > high[batch.variant_of]) & cells.is_present
        yield from _outside(batch, name, np.flatnonzero(below), "minimum")
        yield from _outside(batch, name, np.flatnonzero(above), "maximum")


def of_length(batch: Batch, _: Clock) -> Iterator[Broken]:
    """Find strings that are too short or too long."""
    for name, cells in batch.strings(tuple(batch.bits)):
        low, high = _limits(batch, name, "minLength"), _limits(batch, name, "maxLength")
        # a letter has one to four bytes: few cells need to be counted in letters
        may_be_long = cells.bytes.max(initial=0) > high.min()
        if not may_be_long and not cells.may_be_shorter(int(low.max())):
            continue
        few, many = LONGEST_LETTER * low[batch.variant_of], high[batch.variant_of]
        rows = np.flatnonzero(cells.is_valid & ((cells.bytes < few) | (cells.bytes > many)))
        letters = pc.utf8_length(cells.take(rows)).to_numpy(zero_copy_only=False)
        variants = batch.variant_of[rows]
        yield from _outside(batch, name, rows[letters < low[variants]], "minLength")
        yield from _outside(batch, name, rows[letters > high[variants]], "maxLength")


def _judged(
    batch: Batch,
    is_meant: Callable[[Property], bool],
    is_good: Callable[[Property, pa.Array], np.ndarray],
) -> Iterator[tuple[Property, np.ndarray]]:
    """Yield each promise that is meant and occurs, and the rows whose present value is not good."""
    for number in np.flatnonzero(batch.variant_counts).tolist():
        promises = batch.rules.variants[number - 1].promises.values() if number else ()
        for promise in filter(is_meant, promises):
            if promise.column == "name":
                rows = _bad_names(batch, number, promise, is_good)
            else:
                rows = _bad_values(batch, number, promise, is_good)
            yield promise, rows


def _bad_names(
    batch: Batch,
    number: int,
    promise: Property,
    is_good: Callable[[Property, pa.Array], np.ndarray],
) -> np.ndarray:
    names = batch.names.dictionary
    is_bad = np.append(~is_good(promise, names), False)
    is_bad[:-1] &= pc.greater(pc.binary_length(names), 0).to_numpy(zero_copy_only=False)
    if not is_bad[batch.names_of[number]].any():
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(is_bad[batch.name_codes] & (batch.variant_of == number))


def _bad_values(
    batch: Batch,
    number: int,
    promise: Property,
    is_good: Callable[[Property, pa.Array], np.ndarray],
) -> np.ndarray:
    cells = batch.columns[promise.column]
    rows = np.flatnonzero((batch.variant_of == number) & cells.is_present)
    coded = cells.take(rows).dictionary_encode()
    return np.asarray(rows[~is_good(promise, coded.dictionary)[coded.indices.to_numpy()]])


def _outside(batch: Batch, name: str, rows: np.ndarray, limit: str) -> Iterator[Broken]:
    variants = batch.variant_of[rows]
    for number in np.unique(variants).tolist():
        promise = batch.rules.variants[number - 1].promises[name]
        bound = getattr(promise.logicalTypeOptions, limit)
        rule = _LIMIT_WORDS[limit].format(name, bound, promise.unit).rstrip()
        yield _promised(batch, promise, rows[variants == number], rule)


def _limits(batch: Batch, name: str, limit: str) -> np.ndarray:
    is_low = limit.startswith("min")
    free = np.iinfo(np.int64).min if is_low else np.iinfo(np.int64).max
    if limit == "minLength":
        free = 0

    def bound(variant: Variant) -> int:
        promise = variant.promises.get(name)
        found = getattr(promise.logicalTypeOptions, limit) if promise else None
        return free if found is None else int(found)

    return batch.rules.lookup(f"{name} {limit}", bound, free)


def _by_bit(batch: Batch, sets: np.ndarray, rule: str) -> Iterator[Broken]:
    if not sets.any():
        return
    for name, bit in batch.bits.items():
        rows = np.flatnonzero(sets & bit)
        variants = batch.variant_of[rows]
        for number in np.unique(variants).tolist():
            promise = batch.rules.variants[number - 1].promises.get(name)
            is_private = promise.is_private if promise else name == "person"
            yield _said(batch, name, rows[variants == number], rule.format(name), is_private)


def _promised(
    batch: Batch, promise: Property, rows: np.ndarray, rule: str, valid: Valid | None = None
) -> Broken:
    return _said(batch, promise.column, rows, rule, promise.is_private, valid=valid)


def _said(
    batch: Batch,
    name: str,
    rows: np.ndarray,
    rule: str,
    is_private: bool,
    *,
    valid: Valid | None = None,
) -> Broken:
    if isinstance(batch.columns[name], Strings):
        return batch.wrong(name, rows, reasons.of_text(rule, valid, is_private=is_private))
    return batch.wrong(name, rows, reasons.of_number(rule))
