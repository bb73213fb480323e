"""The forecast: from the history as known at T to distributions of won deals and value.

history -> hazards -> tables -> funnel -> summary -> record, and beside them start (what is open),
scenario and effect (what is asked); experiment runs the arms of a question on the same luck.
"""

from __future__ import annotations

from serving.forecast import (
    effect,
    experiment,
    hazards,
    history,
    record,
    scenario,
    start,
    summary,
)

__all__ = [
    "effect",
    "experiment",
    "hazards",
    "history",
    "record",
    "scenario",
    "start",
    "summary",
]
