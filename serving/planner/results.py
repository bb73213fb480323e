"""What the pages of a simulation show: how far it is, and its result in words and charts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from serving.forecast.scenario import Scenario
from serving.planner import charts, documents, summary, told

if TYPE_CHECKING:
    from serving.planner.sheet import Sheet
    from serving.wire.simulations import SimulationOut, SimulationRequest, SimulationResultOut

_STATUS = {
    "queued": "waits",
    "running": "runs",
    "done": "done",
    "failed": "failed",
    "cancelled": "stopped",
}


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A simulation in a list."""

    id: str
    title: str
    status: str
    words: str  # for the status
    at: str
    by: str
    done: int
    total: int
    doing: str
    why: str
    is_over: bool

    @property
    def percent(self) -> int:
        """How far it is."""
        return round(100 * self.done / self.total) if self.total else 0


def listed(found: SimulationOut) -> Listed:
    """Return a simulation as pages show it."""
    progress = found.progress
    return Listed(
        id=found.id,
        title=", ".join(told.name(each) for each in found.scenarios),
        status=found.status,
        words=_STATUS.get(found.status, found.status),
        at=moment(found.asked_at),
        by=found.asked_by,
        done=progress.done if progress else 0,
        total=progress.total if progress else 0,
        doing=progress.what if progress else "",
        why=found.why or "",
        is_over=found.status not in ("queued", "running"),
    )


def moment(at: datetime) -> str:
    """Return a time as people read it."""
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def filled(asked: SimulationRequest) -> Sheet:
    """Return the form of a question; WrongUse for one that no form can show."""
    return documents.filled([Scenario.model_validate(each) for each in asked.scenarios], asked)


def shown(result: SimulationResultOut) -> dict[str, Any]:
    """Return what the page of a result is made of."""
    names, lines = summary.payoffs(result)
    return {
        "result": result,
        "as_of": moment(result.as_of),
        "names": [told.name(arm.name) for arm in result.arms],
        "against": told.name(result.against),
        "grade": summary.grade(result.grade),
        "badge": summary.badge(result.grade),
        "is_assumed": result.grade == summary.ASSUMPTION,
        "verdicts": summary.verdicts(result),
        "compared": names,
        "lines": lines,
        "fans": charts.fans(result),
        "tables": charts.numbers(result),
        "gains": charts.gains(result),
        "waterfalls": charts.waterfalls(result),
        "parts": charts.parts(result),
        "heats": charts.heats(result),
        "headings": charts.headings(result.steps),
        "evidence": summary.evidence(result),
        "slices": summary.slices(result),
        "plan": result.plan,
        "told": told,
    }
