"""What is looked up for each arrival before it is taken in, by the thread that brought it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from cluster import canonical
from features.arrivals.wire import Malformed, Sent
from features.contracts import register
from features.ingest.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.workspace import Workspace
    from features.contracts import Contract
    from features.online import OnlineStore

FILE = "POST /v1/events"  # of the origin
MAPPING = "cloudevents-1.0"
NO_SOURCE = "unknown"  # of what has no readable envelope
HOMED = ("lead", "opportunity")  # in whose shard an event without an account is put
MOST_SOURCES = 4_096  # whose origins are remembered, those that sent last: a source is free text
EMAIL = "e-mail"  # namespace of the pseudonyms of addresses


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """Something that was sent, and what is known of it."""

    event: Sent | Malformed
    ingest: str  # its origin
    person: str | None  # pseudonym of the person it names
    home: str | None  # shard of its lead or opportunity, where it names no account

    @property
    def source(self) -> str:
        """Where it came from."""
        return source_of(self.event)


class Lookup:
    """Looks up what arrivals need. Safe to share between threads."""

    def __init__(
        self, workspace: Workspace, store: OnlineStore, terms: Mapping[str, Contract]
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._terms = terms
        self._lock = Lock()
        self._contracts: dict[str, str] | None = None
        self._origin = lru_cache(maxsize=MOST_SOURCES)(self._put_origin)

    def arrivals(self, sent: Sequence[Sent | Malformed]) -> list[Arrival]:
        """Return what was sent with what is known of it, in its order."""
        persons, homes = self._persons(sent), self._homes(sent)
        return [
            Arrival(
                event=event,
                ingest=self._origin(source_of(event)),
                person=persons.get(place),
                home=homes.get(place),
            )
            for place, event in enumerate(sent)
        ]

    def _persons(self, sent: Sequence[Sent | Malformed]) -> dict[int, str | None]:
        """Return the pseudonym of each person that is named, by position."""
        named: dict[str, dict[int, str]] = defaultdict(dict)
        for place, event in enumerate(sent):
            if isinstance(event, Sent) and event.data.person:
                space = EMAIL if "@" in event.data.person else event.source
                named[space][place] = event.data.person
        found: dict[int, str | None] = {}
        for space, clear in named.items():
            values = pa.array(clear.values(), pa.string())
            made = self._workspace.vault.pseudonyms(space, values).to_pylist()
            found |= zip(clear, made, strict=True)
        return found

    def _homes(self, sent: Sequence[Sent | Malformed]) -> dict[int, str | None]:
        """Return where the lead or opportunity of an event without an account lives."""
        known: dict[tuple[str, str], str | None] = {}
        found: dict[int, str | None] = {}
        for place, event in enumerate(sent):
            named = _homed(event)
            if named is not None:
                if named not in known:
                    known[named] = self._store.shard_of(*named)
                found[place] = known[named]
        return found

    def _put_origin(self, source: str) -> str:
        """Keep the origin of a source and return its name: quarantine needs it too."""
        return Origin(
            source=source,
            file=FILE,
            content=canonical.sha256_hex(b""),
            mapping=MAPPING,
            contracts=self._in_force(),
        ).put(self._workspace.blobs)

    def _in_force(self) -> dict[str, str]:
        with self._lock:
            if self._contracts is None:
                self._contracts = register.put_in_force(
                    self._workspace, self._terms, "serving", FILE
                )
            return self._contracts


def source_of(event: Sent | Malformed) -> str:
    """Return the source by which it is kept: what is no event may say anything."""
    return event.source if isinstance(event, Sent) else NO_SOURCE


def _homed(event: Sent | Malformed) -> tuple[str, str] | None:
    """Return kind and key of the entity in whose shard an event is put, if it needs one."""
    if not isinstance(event, Sent) or event.data.account is not None:
        return None
    keys = ((kind, getattr(event.data, kind)) for kind in HOMED)
    return next((named for named in keys if named[1] is not None), None)
