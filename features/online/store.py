"""Reading the online store: the base, and what came after it.

Where the base is and what the tail holds come of one look at the database: events leave the tail
only after a base that holds them is in place, so a reader with that base open has missed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import schema
from cluster.blobs import BlobMissing
from features import log
from features.online import ids, keys, tail
from features.online.base import REF, Base
from features.online.history import History
from features.online.look import Looks
from features.online.payload import Unpacked
from features.online.recent import Homes, Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.online.look import Both, Look
    from features.online.recent import Home
    from features.online.stored import Stored

type Placed = tuple[str, History]  # a shard, and its events


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A base, with what was made of it: that is forgotten with the base, and whoever still reads an
    old one adds to what goes with it.
    """

    epoch: int  # of the ref; 0 where there is none yet
    base: Base | None
    recent: Recent = field(default_factory=Recent)
    homes: Homes = field(default_factory=Homes)


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What one look said of several entities."""

    opened: _Opened
    homes: dict[str, Home]  # where those lived that were asked about before, by name
    look: Both | None  # None: nobody was, or there is another base by now
    search: Callable[[str, str], Placed | None]  # for the others

    def of(self, kind: str, key: str) -> Placed | None:
        """Return the shard an entity lives in, with all its events; None for one never seen."""
        name = keys.named(kind, key)
        home, look = self.homes.get(name), self.look
        if look is None or home is None or home.late != look.shards.get(name, []):
            return self.search(kind, key)
        return home.shard, _made(home.shard, self.opened, look.events.get(home.shard, []))


class OnlineStore:
    """The newest events by shard, and which shard an entity lives in. Safe to share between
    threads.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._looks = Looks(workspace.database)
        self._lock = Lock()
        self._open = _Opened(epoch=0, base=None)

    def history(self, shard: str) -> History:
        """Return all events of a shard, in the parts in which they are kept."""
        return _made(shard, *self._read(lambda: self._looks.events(shard)))

    def of_entity(self, kind: str, key: str) -> Placed | None:
        """Return the shard an entity lives in, with all its events; None for one never seen."""
        return self.glance([(kind, key)]).of(kind, key)

    def glance(self, asked: Sequence[tuple[str, str]]) -> Glance:
        """Look once for several entities, (kind, key) each; what is made of it is made one by one.

        It tells of those that were asked about before and live where they did; of the others each
        takes a look of its own.
        """
        opened, names = self._open, [keys.named(*each) for each in asked]
        homes = {name: home for name in names if (home := opened.homes.get(name)) is not None}
        look = self._looks.both(homes, [h.shard for h in homes.values()]) if homes else None
        if look is not None and look.epoch != opened.epoch:
            look = None
        return Glance(opened=opened, homes=homes, look=look, search=self._searched)

    def _searched(self, kind: str, key: str) -> Placed | None:
        shard = self.shard_of(kind, key)
        return None if shard is None else (shard, self.history(shard))

    def events(self, shard: str) -> pa.Table:
        """Return all events of a shard: SCHEMA columns."""
        return self.history(shard).table()

    def shard_of(self, kind: str, key: str) -> str | None:
        """Return the shard an entity lives in; None for one never seen.

        Where its events lie in several shards, because a row was corrected or first came without an
        account, it is that of the earliest event that still stands.
        """
        name = keys.named(kind, key)
        opened, late = self._read(lambda: self._looks.shards(name))
        found = sorted({*(opened.base.shards(name) if opened.base else ()), *late})
        if len(found) > 1:
            return _home(kind, key, pa.concat_tables([self.events(shard) for shard in found]))
        if found:
            opened.homes.put(name, late, found[0])
        return found[0] if found else None

    def newest(self) -> datetime | None:
        """Return when the newest event was known; None while there is none."""
        base, late = self.base(), tail.newest(self._workspace.database)
        known = [at for at in (base.newest if base else None, late) if at is not None]
        return schema.moment(max(known)) if known else None

    def base(self) -> Base | None:
        """Return the base as it is now."""
        opened, _ = self._read(self._looks.base)
        return opened.base

    def _read[T](self, ask: Callable[[], Look[T]]) -> tuple[_Opened, list[T]]:
        while True:
            look, opened = ask(), self._open
            if look.epoch == opened.epoch:
                return opened, look.found
            self._follow(look)

    def _follow(self, look: Look[Any]) -> None:
        """Open the base that the ref points to now; one that was replaced meanwhile is skipped."""
        with self._lock:
            if self._open.epoch >= look.epoch > 0:
                return
            try:
                base = Base.read(self._workspace.blobs, look.target) if look.target else None
            except BlobMissing:
                now = self._workspace.refs.get(REF)
                if now is None or now.epoch == look.epoch:
                    raise
                return
            self._open = _Opened(epoch=look.epoch, base=base)


def _made(shard: str, opened: _Opened, packed: list[bytes]) -> History:
    kept = opened.recent.get(shard, packed)
    if kept is not None:
        return kept
    stored = opened.base.part(shard) if opened.base else None
    late = _late(stored, packed) if packed else None
    made = History(parts=tuple(part for part in (stored, late) if part and part.count))
    opened.recent.put(shard, packed, made)
    return made


def _late(stored: Stored | None, packed: list[bytes]) -> Unpacked:
    """Unpack events of the tail, without those that the base holds."""
    late = Unpacked(packed)
    if stored is None:
        return late
    is_held = ids.among(stored.pairs(), late.pairs())
    if not is_held.any():
        return late
    return Unpacked([data for data, held in zip(packed, is_held, strict=True) if not held])


def _home(kind: str, key: str, events: pa.Table) -> str | None:
    names = pc.fill_null(pc.equal(events[kind], key), False).to_numpy()
    stands = log.retracted_at(events) == log.NEVER
    if not names.any():
        return None  # its events were removed, and its name not yet
    mine = events.filter(pa.array(names & stands if (names & stands).any() else names))
    times = log.microseconds(mine["event_time"]), log.microseconds(mine["known_at"])
    row, content = log.halves(mine["event_id"])
    first = int(np.lexsort((content, row, times[1], times[0]))[0])
    shard: str = mine["shard"][first].as_py()
    return shard
