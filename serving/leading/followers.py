"""Who follows a release: the replicas alive, whether they have come to its newest move, and why one
refuses it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.slots import replicas
from serving.slots.releases import ref_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.database import Database

WAIT_S = 5.0  # replicas look twice a second
EVERY_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Follower:
    """One replica that follows the release of a target."""

    replica: str
    epoch: int  # of the move that it has come to
    refused: str  # why it does not take what that says; empty if it does


@dataclass(frozen=True, kw_only=True)
class Followers:
    """All replicas alive, and how they are to one move."""

    epoch: int
    every: tuple[Follower, ...]

    @property
    def behind(self) -> tuple[Follower, ...]:
        """Those that have not come to the move."""
        return tuple(each for each in self.every if each.epoch < self.epoch)

    @property
    def refusing(self) -> tuple[Follower, ...]:
        """Those that have come to it, and do not take it."""
        return tuple(each for each in self.every if each.epoch >= self.epoch and each.refused)

    @property
    def following(self) -> int:
        """How many answer by it."""
        return len(self.every) - len(self.behind) - len(self.refusing)


def followers(database: Database, target: str, epoch: int, now: datetime) -> Followers:
    """Return how the replicas alive are to a move of the release of a target."""
    ref = ref_of(target)
    found = [each for each in replicas.alive(database, now) if ref in each.epochs]
    every = tuple(
        Follower(replica=r.replica, epoch=r.epochs[ref], refused=r.refused.get(ref, ""))
        for r in found
    )
    return Followers(epoch=epoch, every=every)


def awaited(
    look: Callable[[], Followers],
    *,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], object] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[Followers, float]:
    """Return the replicas when all have come to a move, or the time is over; and the seconds."""
    began = monotonic()
    while (found := look()).behind and monotonic() - began < wait_s:
        sleep(EVERY_S)
    return found, monotonic() - began


def told(found: Followers, took_s: float | None) -> list[str]:
    """Return in sentences who follows a move, and who does not; None: nobody waited."""
    if not found.every:
        return ["no replica is alive: what starts follows"]
    took = "" if took_s is None else f" in {took_s:.1f} s"
    count = f"followed by {found.following} of {len(found.every)} replicas{took}"
    behind = [f"{each.replica[:12]} does not follow yet" for each in found.behind]
    return [count, *behind, *(f"{r.replica[:12]} refuses: {r.refused}" for r in found.refusing)]
