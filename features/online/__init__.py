"""The online store: every event of one shard in microseconds, kept up with the event log."""

from __future__ import annotations

from features.online.follower import SAME_ROWS, follow, heal, same_rows
from features.online.store import OnlineStore

__all__ = ["SAME_ROWS", "OnlineStore", "follow", "heal", "same_rows"]
