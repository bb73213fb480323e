"""The check of events against their contracts: good rows on, broken rows out with their reasons.

A family of rules is a function that finds the rows that break it; the check is all families over
all events. Columns are judged whole, so that only a broken row costs more than nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import WrongUse, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from features.contracts.contract import Contract, Property

ENVELOPE = ("row_key", "source", "kind", "event_time", "known_at")  # required of every kind
TIMES = ("event_time", "known_at")
FIRST_YEAR, LAST_YEAR = 1990, 2100  # a time outside is a unit error, not a fact
LONGEST_QUOTE = 60  # letters of a value in a reason
MOST_HINTS = 200  # distinct wrong values that get a "did you mean": it is slow, and noise beyond

type Cells = pa.Array | pa.ChunkedArray


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The verdict over a table of events: every row is in exactly one of the two."""

    good: pa.Table  # the rows that keep every rule, unchanged and in their order
    bad: pa.Table  # the others and a column `reasons`: "rule: value" of every broken rule, by "; "


@dataclass(frozen=True, kw_only=True)
class Part:
    """The events of one kind and their contract."""

    contract: Contract
    table: pa.Table
    rows: np.ndarray  # int64 positions of these events in the whole table


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Rows that break one rule."""

    rows: np.ndarray  # int64 positions in the whole table
    reasons: list[str]  # one per row


def check(contracts: Mapping[str, Contract], events: pa.Table) -> Checked:
    """Split events by their contracts; WrongUse when a column that the rules need is missing."""
    _require_columns(contracts, events)
    found = [broken for family in COMMON.values() for broken in family(contracts, events)]
    for part in _parts(contracts, events):
        found += [broken for family in BY_KIND.values() for broken in family(part)]
    return _split(events, found)


def complete(_: Mapping[str, Contract], events: pa.Table) -> Iterator[Broken]:
    """Find rows that lack a column which every event needs."""
    for column in ENVELOPE:
        yield _broken(events[column], _absent(events[column]), f"{column} is required")


def in_our_time(_: Mapping[str, Contract], events: pa.Table) -> Iterator[Broken]:
    """Find times outside the years in which a company's records can lie."""
    rule = f"in the years {FIRST_YEAR}..{LAST_YEAR}"
    first = pa.scalar(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), pa.timestamp("us", tz="UTC"))
    end = pa.scalar(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC), pa.timestamp("us", tz="UTC"))
    for column in TIMES:
        outside = pc.or_(pc.less(events[column], first), pc.greater_equal(events[column], end))
        yield _broken(events[column], outside, f"{column} lies {rule}")


def of_known_kind(contracts: Mapping[str, Contract], events: pa.Table) -> Iterator[Broken]:
    """Find kinds of event without a contract."""
    kinds = events["kind"]
    yield _broken(kinds, _unlisted(kinds, contracts), "kind has a contract", contracts)


def required(part: Part) -> Iterator[Broken]:
    """Find rows without a value in a required column."""
    for promise in part.contract.properties:
        if promise.required:
            cells = _absent(part.table[promise.name])
            yield _broken_of(part, promise, cells, f"{promise.name} is required")


def any_of(part: Part) -> Iterator[Broken]:
    """Find rows without a value in any column of a group."""
    for group in part.contract.any_of:
        first, *others = (_absent(part.table[column]) for column in group)
        for other in others:
            first = pc.and_(first, other)
        found = _broken(part.table[group[0]], first, f"one of {', '.join(group)} is required")
        yield Broken(rows=part.rows[found.rows], reasons=found.reasons)


def listed(part: Part) -> Iterator[Broken]:
    """Find values that are not in the list of valid ones."""
    for promise in part.contract.properties:
        if promise.allowed:
            cells = _unlisted(part.table[promise.name], promise.allowed)
            rule = f"{promise.name} is on the list"
            yield _broken_of(part, promise, cells, rule, promise.allowed)


def in_range(part: Part) -> Iterator[Broken]:
    """Find numbers below the minimum or above the maximum."""
    for promise in part.contract.properties:
        limits, column = promise.logicalTypeOptions, part.table[promise.name]
        rule = f"{promise.name} is at {{}} {promise.unit}".rstrip()
        if limits.minimum is not None:
            cells, words = pc.less(column, limits.minimum), f"least {limits.minimum}"
            yield _broken_of(part, promise, cells, rule.format(words))
        if limits.maximum is not None:
            cells, words = pc.greater(column, limits.maximum), f"most {limits.maximum}"
            yield _broken_of(part, promise, cells, rule.format(words))


def matching(part: Part) -> Iterator[Broken]:
    """Find strings that do not match their pattern."""
    for promise in part.contract.properties:
        pattern = promise.logicalTypeOptions.pattern
        if pattern is not None:
            cells = pc.invert(pc.match_substring_regex(part.table[promise.name], pattern))
            yield _broken_of(part, promise, cells, f"{promise.name} matches {pattern}")


def of_length(part: Part) -> Iterator[Broken]:
    """Find strings that are too short or too long."""
    for promise in part.contract.properties:
        limits, column = promise.logicalTypeOptions, part.table[promise.name]
        if limits.minLength is not None:
            cells, words = pc.less(pc.utf8_length(column), limits.minLength), "at least"
            rule = f"{promise.name} has {words} {limits.minLength} letters"
            yield _broken_of(part, promise, cells, rule)
        if limits.maxLength is not None:
            cells, words = pc.greater(pc.utf8_length(column), limits.maxLength), "at most"
            rule = f"{promise.name} has {words} {limits.maxLength} letters"
            yield _broken_of(part, promise, cells, rule)


COMMON: dict[str, Callable[[Mapping[str, Contract], pa.Table], Iterator[Broken]]] = {
    "complete": complete,
    "in_our_time": in_our_time,
    "of_known_kind": of_known_kind,
}
BY_KIND: dict[str, Callable[[Part], Iterator[Broken]]] = {
    "required": required,
    "any_of": any_of,
    "listed": listed,
    "in_range": in_range,
    "matching": matching,
    "of_length": of_length,
}


def _require_columns(contracts: Mapping[str, Contract], events: pa.Table) -> None:
    needed = set(ENVELOPE).union(*(contract.columns for contract in contracts.values()))
    missing = sorted(needed - set(events.column_names))
    if missing:
        hint = nearest(missing[0], events.column_names)
        raise WrongUse(
            f"events must have column '{missing[0]}' of their contracts, got none: {hint}"
        )


def _parts(contracts: Mapping[str, Contract], events: pa.Table) -> Iterator[Part]:
    for kind, contract in contracts.items():
        is_kind = pc.equal(events["kind"], kind)
        table = events.select(sorted(contract.columns)).filter(is_kind)
        if table.num_rows:
            yield Part(contract=contract, table=table, rows=_where(is_kind))


def _broken_of(
    part: Part, promise: Property, cells: Cells, rule: str, valid: Iterable[str] = ()
) -> Broken:
    values = part.table[promise.name]
    found = _broken(values, cells, rule, valid, is_private=promise.is_private)
    return Broken(rows=part.rows[found.rows], reasons=found.reasons)


def _broken(
    values: Cells, cells: Cells, rule: str, valid: Iterable[str] = (), *, is_private: bool = False
) -> Broken:
    rows = _where(cells)
    # as text, because Python cannot hold every moment that Arrow can
    wrong = values.take(pa.array(rows)).cast(pa.string()).to_pylist()
    hints = _hints(wrong, list(valid))
    quote = repr if pa.types.is_string(values.type) else str
    quoted = [_shortened(quote(v), len(v), is_private) if v else "absent" for v in wrong]
    reasons = [f"{rule}: {q}{hints.get(v, '')}" for q, v in zip(quoted, wrong, strict=True)]
    return Broken(rows=rows, reasons=reasons)


def _hints(wrong: list[str], valid: list[str]) -> dict[str, str]:
    several = sorted(set(wrong))[:MOST_HINTS] if valid else []
    return {value: f" ({nearest(value[:LONGEST_QUOTE], valid)})" for value in several}


def _split(events: pa.Table, found: list[Broken]) -> Checked:
    reasons: dict[int, list[str]] = {}
    for broken in found:
        for row, reason in zip(broken.rows.tolist(), broken.reasons, strict=True):
            reasons.setdefault(row, []).append(reason)
    rows = np.array(sorted(reasons), dtype=np.int64)
    is_good = np.ones(events.num_rows, dtype=bool)
    is_good[rows] = False
    joined = pa.array(["; ".join(reasons[row]) for row in rows.tolist()], pa.string())
    bad = events.take(pa.array(rows)).append_column("reasons", joined)
    return Checked(good=events.filter(pa.array(is_good)), bad=bad)


def _where(cells: Cells) -> np.ndarray:
    # a null is a comparison with an absent value, which is the business of the `required` rule
    return np.flatnonzero(pc.fill_null(cells, False).to_numpy(zero_copy_only=False))


def _absent(column: Cells) -> Cells:
    if pa.types.is_string(column.type):
        return pc.equal(pc.fill_null(pc.utf8_trim_whitespace(column), ""), "")
    return pc.is_null(column)


def _unlisted(column: Cells, valid: Iterable[str]) -> Cells:
    is_listed = pc.is_in(column, value_set=pa.array(list(valid), pa.string()))
    return pc.and_(pc.invert(is_listed), pc.invert(_absent(column)))


def _shortened(quoted: str, letters: int, is_private: bool) -> str:
    if is_private:
        return f"a private value of {letters} letters"
    return quoted if len(quoted) <= LONGEST_QUOTE else f"{quoted[:LONGEST_QUOTE]}..."
