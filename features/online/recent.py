"""The histories that were asked for last, with what was made of their columns: whoever asks about a
busy account again finds them opened.

What is kept was made of one base and is forgotten with it. The tail that it was made of is compared
with what the database says at each look, so it is never out of date.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from features.online.history import History

MOST_HOMES = 100_000
MOST_EVENTS = 1_000_000  # about 100 bytes each, for a view of fifty features
OPENED = 64  # what a history weighs besides its events, in events: its arrays are 4 to 8 KB


@dataclass(frozen=True, kw_only=True)
class _Kept:
    packed: list[bytes]  # of the tail
    history: History

    @property
    def weight(self) -> int:
        """What it takes of memory, in events."""
        return self.history.count + OPENED


class Recent:
    """Histories of one base that weigh at most so many events, those asked for last. Safe to share
    between threads.
    """

    def __init__(self, most: int = MOST_EVENTS) -> None:
        self._most = most
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._weight = 0
        self._lock = Lock()

    def get(self, shard: str, packed: list[bytes]) -> History | None:
        """Return the history of a shard made of this tail; None if it is not kept."""
        with self._lock:
            kept = self._kept.get(shard)
            if kept is None or kept.packed != packed:
                return None
            self._kept.move_to_end(shard)
            return kept.history

    def put(self, shard: str, packed: list[bytes], history: History) -> None:
        """Keep a history, and forget those that were not asked for the longest."""
        with self._lock:
            self._forget(shard)
            self._kept[shard] = kept = _Kept(packed=packed, history=history)
            self._weight += kept.weight
            while self._weight > self._most:
                self._forget(next(iter(self._kept)))

    def _forget(self, shard: str) -> None:
        kept = self._kept.pop(shard, None)
        self._weight -= kept.weight if kept else 0


@dataclass(frozen=True, kw_only=True)
class Home:
    """The one shard in which an entity occurs, and what that was read from."""

    shard: str
    late: list[str]  # shards of the tail


class Homes:
    """Where entities of one base live that were asked about last. Safe to share between threads."""

    def __init__(self, most: int = MOST_HOMES) -> None:
        self._most = most
        self._homes: OrderedDict[str, Home] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> Home | None:
        """Return where an entity, "kind:key", lived when it was last asked about."""
        return self._homes.get(name)

    def put(self, name: str, late: list[str], shard: str) -> None:
        """Note where one lives, and forget who was noted first."""
        with self._lock:
            self._homes[name] = Home(shard=shard, late=late)
            while len(self._homes) > self._most:
                self._homes.popitem(last=False)
