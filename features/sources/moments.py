"""Times of an export as moments: ISO 8601, strptime formats, counts since 1970, in a zone declared.

A time that names its own offset keeps it; any other is read in the zone of the mapping. The hour
that a zone repeats or leaves out is decided by the mapping, and refused where it decides nothing.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.sources import amounts, lot
from features.sources.parsing import Parsed, failed, or_null
from features.sources.phrases import EPOCHS, ISO, Number

if TYPE_CHECKING:
    from features.sources.phrases import Moment, Order

LOCAL = pa.timestamp("us")
HOUR = 3_600_000_000  # microseconds
SECOND = 1_000_000
_DAY = pa.scalar(24 * HOUR, pa.duration("us"))
_NAMES_ITS_ZONE = r"\d[T ]\d\d.*(?:Z|z|[+-]\d\d(?::?\d\d)?)$"
_TOO_FINE = (r"(\.\d{6})\d+", r"\1")  # below microseconds
_SHORT = {"%T": "%H:%M:%S", "%D": "%m/%d/%y", "%F": "%Y-%m-%d", "%R": "%H:%M", "%e": "%d"}


def moments(cells: pa.Array, moment: Moment) -> Parsed:
    """Parse a column into UTC microseconds; what is no time of a declared form has a reason."""
    found: Parsed | None = None
    texts = lot.text_of(cells)
    for form in moment.format:
        parsed = _of_form(cells, form, moment)
        found = parsed if found is None else _first_of(found, parsed)
    if found is None:
        raise AssertionError("a moment has at least one format")
    rule = f"is a time of the form {' or '.join(moment.format)}"
    reasons = failed(texts, found.values, rule) | found.reasons
    return Parsed(values=later(found.values, moment.plus_hours), reasons=reasons)


def fixed(moment: Moment, rows: int) -> pa.Array:
    """Return the one fixed moment for every row."""
    text = pa.array([moment.fixed], pa.string())
    return pa.repeat(moments(text, moment).values[0], rows)


def by_order(cells: pa.Array, order: Order) -> Parsed:
    """Return the nominal time of every row: start + (order - first) * step."""
    texts = lot.text_of(cells)
    start = pa.scalar(order.start).cast(LOCAL).cast(pa.int64()).as_py()
    places = amounts.integers(texts, Number(column=order.column)).values
    steps = pc.multiply(pc.subtract(places, order.first), order.step_seconds * SECOND)
    values = pc.add(steps, start).cast(log.MICROSECONDS)
    return Parsed(values=values, reasons=failed(texts, values, "follows a whole number"))


def later(values: pa.Array, hours: float) -> pa.Array:
    """Return moments moved by hours."""
    if not hours:
        return values
    return pc.add(values, pa.scalar(round(hours * HOUR), pa.duration("us")))


def _of_form(cells: pa.Array, form: str, moment: Moment) -> Parsed:
    if form in EPOCHS:
        number = Number(column="-", times=Decimal(EPOCHS[form]))
        return Parsed(values=amounts.integers(cells, number).values.cast(log.MICROSECONDS))
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        return _typed(cells, moment)
    texts = lot.text_of(cells)
    return _iso(texts, moment) if form == ISO else _formatted(texts, form, moment)


def _typed(cells: pa.Array, moment: Moment) -> Parsed:
    if getattr(cells.type, "tz", None):
        return _aware(cells.cast(log.MICROSECONDS, safe=False), moment)
    return _naive(cells.cast(LOCAL, safe=False), moment)


def _iso(texts: pa.Array, moment: Moment) -> Parsed:
    kind, read = (log.MICROSECONDS, _aware) if _starts_zoned(texts) else (LOCAL, _naive)
    try:  # once: a cast that fails costs a microsecond a row
        return read(texts.cast(kind), moment)
    except pa.ArrowInvalid:
        pass
    texts = pc.replace_substring_regex(texts, *_TOO_FINE)
    has_zone = pc.match_substring_regex(texts, _NAMES_ITS_ZONE)
    local = or_null(pc.if_else(has_zone, None, texts), lambda part: part.cast(LOCAL))
    zoned = or_null(pc.if_else(has_zone, texts, None), lambda part: part.cast(log.MICROSECONDS))
    return _first_of(_naive(local, moment), _aware(zoned, moment))


def _starts_zoned(texts: pa.Array) -> bool:
    first = texts.drop_null().slice(0, 1)
    return bool(len(first)) and bool(pc.match_substring_regex(first, _NAMES_ITS_ZONE)[0].as_py())


def _formatted(texts: pa.Array, form: str, moment: Moment) -> Parsed:
    coded = texts.dictionary_encode()  # dates repeat
    for short, long in _SHORT.items():
        form = form.replace(short, long)
    values = pc.strptime(coded.dictionary, format=form, unit="us", error_is_null=True)
    values = _without_overflow(coded.dictionary, values, form).take(coded.indices)
    return _aware(values, moment) if values.type.tz else _naive(values, moment)


def _without_overflow(texts: pa.Array, values: pa.Array, form: str) -> pa.Array:
    """Make null what strptime carried over into the next month: 30 February is no day."""
    is_suspect = pc.less_equal(pc.day(values), 3)
    back = pc.strftime(values.cast(pa.timestamp("s", values.type.tz), safe=False), format=form)
    differs = pc.and_(is_suspect, pc.not_equal(_compared(back), _compared(texts)))
    rows = np.flatnonzero(pc.fill_null(differs, False).to_numpy(zero_copy_only=False))
    wrong = [row for row in rows.tolist() if not _is_date(texts[row].as_py(), form)]
    is_wrong = np.zeros(len(texts), dtype=bool)
    is_wrong[wrong] = True
    return pc.if_else(pa.array(is_wrong), None, values) if wrong else values


def _compared(texts: pa.Array) -> pa.Array:
    return pc.utf8_lower(pc.replace_substring_regex(texts, r"\b0+(\d)", r"\1"))


def _is_date(text: str, form: str) -> bool:
    try:
        datetime.strptime(re.sub(r"\s+", " ", text), form)  # noqa: DTZ007 - only whether it is one
    except ValueError:
        return False
    return True


def _aware(values: pa.Array, moment: Moment) -> Parsed:
    values = values.cast(log.MICROSECONDS)
    if not moment.end_of_day:
        return Parsed(values=values)
    return _naive(pc.local_timestamp(values.cast(pa.timestamp("us", moment.zone))), moment)


def _naive(local: pa.Array, moment: Moment) -> Parsed:
    if moment.end_of_day:
        local = pc.add(pc.floor_temporal(local, unit="day"), _DAY)
    if moment.zone == "UTC":
        return Parsed(values=local.cast(log.MICROSECONDS))
    choices = (moment.ambiguous, moment.nonexistent)
    twice, never = (_sided(choice) for choice in choices)
    values = pc.assume_timezone(local, moment.zone, ambiguous=twice, nonexistent=never)
    reasons = _undecided(local, moment) if "refuse" in choices else {}
    if reasons:
        is_refused = np.zeros(len(local), dtype=bool)
        is_refused[list(reasons)] = True
        values = pc.if_else(pa.array(is_refused), None, values)
    return Parsed(values=values.cast(log.MICROSECONDS), reasons=reasons)


def _undecided(local: pa.Array, moment: Moment) -> dict[int, str]:
    """Return the local times that come twice or never, where the mapping decides nothing."""
    early, late = (
        pc.assume_timezone(local, moment.zone, ambiguous=side, nonexistent=side)
        for side in ("earliest", "latest")
    )
    rows = np.flatnonzero(pc.fill_null(pc.not_equal(early, late), False).to_numpy(False))
    places = pa.array(rows)
    exists = pc.equal(pc.local_timestamp(late.take(places)), local.take(places)).to_pylist()
    words = {True: ("comes once", moment.ambiguous), False: ("exists", moment.nonexistent)}
    named = ((row, words[is_there]) for row, is_there in zip(rows.tolist(), exists, strict=True))
    return {
        row: f"{word} in {moment.zone}: a time in the hour of a clock change"
        for row, (word, choice) in named
        if choice == "refuse"
    }


def _sided(choice: str) -> str:
    return "latest" if choice == "refuse" else choice


def _first_of(one: Parsed, other: Parsed) -> Parsed:
    values = pc.coalesce(one.values, other.values)
    return Parsed(values=values, reasons=one.reasons | other.reasons)
