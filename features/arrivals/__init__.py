"""Arrivals: events that come by request, durable and visible before they are in the log."""

from __future__ import annotations

from features.arrivals.entrance import Entrance, EntranceBroken
from features.arrivals.intake import Outcome
from features.arrivals.wire import MOST_BYTES, Malformed, Sent, TooMany, read

__all__ = [
    "MOST_BYTES",
    "Entrance",
    "EntranceBroken",
    "Malformed",
    "Outcome",
    "Sent",
    "TooMany",
    "read",
]
