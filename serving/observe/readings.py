"""Readings: what one replica has counted and how it is now, beside that of all others."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from cluster.beat import Beat
from serving.observe import meters
from serving.observe.exposition import exposition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from serving.observe.folder import Folder
    from serving.observe.tallies import Fact, Tallies

    type Source = Callable[[], Iterable[Fact]]

EVERY_S = 10.0  # between two snapshots that nobody asked for
REPLICA = "replica-"


class Readings:
    """Takes snapshots. Safe to share between threads."""

    def __init__(self, tallies: Tallies, folder: Folder, replica: str) -> None:
        self._tallies = tallies
        self._folder = folder
        self._name = REPLICA + replica
        self._sources: dict[str, Source] = {"process": process}
        self._lock = Lock()
        self._beat = Beat(self.keep, every_s=EVERY_S, name="readings")

    def add(self, name: str, source: Source) -> None:
        """Let a source of facts speak in each snapshot, in place of the one that had its name."""
        self._sources[name] = source

    def start(self) -> None:
        """Begin to keep snapshots."""
        self._beat.start()

    def keep(self) -> None:
        """Keep a snapshot for others to find; a source that fails is left out of it."""
        with self._lock:
            facts = [fact for source in list(self._sources.values()) for fact in _said(source)]
            facts.append((meters.READ, (), time.time()))
            try:
                self._folder.write(self._name, self._tallies.snapshot(facts))
            except OSError:
                return  # a full disk: what was counted is in the next one

    def text(self) -> str:
        """Return the samples of all replicas and jobs in the text format of Prometheus."""
        self.keep()
        found = self._folder.read()
        return exposition({n.removeprefix(REPLICA): each for n, each in found.items()})

    def close(self) -> None:
        """Keep a last snapshot."""
        self._beat.close()
        self.keep()


def process() -> Iterable[Fact]:
    """Return what the system says of this process; nothing where it says it otherwise."""
    spent = os.times()
    yield meters.CPU, (), spent.user + spent.system
    stat = Path("/proc/self/stat")
    if stat.exists():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        yield meters.MEMORY, (), pages * os.sysconf("SC_PAGE_SIZE")
        yield meters.FILES, (), sum(1 for _ in Path("/proc/self/fd").iterdir())
        ticks = int(stat.read_text().rpartition(")")[2].split()[19])
        since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        started = time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK")
        yield meters.STARTED, (), round(started, 1)


def _said(source: Source) -> list[Fact]:
    try:
        return list(source())
    except Exception:  # the database may be away; the rest is worth telling all the more then
        return []
