"""Removal: rows that are taken out for good, from every place and every file that holds them."""

from __future__ import annotations

from features.removal.holds import Hold, Holds
from features.removal.remove import Removed, end, from_log, from_quarantine, scrub

__all__ = ["Hold", "Holds", "Removed", "end", "from_log", "from_quarantine", "scrub"]
