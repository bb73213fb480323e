"""Rows of a file into candidate events: the mapping applied, one lot at a time. Pure."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.contracts import Broken
from features.sources import amounts, lot, moments
from features.sources.lot import Mapped
from features.sources.parsing import Parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from features.sources.cells import Cells
    from features.sources.mapping import EventMapping
    from features.sources.phrases import Condition, Moment, Number

_COMPARED = {
    "at_least": pc.greater_equal,
    "at_most": pc.less_equal,
    "above": pc.greater,
    "below": pc.less,
}
_BETWEEN_KEYS = ":"


def mapped(source: str, cells: Cells) -> Mapped:
    """Return every event that the rows of a lot hold, with the origin of each."""
    parts, origins = [], []
    broken: list[Broken] = []
    first = 0
    for event in cells.file.events:
        rows = _wanted(event, cells)
        columns = _columns(source, event, cells)
        parts.append(_table(columns, rows, cells))
        origins.append(np.arange(len(cells)) if rows is None else rows)
        broken += _broken(columns, origins[-1], first)
        first += len(origins[-1])
    return Mapped(
        events=pa.concat_tables(parts),
        origin=np.concatenate(origins),
        raw=lot.as_text(cells.rows.table),
        broken=broken,
        unreadable=cells.rows.unreadable,
        people=cells.people(),
    )


def _wanted(event: EventMapping, cells: Cells) -> np.ndarray | None:
    """Return the positions of the rows that have the event; None means all of them."""
    if not event.where:
        return None
    is_wanted = np.ones(len(cells), dtype=bool)
    for column, condition in event.where.items():
        in_doubt = list(cells.broken(column))  # the event is wanted there, and broken
        for met in _met(condition, cells.clear(column).values):
            is_met = pc.fill_null(met, False).to_numpy(zero_copy_only=False, writable=True)
            is_met[in_doubt] = True
            is_wanted &= is_met
    return None if is_wanted.all() else np.flatnonzero(is_wanted)


def _met(condition: Condition, texts: pa.Array) -> Iterator[pa.Array]:
    if condition.among:
        yield pc.is_in(texts, value_set=pa.array(condition.among, pa.string()))
    if condition.other_than:
        yield pc.invert(pc.is_in(texts, value_set=pa.array(condition.other_than, pa.string())))
    if condition.starts_with:
        starts = [pc.starts_with(texts, start) for start in condition.starts_with]
        yield functools.reduce(pc.or_, starts)
    if condition.present:
        yield pc.is_valid(texts)
    if condition.absent:
        yield pc.is_null(texts)
    for word, limit in condition.compares.items():
        yield _COMPARED[word](amounts.floats(texts), limit)


def _columns(source: str, event: EventMapping, cells: Cells) -> dict[str, Parsed]:
    """Return the columns of an event over all rows of the lot; those left out are null."""
    happened = _moment(event.event_time, cells)
    columns: dict[str, Parsed] = {
        "row_key": Parsed(
            values=_row_key(source, event, cells), reasons=cells.broken(*cells.file.row_key)
        ),
        "source": Parsed(values=pa.repeat(source, len(cells))),
        "source_row": Parsed(values=pa.array(cells.rows.numbers)),
        "kind": cells.words(event.kind),
        "name": cells.words(event.name),
        "event_time": happened,
        "known_at": _known(event.known_at, happened, cells),
    }
    columns |= {str(key): cells.words(words) for key, words in event.keys.items()}
    if event.number is not None:
        columns["number"] = _number(event.number, cells)
    if event.text is not None:
        columns["text"] = cells.words(event.text)
    return columns | dict(_beside(columns, event, cells))


def _beside(
    columns: dict[str, Parsed], event: EventMapping, cells: Cells
) -> Iterator[tuple[str, Parsed]]:
    """Yield the columns that break by cells which no column of an event is made of: those that
    decide whether there is one, and those that the vault is to keep.
    """
    private = [
        name for person in cells.file.people for name in (person.key, *person.fields.values())
    ]
    for column, needed in (("kind", event.where), ("person", private)):
        reasons = cells.broken(*needed)
        if reasons:
            parsed = columns.get(column, Parsed(values=pa.nulls(len(cells), pa.string())))
            yield column, replace(parsed, reasons=parsed.reasons | reasons)


def _row_key(source: str, event: EventMapping, cells: Cells) -> pa.Array:
    where = cells.file.file or "query"
    keys = [cells.usable(column) for column in cells.file.row_key]
    start = pa.scalar(f"{source}:{where}:{event.place}")
    return pc.binary_join_element_wise(start, *keys, _BETWEEN_KEYS)


def _moment(moment: Moment, cells: Cells) -> Parsed:
    return cells.once(("moment", repr(moment)), lambda: _parsed_moment(moment, cells))


def _parsed_moment(moment: Moment, cells: Cells) -> Parsed:
    if moment.fixed is not None:
        return Parsed(values=moments.fixed(moment, len(cells)))
    if moment.column is not None:
        parsed = moments.moments(cells.typed(moment.column), moment)
        return replace(parsed, reasons=parsed.reasons | cells.broken(moment.column))
    order = cells.file.order
    if order is None:
        raise AssertionError("a mapping with times by order has an order")
    parsed = moments.by_order(cells.typed(order.column), order)
    values = moments.later(parsed.values, moment.plus_hours)
    return Parsed(values=values, reasons=parsed.reasons | cells.broken(order.column))


def _known(moment: Moment, happened: Parsed, cells: Cells) -> Parsed:
    if moment.lag_hours is None:
        return _moment(moment, cells)
    return Parsed(values=moments.later(happened.values, moment.lag_hours + moment.plus_hours))


def _number(number: Number, cells: Cells) -> Parsed:
    if number.column is None:
        return Parsed(values=pa.repeat(pa.scalar(number.fixed, pa.int64()), len(cells)))
    cell = number.column
    parsed = cells.once(
        ("number", repr(number)), lambda: amounts.integers(cells.typed(cell), number)
    )
    reasons = cells.broken(*number.columns)
    if number.currency is None:
        return replace(parsed, reasons=parsed.reasons | reasons)
    currency = pc.fill_null(cells.clear(number.currency.column).values, "")
    accepted = pa.array(number.currency.accepted, pa.string())
    is_other = pc.and_(pc.invert(pc.is_in(currency, value_set=accepted)), parsed.values.is_valid())
    rows = np.flatnonzero(is_other.to_numpy(zero_copy_only=False))
    rule = f"is in {' or '.join(number.currency.accepted)}: an amount in another currency"
    return Parsed(
        values=pc.if_else(is_other, None, parsed.values) if len(rows) else parsed.values,
        reasons=parsed.reasons | dict.fromkeys(rows.tolist(), rule) | reasons,
    )


def _table(columns: dict[str, Parsed], rows: np.ndarray | None, cells: Cells) -> pa.Table:
    count = len(cells) if rows is None else len(rows)
    places = None if rows is None else pa.array(rows)
    arrays = {}
    for field in log.CANDIDATE:
        parsed = columns.get(field.name)
        values = pa.nulls(count, field.type) if parsed is None else parsed.values
        arrays[field.name] = values if parsed is None or places is None else values.take(places)
    return pa.table(arrays, schema=log.CANDIDATE)


def _broken(columns: dict[str, Parsed], origin: np.ndarray, first: int) -> Iterator[Broken]:
    """Yield the cells of an event that could not be parsed; `first` is its place in the lot."""
    for column, parsed in columns.items():
        wrong = np.array(sorted(parsed.reasons), dtype=np.int64)
        places = np.flatnonzero(np.isin(origin, wrong)) if len(wrong) else wrong
        if len(places):
            reasons = [f"{column} {parsed.reasons[row]}" for row in origin[places].tolist()]
            yield Broken(rows=places + first, column=column, reasons=reasons)
