"""The entrance of arrivals: through their contracts into SQL, durable when the answer is given.

What arrives is known from the moment of its arrival. Its id is made without that moment, so that
an event sent again is the same event; sent again with other content it is a correction.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import canonical, schema
from features import log, online
from features.arrivals import pending
from features.arrivals.wire import Malformed, Sent
from features.contracts import register
from features.ingest import quarantine
from features.ingest.origin import Origin
from features.ingest.prepare import prepare
from features.sources.lot import PEOPLE, Mapped, Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.contracts import Contract
    from features.ingest.prepare import Prepared

FILE = "POST /v1/events"  # of the origin
MAPPING = "cloudevents-1.0"
NO_SOURCE = "unknown"  # of what has no readable envelope
HOMED = ("lead", "opportunity")  # in whose shard an event without an account is put
EMAIL = "e-mail"  # namespace of the pseudonyms of addresses

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
    """The events of one source after their contracts."""

    good: pa.Table  # log.SCHEMA columns
    places: np.ndarray  # (n good,) positions in what was sent
    refused: pa.Table  # quarantine.SCHEMA columns
    reasons: dict[int, str]  # of the refused, by position


class Entrance:
    """Takes arrivals in. Safe to share between threads and with other processes."""

    def __init__(
        self, workspace: Workspace, store: online.OnlineStore, terms: Mapping[str, Contract]
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._terms = terms
        self._lock = Lock()
        self._contracts: dict[str, str] | None = None
        self._origins: dict[str, str] = {}

    def accept(self, sent: Sequence[Sent | Malformed]) -> list[Outcome]:
        """Take events in, in their order; all that is accepted or refused is durable on return."""
        now = self._workspace.clock()
        by_source: dict[str, list[int]] = defaultdict(list)
        for place, event in enumerate(sent):
            by_source[event.source if isinstance(event, Sent) else NO_SOURCE].append(place)
        checked = [self._check(sent, *group, now=now) for group in by_source.items()]
        if not checked:
            return []
        good = pa.concat_tables([part.good for part in checked])
        places = np.concatenate([part.places for part in checked])
        refused = pa.concat_tables([part.refused for part in checked])
        is_new = self._keep(good, places, refused, now)
        reasons = {place: why for part in checked for place, why in part.reasons.items()}
        fresh = set(places[is_new].tolist())
        return [_outcome(event, place, fresh, reasons) for place, event in enumerate(sent)]

    def _check(
        self, sent: Sequence[Sent | Malformed], source: str, places: list[int], *, now: datetime
    ) -> _Checked:
        events = [(place, event) for place in places if isinstance(event := sent[place], Sent)]
        lines = [(place, event) for place in places if isinstance(event := sent[place], Malformed)]
        ingest = self._origin(source)
        persons = self._persons(source, [event for _, event in events])
        mapped = _mapped(events, lines, persons, _known_at(len(sent), now))
        prepared = prepare(self._terms, mapped, ingest, now, quarantine.salt(self._workspace.vault))
        good = self._homed(_timeless(prepared.good))
        self._keep_people(events, persons, prepared, now)
        origin = {"ingest": ingest, "source": source, "file": FILE}
        own = _own_ids(prepared.refused, len(lines))
        bad = prepared.checked.bad["row"].to_pylist()
        reasons = {events[row][0]: why for row, why in
                   zip(bad, prepared.checked.bad["reasons"].to_pylist(), strict=True)}  # fmt: skip
        is_good = np.ones(len(events), bool)
        is_good[bad] = False
        return _Checked(
            good=good,
            places=np.array([place for place, _ in events], np.int64)[is_good],
            refused=quarantine.sealed(self._workspace.vault, own, origin, now),
            reasons=reasons | {place: line.reason for place, line in lines},
        )

    def _keep(
        self, good: pa.Table, places: np.ndarray, refused: pa.Table, now: datetime
    ) -> np.ndarray:
        """Commit; returns which of the good ones are new: (n,) bool."""
        order = np.argsort(places, kind="stable")
        held = self._in_base(good)
        database = self._workspace.database
        with database.begin() as connection:
            there = pending.there(connection, good["event_id"])
            is_new = np.zeros(len(order), bool)
            seen: set[bytes] = set()
            ids = good["event_id"].to_pylist()
            for i in order.tolist():
                is_new[i] = not (held[i] or ids[i] in there or ids[i] in seen)
                seen.add(ids[i])
            fresh = good.filter(pa.array(is_new))
            pending.add(database, connection, fresh, schema.micros(now))
            pending.add_refused(database, connection, refused, schema.micros(now))
        return is_new

    def _homed(self, good: pa.Table) -> pa.Table:
        """Put what names no account where its lead or opportunity lives, else leave it."""
        homes: dict[tuple[str, str], str | None] = {}
        rows = good.select(["account", "shard", *HOMED]).to_pylist()
        for row in rows:
            named = next(((kind, row[kind]) for kind in HOMED if row[kind] is not None), None)
            if row["account"] is None and named is not None:
                if named not in homes:
                    homes[named] = self._store.shard_of(*named)
                row["shard"] = homes[named] or row["shard"]
        shards = pa.array([row["shard"] for row in rows], pa.string())
        place = good.schema.get_field_index("shard")
        return good.set_column(place, log.SCHEMA.field("shard"), shards)

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

    def _persons(self, source: str, events: list[Sent]) -> pa.Array:
        """Return the pseudonym of each event's person, null where it names none."""
        clear = [event.data.person for event in events]
        address = pa.array([p if p and "@" in p else None for p in clear], pa.string())
        other = pa.array([None if p and "@" in p else p for p in clear], pa.string())
        if not any(clear):
            return other
        pseudonyms = self._workspace.vault.pseudonyms
        return pc.coalesce(pseudonyms(EMAIL, address), pseudonyms(source, other))

    def _keep_people(
        self, events: list[tuple[int, Sent]], persons: pa.Array, prepared: Prepared, now: datetime
    ) -> None:
        """Keep the addresses of accepted events in the vault, and nowhere else."""
        named = set(prepared.good["person"].drop_null().to_pylist())
        rows = [
            {"subject": subject, "field": "email", "value": event.data.person}
            for (_, event), subject in zip(events, persons.to_pylist(), strict=True)
            if subject in named and "@" in (event.data.person or "")
        ]
        if rows:
            self._workspace.vault.keep(pa.Table.from_pylist(rows, schema=PEOPLE), now)

    def _origin(self, source: str) -> str:
        with self._lock:
            if self._contracts is None:
                self._contracts = register.put_in_force(
                    self._workspace, self._terms, "serving", FILE
                )
            if source not in self._origins:
                self._origins[source] = Origin(
                    source=source,
                    file=FILE,
                    content=canonical.sha256_hex(b""),
                    mapping=MAPPING,
                    contracts=self._contracts,
                ).put(self._workspace.blobs)
            return self._origins[source]


def _mapped(
    events: list[tuple[int, Sent]],
    lines: list[tuple[int, Malformed]],
    persons: pa.Array,
    known_at: np.ndarray,
) -> Mapped:
    rows = [
        {
            **event.data.model_dump(exclude={"person"}),
            "row_key": event.row_key,
            "source": event.source,
            "kind": event.kind,
            "name": event.name,
            "event_time": event.time,
        }
        for _, event in events
    ]
    table = pa.Table.from_pylist(rows, schema=log.CANDIDATE)
    known = pa.array(known_at[[place for place, _ in events]], pa.int64()).cast(log.MICROSECONDS)
    table = table.set_column(table.schema.get_field_index("person"), "person", persons)
    table = table.set_column(table.schema.get_field_index("known_at"), "known_at", known)
    raw = pa.array([event.raw.decode(errors="replace") for _, event in events], pa.string())
    return Mapped(
        events=table.cast(log.CANDIDATE),
        origin=np.arange(len(events)),
        raw=pa.table({"event": raw}),
        broken=[],
        unreadable=[
            Unreadable(source_row=0, reason=line.reason, raw=line.raw) for _, line in lines
        ],
        people=PEOPLE.empty_table(),
    )


def _known_at(count: int, now: datetime) -> np.ndarray:
    """Return when each event of a request became known, the last one now, so that order counts."""
    return schema.micros(now) - np.arange(count - 1, -1, -1, dtype=np.int64)


def _timeless(good: pa.Table) -> pa.Table:
    """Name events without the moment they arrived."""
    place = good.schema.get_field_index("known_at")
    ids = log.packed(*log.ids_of(good.set_column(place, "known_at", good["event_time"])))
    return good.set_column(0, log.SCHEMA.field("event_id"), ids)


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
