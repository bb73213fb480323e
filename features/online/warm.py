"""Made histories to compute a row of before the first request, so that none waits for a kernel.

A kernel is compiled, or read from disk, for each kind of array that it meets. So their events lie
in every form in which a request may meet them: mapped, in the tail, and come with the request; some
texts and numbers are not there, and a row has two versions. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc

from features import log
from features.online import entity, ids
from features.online.base import STORED
from features.online.history import History
from features.online.payload import Unpacked, pack
from features.online.stored import Batch, Stored
from features.views.language import Events

if TYPE_CHECKING:
    from features.targets import Target

KEY = "warm"  # of the entity and its account
AT = datetime(2024, 1, 1, tzinfo=UTC)  # T
OLD = timedelta(days=20)  # of the first event, the anchor
PARTS = 3


def histories(target: Target) -> tuple[History, History]:
    """Return no events, and some of each sort that the views of a target look at."""
    events = log.identified(pa.Table.from_pylist(_rows(target), schema=log.CANDIDATE))
    size = -(-events.num_rows // PARTS)
    kept, late, sent = (events.slice(n * size, size) for n in range(PARTS))
    stored, tail = _stored(kept), Unpacked(pack(late))
    ids.among(stored.pairs(), tail.pairs())  # as the store asks whether the base holds them
    return History(parts=()), entity.joined(History(parts=(stored, tail)), KEY, sent)


def _rows(target: Target) -> list[dict[str, object]]:
    """Return CANDIDATE rows: the anchor, and the events of each feature, oldest first."""
    anchor = Events(kind=target.anchor.kind, names=target.anchor.names)
    looked_at = (e for f in target.features.features for e in vars(f).values())
    sorts = [anchor, *(each for each in looked_at if isinstance(each, Events))]
    rows = [_row(target, each, number, len(sorts)) for number, each in enumerate(sorts)]
    corrected = {**rows[-1], "number": 1, "known_at": AT}
    return [*rows, corrected]


def _row(target: Target, events: Events, number: int, count: int) -> dict[str, object]:
    at = AT - OLD * (count - number) / count
    return {
        "row_key": f"{KEY}:{number}",
        "source": KEY,
        "source_row": number,
        "kind": events.kind,
        "name": events.names[0] if events.names else KEY,
        "event_time": at,
        "known_at": at,
        "account": KEY if number % 3 else None,
        target.entity: KEY,
        "number": number if number % 2 else None,
        "text": KEY if number % 3 else None,
    }


def _stored(events: pa.Table) -> Stored:
    """Return events as a base has them: in bytes that nothing may write to."""
    columns = [events[name].combine_chunks() for name in STORED]
    numbered = [c.dictionary_encode() if pa.types.is_string(c.type) else c for c in columns]
    rows = pa.RecordBatch.from_arrays(numbered, STORED)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_batch(rows)
    mapped = pa.ipc.open_file(pa.py_buffer(sink.getvalue().to_pybytes())).get_batch(0)
    return Stored(batch=Batch(mapped), shard=KEY, start=0, count=mapped.num_rows)
