"""What the log tells of a table that somebody made: which of its values are from after T. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import compute, log

if TYPE_CHECKING:
    from features.views import View

SPINE = ("entity", "account", "time")


def told(view: View, events: pa.Table, rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return when each value of the columns of `view` in `rows` was known, by column: timestamps.

    `rows` have the columns entity, account and time (T). A value that is not the one of T, but the
    one that the log says last, became known with the last event; any other was known at T.
    """
    numbered = rows.append_column("row", pa.array(np.arange(len(rows))))
    last = pc.add(pc.max(events["known_at"]), pa.scalar(1, pa.duration("us")))
    late = pa.chunked_array([pa.repeat(last, len(rows))]).cast(log.MICROSECONDS)
    then = _computed(view, events, numbered)
    finally_ = _computed(view, events, _at(numbered, late))
    return {
        name: pc.if_else(_is_other(rows[name], then[name], finally_[name]), late, rows["time"])
        for name in view.columns
        if name in rows.column_names
    }


def _computed(view: View, events: pa.Table, rows: pa.Table) -> pa.Table:
    made = compute.compute(view, events.select(compute.COLUMNS), rows.select([*SPINE, "row"]))
    return made.sort_by("row")


def _at(rows: pa.Table, times: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index("time"), "time", times)


def _is_other(given: pa.ChunkedArray, then: pa.Array, last: pa.Array) -> pa.Array:
    """Where a value is the last one, and not that of T."""
    values = [pc.cast(each, then.type, safe=False) for each in (given, last)]
    return pc.and_(_same(*values), pc.invert(_same(values[0], then)))


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    both_empty = pc.and_(pc.is_null(one), pc.is_null(other))
    return pc.or_(both_empty, pc.fill_null(pc.equal(one, other), False))
