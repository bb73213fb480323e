"""Which events of a shard were known at T, in so few bytes that every decision can say it.

The digest is the sum of all event ids, half by half modulo 2^64: it depends on no order, and what
was added since can be told from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from features.online.history import History


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The events of a shard with `known_at` <= T."""

    shard: str
    count: int
    digest: str  # 32 hexadecimal digits: the sums of the halves of the ids

    @classmethod
    def of(cls, shard: str, history: History, at: int) -> Seen:
        """Say which events of a history were known at T, microseconds since 1970."""
        latest, whole = history.once(cls, lambda: _whole(shard, history))
        return whole if at >= latest and whole.shard == shard else _summed(shard, history, at)


def _whole(shard: str, history: History) -> tuple[int, Seen]:
    """Return since when all events of a history are known, and all of them."""
    latest = [int(part.numbers("known_at").max()) for part in history.parts if part.count]
    since = max(latest, default=0)
    return since, _summed(shard, history, since)


def _summed(shard: str, history: History, at: int) -> Seen:
    total = np.zeros(3, np.uint64)
    for part in history.parts:
        _add(part.numbers("known_at"), *part.halves(), at, total)
    count, row, content = total.tolist()
    return Seen(shard=shard, count=count, digest=f"{row:016x}{content:016x}")


@njit(cache=True)
def _add(
    known: np.ndarray, rows: np.ndarray, contents: np.ndarray, at: int, total: np.ndarray
) -> None:
    for i in range(known.size):
        if known[i] <= at:
            total[0] += np.uint64(1)
            total[1] += rows[i]
            total[2] += contents[i]
