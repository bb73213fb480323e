"""Compute a view: events and a spine in, the spine with its feature columns out. Pure.

The same function runs in a batch job, in the service and in a replay. It does not depend on the
order of its input or on how entities are spread over calls: every measure is exact, and ties are
broken by a total order.
"""

from __future__ import annotations

from features.compute.face import compute
from features.compute.inputs import COLUMNS
from features.compute.lowering import columns_of
from features.compute.partial import is_mergeable, measured, require_mergeable, together
from features.compute.traced import trace

__all__ = [
    "COLUMNS",
    "columns_of",
    "compute",
    "is_mergeable",
    "measured",
    "require_mergeable",
    "together",
    "trace",
]
