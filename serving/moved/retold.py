"""Features as they would have been: as of then with what is known now, and as of now without what
happened since. And the events that make the difference. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import compute, log
from features.compute.inputs import Inputs
from features.views.language import Events

if TYPE_CHECKING:
    from datetime import datetime

    from features.views import View

LATE, WITHDRAWN, NEW = "late", "withdrawn", "new"


@dataclass(frozen=True, kw_only=True)
class Span:
    """From the moment of the last score to that of this one."""

    then: datetime
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Retold:
    """Rows of some entities, by entity: columns entity, account, time and the features."""

    told: pa.Table  # as of then, with what is known now
    passed: pa.Table  # as of now, with what happened before then
    came: pa.Table  # as of now, with all


def retold(view: View, events: pa.Table, rows: pa.Table, span: Span) -> Retold:
    """Return the features of `rows` (entity, account) in three ways.

    `events` (compute.COLUMNS at least) hold all that the rows look at, with every version.
    """
    known = log.visible(events, span.now)
    old = known.filter(_before(known, span.then))
    return Retold(
        told=compute.compute(view, _known_by(old, span.then), _at(rows, span.then)),
        passed=compute.compute(view, old, _at(rows, span.now)),
        came=compute.compute(view, known, _at(rows, span.now)),
    )


def arrived(events: pa.Table, ids_then: pa.ChunkedArray | None, span: Span) -> pa.Table:
    """Return the events that make the difference, the column `came` says how, newest first: `late`
    ones happened before the last score and were not known, `withdrawn` ones were known and are
    corrected or taken back, `new` ones happened since.

    `ids_then` are the ids of the log as it was then; None when nobody knows: then all that is said
    to have been known counts.
    """
    there = events if ids_then is None else events.filter(_in(events, ids_then))
    then = log.visible(there, span.then)
    then = then.filter(_before(then, span.then))
    now = log.visible(events, span.now)
    now = now.filter(_before(now, span.now))
    is_old = _before(now, span.then)
    late = now.filter(pc.and_(is_old, pc.invert(_in(now, then["event_id"]))))
    gone = then.filter(pc.invert(_in(then, now["event_id"])))
    new = now.filter(pc.invert(is_old))
    whole = pa.concat_tables([_named(late, LATE), _named(gone, WITHDRAWN), _named(new, NEW)])
    # a mark that a version elsewhere took over tells nothing of its own
    told = whole.filter(pc.not_equal(whole["kind"], log.RETRACTION))
    return told.sort_by([("event_time", "descending"), ("event_id", "ascending")])


def looked_at(view: View, events: pa.Table, entity: str, account: str | None) -> pa.Table:
    """Return the events that the view looks at for one entity, in their order."""
    inputs, seen = Inputs(events), np.zeros(events.num_rows, bool)
    keys = {"": (view.entity, entity), "account": ("account", account)}
    for each in choices(view):
        column, key = keys[each.of]
        mine = pc.fill_null(pc.equal(events[column].cast(pa.string()), key), False)
        seen |= inputs.chosen(each) & mine.to_numpy()
    return events.filter(pa.array(seen))


def choices(view: View) -> set[Events]:
    """Return what the features of a view look at."""
    return {v for f in view.features for v in vars(f).values() if isinstance(v, Events)}


def _before(events: pa.Table, moment: datetime) -> pa.ChunkedArray:
    return pc.less(events["event_time"], pa.scalar(moment, log.MICROSECONDS))


def _known_by(events: pa.Table, moment: datetime) -> pa.Table:
    """Return events as if all were known by then, in the order in which they became known: events
    of one moment are told apart by it.
    """
    known = log.microseconds(events["known_at"])
    _, ranks = np.unique(known, return_inverse=True)
    last = pa.scalar(moment, log.MICROSECONDS).cast(pa.int64()).as_py()
    earlier = pa.array(last - len(known) + ranks.astype(np.int64)).cast(log.MICROSECONDS)
    place = events.schema.get_field_index("known_at")
    return events.set_column(place, "known_at", earlier)


def _at(rows: pa.Table, moment: datetime) -> pa.Table:
    times = pa.array([moment] * rows.num_rows, log.MICROSECONDS)
    return rows.select(["entity", "account"]).append_column("time", times)


def _in(events: pa.Table, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(events["event_id"], value_set=ids)


def _named(events: pa.Table, came: str) -> pa.Table:
    return events.append_column("came", pa.array([came] * events.num_rows, pa.string()))
