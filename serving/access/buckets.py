"""How often each may ask: a bucket of tokens per credential, filled at a steady rate. Pure.

Kept as the generic cell rate algorithm does (ITU-T I.371), which is the same bucket in one number:
the time at which it would be full again. The ones not asked for longest are forgotten first, so
that many callers cost no more memory than some; who is forgotten has a full bucket again.
"""

from __future__ import annotations


class Buckets:
    """For one thread, or one event loop."""

    def __init__(self, *, rate_per_s: float, burst: int, most: int) -> None:
        self._each_s = 1.0 / rate_per_s  # in which one token comes
        self._depth_s = burst / rate_per_s  # in which an empty bucket is full
        self._most = most
        self._full_at: dict[str, float] = {}  # the last one used is the last

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._full_at)

    def take(self, who: str, now: float) -> float:
        """Take a token at `now` (s, of a clock that never goes back); return 0.0, or the seconds
        until there is one: then none was taken.
        """
        full_at = max(self._full_at.pop(who, now), now) + self._each_s
        wait_s = full_at - now - self._depth_s
        refused = wait_s > 1e-9
        self._full_at[who] = full_at - self._each_s if refused else full_at
        if len(self._full_at) > self._most:
            del self._full_at[next(iter(self._full_at))]
        return wait_s if refused else 0.0
