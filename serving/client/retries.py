"""When to ask again, and how long to wait before: pure but for the budget's count.

Waits are "full jitter": uniform between nothing and a bound that doubles, so that those who failed
together do not return together. The budget is a token bucket: every call earns a part of a retry,
so a service that fails everything is asked 1.1 times as often, not 7 times.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

# Under Ray Serve, HAProxy answers 500 where a server behind it gave 502, 503 or 504, or died:
# so 500 may pass as well. All that the client sends may be sent twice.
PASSING = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often and how patiently to ask again."""

    most: int = 6  # of one call; 0: never
    first_s: float = 0.1  # the most to wait before the first; doubles with each
    longest_s: float = 2.0  # the most to wait before any
    ratio: float = 0.1  # retries per call, over time
    reserve: float = 10.0  # retries beyond that, to begin with and saved up in good times
    attempt_share: float = 0.5  # of the time of a call that one attempt may take, but the last

    def __post_init__(self) -> None:
        bounds = (self.most, self.first_s, self.longest_s, self.ratio, self.reserve)
        if min(bounds) < 0 or not 0 < self.attempt_share <= 1:
            raise ValueError(
                f"retries must have bounds of 0 or more and a share in (0, 1], got {self}"
            )

    def bound_s(self, retry: int) -> float:
        """Return the most to wait before a retry, 1 for the first."""
        return min(self.longest_s, self.first_s * 2.0 ** min(retry - 1, 60))


class Budget:
    """Retries that may still be made; shared by the calls of a client, safe between threads."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._tokens = retries.reserve
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count a call."""
        with self._lock:
            self._tokens = min(self._retries.reserve, self._tokens + self._retries.ratio)

    def spend(self) -> bool:
        """Take a retry, if there is one."""
        with self._lock:
            has_one = self._tokens >= 1 - 1e-9  # ten tenths are one
            self._tokens -= 1 if has_one else 0
            return has_one


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The retries of one client."""

    retries: Retries
    budget: Budget
    rng: Random

    def wait_s(self, retry: int, *, left_s: float, asked_s: float | None = None) -> float | None:
        """Return how long to wait before a retry (1 for the first), or None for no retry: it was
        the last, it would come too late, or the budget is spent.

        `left_s` of the call's time are left; the service asked for `asked_s`, to which the jitter
        is added.
        """
        if retry > self.retries.most:
            return None
        wait = (asked_s or 0.0) + self.rng.uniform(0.0, self.retries.bound_s(retry))
        if wait >= left_s:
            return None
        return wait if self.budget.spend() else None

    def attempt_s(self, retry: int, *, total_s: float, left_s: float) -> float:
        """Return how long an attempt may take (0 for the first): one that hangs leaves time."""
        if retry >= self.retries.most:
            return left_s
        return min(left_s, total_s * self.retries.attempt_share)
