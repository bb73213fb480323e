"""The health of features: what the columns of a snapshot hold, how far they moved, how old it is.

`measured` is pure; `keep` measures a snapshot and puts it on record.
"""

from __future__ import annotations

from features.health.measure import CONSTANT, DRIFTED, EMPTY, HEALTH, measured
from features.health.record import TABLE, keep, of_snapshot

__all__ = [
    "CONSTANT",
    "DRIFTED",
    "EMPTY",
    "HEALTH",
    "TABLE",
    "keep",
    "measured",
    "of_snapshot",
]
