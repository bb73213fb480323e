"""Territories: region and team of leads, opportunities and accounts, from their events. Pure.

The newest `attribute` event of the name region, or team, says it; of a lead or an opportunity that
has none, that of its account does. Of an account those about nothing else come before those that
name one of its leads, deals or persons too. An event without a text takes back what was said.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND, NAMES = "attribute", ("region", "team")  # of the events that say it
ENTITIES = ("lead", "opportunity", "account")
COLUMNS = ("event_id", "kind", "name", "event_time", "known_at", "shard", *log.KEYS, "text")
_OTHERS = tuple(key for key in log.KEYS if key != "account")

type Place = tuple[str, str, str]  # shard, kind and key of an entity
type Said = dict[Place, dict[str, str | None]]


class Territory(NamedTuple):
    """Region and team of one entity; None where nothing is known."""

    region: str | None
    team: str | None


def territories(events: pa.Table) -> dict[Place, Territory]:
    """Return the territory of every entity that events of whole shards speak of: COLUMNS."""
    standing = events.filter(pa.array(log.retracted_at(events) == log.NEVER))
    standing = standing.filter(pc.not_equal(standing["kind"], log.RETRACTION))
    said = _said(standing)
    return {
        (shard, kind, key): _territory(said, (shard, kind, key), account)
        for kind in ENTITIES
        for key, shard, account in _entities(standing, kind)
    }


def _territory(said: Said, place: Place, account: str | None) -> Territory:
    own = said.get(place, {})
    of_account = said.get((place[0], "account", account), {}) if account else {}
    return Territory(*(own.get(name, of_account.get(name)) for name in NAMES))


def _entities(events: pa.Table, kind: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield key and shard of each entity of a kind, and its account where an event names both."""
    mine = events.filter(pc.is_valid(events[kind])).select(list({kind, "account", "shard"}))
    found = mine.group_by([kind, "shard"]).aggregate([("account", "max")])
    columns = (found[name].to_pylist() for name in (kind, "shard", "account_max"))
    yield from zip(*columns, strict=True)


def _said(events: pa.Table) -> Said:
    """Return what the newest events say, by entity and name."""
    rows = events.filter(log.named(events, KIND, NAMES))
    times = (log.microseconds(rows[name]) for name in ("known_at", "event_time"))
    order = np.lexsort((*reversed(log.halves(rows["event_id"])), *times))
    beside: Said = defaultdict(dict)
    found: Said = defaultdict(dict)
    for row in rows.take(pa.array(order)).to_pylist():
        for kind in ENTITIES:
            if row[kind] is not None:
                kept = beside if kind == "account" and _names_more(row) else found
                kept[row["shard"], kind, row[kind]][row["name"]] = row["text"]
    for place, told in beside.items():
        found[place] = {**told, **found.get(place, {})}
    return found


def _names_more(row: dict[str, Any]) -> bool:
    return any(row[key] is not None for key in _OTHERS)
