"""The gate: how many requests one replica holds at once. Beyond that they are refused at once,
which costs least, and those that are in are answered in time.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_INSIDE = 64  # at 600 answers a second the last of them waits for about 0.1 s
RETRY_AFTER_S = 1


@dataclass(kw_only=True)
class Gate:
    """Counts requests. For one event loop."""

    most: int = MOST_INSIDE
    inside: int = 0
    shed: int = 0  # refused so far

    def enter(self, count: int = 1) -> bool:
        """Let requests in, or none of them. One that is alone is let in whatever it asks for."""
        if self.inside and self.inside + count > self.most:
            self.shed += count
            return False
        self.inside += count
        return True

    def leave(self, count: int = 1) -> None:
        """Requests are answered."""
        self.inside -= count
