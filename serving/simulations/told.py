"""A simulation as it is told. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.wire.simulations import ProgressOut, SimulationOut

if TYPE_CHECKING:
    from serving.simulations.records import Kept

FUNNEL, NO_NAME = "sales", "scenario"  # what a scenario that does not say has


def told(kept: Kept, *, unchanged: bool = False) -> SimulationOut:
    """Return a simulation on record in the words of the API."""
    scenarios = kept.asked["scenarios"]
    members = {
        "id": kept.id,
        "status": kept.status,
        "scenarios": [str(each.get("name", NO_NAME)) for each in scenarios],
        "funnel": str(scenarios[0].get("funnel", FUNNEL)),
        "asked_by": kept.asked_by,
        "asked_at": kept.asked_at,
        "finished_at": kept.finished_at,
        "progress": ProgressOut(**kept.progress) if kept.progress else None,
        "why": kept.why,
        "unchanged": unchanged,
    }
    return SimulationOut.model_validate(members)
