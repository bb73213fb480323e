"""The events that a decision saw, found again among all that its shard holds by now.

What came since with an older `known_at`, from a late export or in the instant of the decision, is
told apart by the digest: it is the sum of the ids, so what is left over must have the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import schema
from cluster.errors import Refusal
from features import log
from features.online import entity
from features.online.history import History
from serving.answer.gather import Gatherer
from serving.answer.record import FORMAT, Recorded
from serving.answer.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from features.contracts import Rules
    from features.online import OnlineStore

MOST_ORIGINS = 12  # documents of which every subset is tried
type Words = np.ndarray  # uint64


def read(body: Mapping[str, Any]) -> Recorded | Refusal:
    """Return what a decision was made from by its record, refusing one of another format."""
    found = body.get("format", 1)  # the first format did not say which it was
    if found != FORMAT:
        return Refusal(
            rule=f"a record must be of format {FORMAT}",
            value=str(found),
            remedy="look at it with GET /v1/decisions/{id}",
        )
    return Recorded.read(body)


def history(store: OnlineStore, rules: Rules, body: Mapping[str, Any]) -> History | Refusal:
    """Return the events that a decision saw, those of its request beside them."""
    past = read(body)
    if isinstance(past, Refusal):
        return past
    if past.seen is None:
        return Refusal(
            rule="a decision must rest on events to be traced to them",
            value=f"'{past.id}', which the rules made before the features were there",
            remedy="look at its record",
        )
    stored = _seen(store, past.seen, schema.micros(past.time))
    if isinstance(stored, Refusal):
        return stored
    gatherer = Gatherer(store=store, rules=rules)
    return gatherer.joined(stored, past.seen.shard, past.question, past.time)


def _seen(store: OnlineStore, seen: Seen, at: int) -> History | Refusal:
    now = store.history(seen.shard)
    found = Seen.of(seen.shard, now, at)
    if found == seen:
        return now
    events = now.table()
    events = events.filter(pa.array(log.microseconds(events["known_at"]) <= at))
    for since in _candidates(events, found, seen):
        left = _without(events, since, seen.shard)
        if Seen.of(seen.shard, left, at) == seen:
            return left
    return Refusal(
        rule=f"the {seen.count} events of '{seen.shard}' that the decision saw must be there",
        value=f"{found.count} others",
        remedy="restore the log from a backup; a person's events may have been erased",
    )


def _candidates(events: pa.Table, now: Seen, then: Seen) -> Iterator[np.ndarray]:
    """Yield places of events that may have come since, (n,) bool each."""
    count = now.count - then.count
    if count <= 0:
        return
    newest = np.argsort(-log.microseconds(events["known_at"]), kind="stable")
    yield _marked(events, newest[:count])
    yield from _of_origins(events, count)
    yield from _one_or_two(events, now, then)


def _of_origins(events: pa.Table, count: int) -> Iterator[np.ndarray]:
    """Yield the events of some origins that together have so many."""
    codes = pc.dictionary_encode(events["ingest"]).combine_chunks()
    of = codes.indices.to_numpy()
    sizes = np.bincount(of)
    origins = np.argsort(sizes, kind="stable")[:MOST_ORIGINS]
    for subset in range(1, 1 << len(origins)):
        chosen = origins[[bool(subset >> bit & 1) for bit in range(len(origins))]]
        if sizes[chosen].sum() == count:
            yield np.isin(of, chosen)


def _one_or_two(events: pa.Table, now: Seen, then: Seen) -> Iterator[np.ndarray]:
    """Yield the one or two events whose ids make up the difference."""
    rows, _ = log.halves(events["event_id"])
    rest = np.uint64((int(now.digest[:16], 16) - int(then.digest[:16], 16)) % 2**64)
    if now.count - then.count == 1:
        yield from (_marked(events, np.array([place])) for place in np.flatnonzero(rows == rest))
    elif now.count - then.count == 2:
        places = {int(row): place for place, row in enumerate(rows)}
        with np.errstate(over="ignore"):
            wanted = [places.get(int(each)) for each in rest - rows]
        for place, other in enumerate(wanted):
            if other is not None and other > place:
                yield _marked(events, np.array([place, other]))


def _marked(events: pa.Table, places: np.ndarray) -> np.ndarray:
    marks = np.zeros(events.num_rows, bool)
    marks[places] = True
    return marks


def _without(events: pa.Table, since: np.ndarray, shard: str) -> History:
    return entity.joined(History(parts=()), shard, events.filter(pa.array(~since)))
