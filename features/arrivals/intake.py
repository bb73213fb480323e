"""The intake of arrivals: through their contracts into SQL, any number in one transaction.

What arrives is known from the moment it is taken in. Its id is made without that moment, so that
an event sent again is the same event; sent again with other content it is a correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import schema
from features import contracts, log
from features.arrivals import pending
from features.arrivals.lookup import FILE
from features.arrivals.wire import Data, Malformed, Sent
from features.ingest import quarantine
from features.ingest.prepare import prepare
from features.sources.lot import PEOPLE, Mapped, Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from cluster.workspace import Workspace
    from features.arrivals.lookup import Arrival
    from features.contracts import Contract
    from features.online import OnlineStore

type Status = Literal["accepted", "duplicate", "refused"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one event that was sent."""

    id: str | None
    source: str | None
    status: Status
    reasons: str = ""


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """Arrivals after their contracts."""

    good: pa.Table  # log.SCHEMA columns, in the order of their arrival
    places: np.ndarray  # (n good,) positions among the arrivals
    refused: pa.Table  # quarantine.SCHEMA columns
    reasons: dict[int, str]  # of the refused, by position


class Intake:
    """Takes arrivals in, for one thread; other processes may do the same."""

    def __init__(
        self, workspace: Workspace, store: OnlineStore, terms: Mapping[str, Contract]
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._terms = terms
        self._rules = contracts.Rules.of(terms)

    def take(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Take arrivals in, in their order; what is accepted or refused is durable on return."""
        now = self._workspace.clock()
        checked = self._check(arrivals, now)
        is_new = self._keep(checked, now)
        fresh = set(checked.places[is_new].tolist())
        return [
            _outcome(arrival.event, place, fresh, checked.reasons)
            for place, arrival in enumerate(arrivals)
        ]

    def _check(self, arrivals: Sequence[Arrival], now: datetime) -> _Checked:
        events = {p: a.event for p, a in enumerate(arrivals) if isinstance(a.event, Sent)}
        lines = {p: a.event for p, a in enumerate(arrivals) if isinstance(a.event, Malformed)}
        places = np.fromiter(events, np.int64, len(events))
        known_at = _known_at(len(arrivals), now)[places]
        persons = [arrivals[place].person for place in events]
        candidates = _candidates(list(events.values()), persons, known_at)
        checked = contracts.check(self._rules, candidates, now=now)
        bad = checked.bad["row"].to_numpy().astype(np.int64)
        good = np.delete(places, bad)
        mine = [arrivals[place] for place in good.tolist()]
        self._keep_people(mine, now)
        said = zip(places[bad].tolist(), checked.bad["reasons"].to_pylist(), strict=True)
        broken = {place: events[place] for place in places[bad].tolist()}
        return _Checked(
            good=_identified(checked.good, mine),
            places=good,
            refused=self._refused(arrivals, checked.bad, (broken, lines), now),
            reasons={**dict(said), **{place: line.reason for place, line in lines.items()}},
        )

    def _refused(
        self,
        arrivals: Sequence[Arrival],
        bad: pa.Table,
        sent: tuple[dict[int, Sent], dict[int, Malformed]],
        now: datetime,
    ) -> pa.Table:
        """Return as rows of quarantine the events that broke a rule and what was no event."""
        events, lines = sent
        if not events and not lines:
            return quarantine.SCHEMA.empty_table()
        vault = self._workspace.vault
        mapped = _mapped(bad.select(log.CANDIDATE.names), [*events.values()], [*lines.values()])
        refused = prepare(self._terms, mapped, "", now, quarantine.salt(vault)).refused
        own = _own_ids(refused, len(lines))
        rows = quarantine.sealed(vault, own, {"ingest": "", "source": "", "file": FILE}, now)
        mine = [arrivals[place] for place in (*events, *lines)]
        rows = _with(rows, quarantine.SCHEMA.field("ingest"), [each.ingest for each in mine])
        return _with(rows, quarantine.SCHEMA.field("source"), [each.source for each in mine])

    def _keep(self, checked: _Checked, now: datetime) -> np.ndarray:
        """Commit; returns which of the good ones are new: (n,) bool."""
        database, at = self._workspace.database, schema.micros(now)
        with database.begin() as connection:
            pending.take_turn(connection)
            is_new = self._is_new(connection, checked.good)
            pending.add(database, connection, checked.good.filter(pa.array(is_new)), at)
            pending.add_refused(database, connection, checked.refused, at)
        return is_new

    def _is_new(self, connection: sa.Connection, good: pa.Table) -> np.ndarray:
        """Return which events are nowhere yet, each but once: (n,) bool.

        The tail is asked first: an event leaves it only for a base that is in place by then.
        """
        seen = pending.there(connection, good["event_id"])
        held = self._in_base(good)
        is_new = np.zeros(good.num_rows, bool)
        for place, id in enumerate(good["event_id"].to_pylist()):
            is_new[place] = not (held[place] or id in seen)
            seen.add(id)
        return is_new

    def _in_base(self, good: pa.Table) -> list[bool]:
        base = self._store.base()
        if base is None or not good.num_rows:
            return [False] * good.num_rows
        # its lead may have become known since it came first
        first = pc.coalesce(*(good[key] for key in log.SHARD_KEYS), good["row_key"])
        shards = {*good["shard"].to_pylist(), *first.to_pylist()}
        held = pa.concat_arrays([base.ids(shard) for shard in sorted(shards)])
        found: list[bool] = pc.is_in(good["event_id"], value_set=held).to_pylist()
        return found

    def _keep_people(self, good: list[Arrival], now: datetime) -> None:
        """Keep the addresses of accepted events in the vault, and nowhere else."""
        rows = [
            {"subject": arrival.person, "field": "email", "value": arrival.event.data.person}
            for arrival in good
            if isinstance(arrival.event, Sent) and "@" in (arrival.event.data.person or "")
        ]
        if rows:
            self._workspace.vault.keep(pa.Table.from_pylist(rows, schema=PEOPLE), now)


def _candidates(
    events: list[Sent], persons: Sequence[str | None], known_at: np.ndarray
) -> pa.Table:
    """Return events as CANDIDATE columns."""
    columns = {name: [getattr(event.data, name) for event in events] for name in Data.model_fields}
    columns |= {name: [getattr(event, name) for event in events] for name in _ENVELOPE}
    columns |= {"event_time": [event.time for event in events], "person": list(persons)}
    columns["source_row"] = [None] * len(events)
    columns["known_at"] = pa.array(known_at, pa.int64()).cast(log.MICROSECONDS)
    arrays = [pa.array(columns[field.name], field.type) for field in log.CANDIDATE]
    return pa.Table.from_arrays(arrays, schema=log.CANDIDATE)


_ENVELOPE = ("row_key", "source", "kind", "name")


def _identified(good: pa.Table, arrivals: list[Arrival]) -> pa.Table:
    """Name good events without the moment they arrived, and put each into its shard."""
    known_at, place = good["known_at"], good.schema.get_field_index("known_at")
    named = log.identified(good.set_column(place, "known_at", good["event_time"]))
    named = _with(named, log.SCHEMA.field("known_at"), known_at)
    named = _with(named, log.SCHEMA.field("ingest"), [arrival.ingest for arrival in arrivals])
    own = named["shard"].to_pylist()
    shards = [arrival.home or shard for arrival, shard in zip(arrivals, own, strict=True)]
    return _with(named, log.SCHEMA.field("shard"), shards)


def _with(table: pa.Table, field: pa.Field, values: list[str] | pa.ChunkedArray) -> pa.Table:
    column = pa.array(values, field.type) if isinstance(values, list) else values
    return table.set_column(table.schema.get_field_index(field.name), field, column)


def _mapped(bad: pa.Table, events: list[Sent], lines: list[Malformed]) -> Mapped:
    raw = pa.array([event.raw.decode(errors="replace") for event in events], pa.string())
    return Mapped(
        events=bad,
        origin=np.arange(len(events)),
        raw=pa.table({"event": raw}),
        broken=[],
        unreadable=[Unreadable(source_row=0, reason=line.reason, raw=line.raw) for line in lines],
        people=PEOPLE.empty_table(),
    )


def _known_at(count: int, now: datetime) -> np.ndarray:
    """Return when each of some arrivals became known, the last one now, so that order counts."""
    return schema.micros(now) - np.arange(count - 1, -1, -1, dtype=np.int64)


def _own_ids(refused: pa.Table, malformed: int) -> pa.Table:
    """Name what is no event, the last rows, by its bytes: it has no row."""
    whole = refused.num_rows - malformed
    last = refused.slice(whole)
    ids = pending.ids_of_bytes(last["raw"], last["reasons"])
    last = last.set_column(0, refused.schema.field(0), ids)
    last = last.set_column(1, refused.schema.field(1), pa.nulls(malformed, pa.int64()))
    return pa.concat_tables([refused.slice(0, whole), last])


def _outcome(
    event: Sent | Malformed, place: int, fresh: set[int], reasons: dict[int, str]
) -> Outcome:
    if place in reasons:
        return Outcome(id=event.id, source=event.source, status="refused", reasons=reasons[place])
    return Outcome(
        id=event.id, source=event.source, status="accepted" if place in fresh else "duplicate"
    )
