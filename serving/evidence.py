"""Evidence: the events behind a reason, each with the row of its source. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster.errors import WrongUse
from features import compute, log

if TYPE_CHECKING:
    from features.views import View
    from serving.explain import Reason

MOST = 50  # events that are shown


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The events without which the features of a reason would be others."""

    count: int  # of all
    events: pa.Table  # the newest of them, newest first; SCHEMA columns, so with their source rows


def evidence(
    reason: Reason, view: View, events: pa.Table, row: pa.Table, *, most: int = MOST
) -> Evidence:
    """Return the events behind a reason of a decision, at most `most` of them.

    `events` are those of the entity's shard (SCHEMA columns; `history.table()`), `row` is the one
    row (entity, account, time) that was decided on, `view` has the features of the model.
    """
    if most < 1:
        raise WrongUse(f"events to be shown must be 1 or more, got {most}")
    traced = [compute.trace(view, name, events, row) for name in reason.features]
    found = _once(pa.concat_tables(traced)) if traced else events.slice(0, 0)
    return Evidence(count=found.num_rows, events=found.slice(0, most))


def _once(events: pa.Table) -> pa.Table:
    """Return events newest first, in one order whatever theirs was, each of them once."""
    row, content = log.halves(events["event_id"])
    known, time = (log.microseconds(events[name]) for name in ("known_at", "event_time"))
    order = np.lexsort((content, row, known, time))[::-1]
    ids = np.column_stack([row, content])[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (ids[1:] != ids[:-1]).any(axis=1)
    return events.take(pa.array(order[is_new]))
