"""From a request to a question: read in words that name what is wrong, then pinned to all that its
answer depends on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import canonical, runs
from cluster.errors import FunnelcastError, nearest
from cluster.settings import validated
from features import log
from serving import scored
from serving.forecast import funnels, tested
from serving.forecast.comparison import Comparison
from serving.forecast.scenario import Scenario
from serving.simulations import routed
from serving.simulations.words import Wrong

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.forecast.funnels import Funnel
    from serving.wire.simulations import SimulationRequest

FORM = 1  # of results; those of another are not shown again
JOB = "jobs/simulate"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A comparison put to one snapshot of the log."""

    comparison: Comparison
    funnel: Funnel
    snapshot: int
    as_of: datetime


def read(asked: SimulationRequest) -> Comparison | Wrong:
    """Return the comparison that a request asks for; Wrong says in a line what is not."""
    given = asked.model_dump(mode="json", exclude={"as_of", "scenarios"})
    try:
        scenarios = [_scenario(place, each) for place, each in enumerate(asked.scenarios, start=1)]
        return validated(Comparison, {**given, "scenarios": scenarios}, where="comparison")
    except FunnelcastError as error:
        return Wrong.of(str(error))


def put(workspace: Workspace, comparison: Comparison, as_of: datetime | None) -> Question | Wrong:
    """Return the comparison as a question to the newest snapshot of the log."""
    name = comparison.scenarios[0].funnel
    if name not in (there := funnels.names()):  # never a file: a request names what is configured
        rule, remedy = "a funnel must be a name that is configured", nearest(name, there)
        return Wrong(rule=rule, value=f"'{name[:60]}'", remedy=remedy)
    try:
        funnel = funnels.load_funnel(name)
        snapshot = log.pinned(workspace.tables)
    except FunnelcastError as error:
        return Wrong.of(str(error))
    last = log.latest(workspace.tables, snapshot)
    at = as_of or last
    if at > last:
        remedy = f"leave it out, or ask for {last.isoformat()} at the latest"
        rule = "as_of must not be after what the log knows"
        return Wrong(rule=rule, value=at.isoformat(), remedy=remedy)
    return Question(comparison=comparison, funnel=funnel, snapshot=snapshot, as_of=at)


def pins(workspace: Workspace, question: Question) -> dict[str, Any]:
    """Return which of all that an answer rests on it is: JSON values, equal for equal answers."""
    funnel = question.funnel
    return {
        "funnel": canonical.digest(funnel.model_dump(mode="json")),
        "log": str(question.snapshot),
        "as_of": question.as_of.isoformat(),
        "scores": scored.heads(workspace.tables, funnel),
        "refs": _refs(workspace, funnel.name),
        "policies": routed.pinned(workspace, question.comparison, funnel),
    }


def key(comparison: Comparison, pinned: dict[str, Any]) -> str:
    """Return a hash of a question, of what its answer rests on, and of the code."""
    asked = comparison.model_dump(mode="json")
    code = runs.code_version(JOB)
    return canonical.digest({"form": FORM, "code": code, "asked": asked, "pinned": pinned})


def _scenario(place: int, document: dict[str, Any]) -> dict[str, Any]:
    """Return a scenario, read by itself, so that what is wrong is named with its place."""
    named = document.get("name")
    where = f"scenario {place}" + (f" '{named[:60]}'" if isinstance(named, str) else "")
    return validated(Scenario, document, where=where).model_dump()


def _refs(workspace: Workspace, funnel: str) -> dict[str, str]:
    """Return where the learnt effects and the backtest are that may be asked."""
    backtest = workspace.refs.get(tested.ref(funnel))
    found = [*workspace.refs.under(f"effects/{funnel}/"), *([backtest] if backtest else [])]
    return {ref.name: ref.target for ref in sorted(found, key=lambda ref: ref.name)}
