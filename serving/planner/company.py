"""What the company has to choose from, and what is measured of its levers; read once per snapshot
of the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import FunnelcastError, Refusal
from cluster.settings import CONFIGS, load
from features import log
from serving.effects import known as effects
from serving.forecast import effect
from serving.forecast.evidence import Grade
from serving.forecast.funnels import load_funnel, names
from serving.forecast.scenario import Scenario
from serving.planner.plain import words_of
from serving.planner.view import Choices
from serving.simulations import courses, known
from serving.simulations.once import Once

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.workspace import Workspace
    from serving.effects.known import Known
    from serving.forecast.funnels import Funnel

MOST_KEPT = 16
MEASURED_ACTION = "outreach"  # whose lots the log tells of
TOO_MANY = "It is measured when the comparison runs: there are too many events to do it here."
NO_DATA = "There are no data of it yet."
NOT_MEASURED = "Nothing is measured of it here: state what you assume."


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is measured of an action."""

    said: str
    code: str = ""  # E1 or E2; empty: nothing
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A scenario that is there to begin with."""

    name: str
    title: str
    said: str
    scenario: Scenario


class Company:
    """Of one workspace. Safe to share between threads; may wait for the tables."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._once = Once(MOST_KEPT)

    def choices(self, name: str) -> Choices:
        """Return what there is to choose from in a funnel; in one that is not there only which
        funnels there are.
        """
        funnels = names()
        snapshot = self._workspace.tables.head(log.TABLE)
        if name not in funnels:
            return Choices(funnels=funnels)
        funnel = load_funnel(name)
        stages = tuple(stage.name for stage in funnel.stages)
        begins = tuple(stages[place] for place in funnel.begins)
        found = Choices(step=funnel.step_name, funnels=funnels, stages=stages, begins=begins)
        if snapshot is None:
            return found
        told = self._once.get(
            ("names", name, snapshot), lambda: known.read(self._workspace, funnel, snapshot)
        )
        more = {"segments": told.segments, "teams": told.teams, "bands": told.bands}
        return Choices(**{**vars(found), **more})

    def evidence(self, name: str, action: str) -> Evidence:
        """Return what is measured of an action in a funnel."""
        if name not in names() or not action.isprintable():  # a name may be a path, or hold a NUL
            return Evidence(said=NO_DATA)
        learnt = self._learnt(name, action)
        if learnt is not None or action != MEASURED_ACTION:
            return learnt or Evidence(said=NOT_MEASURED)
        snapshot = self._workspace.tables.head(log.TABLE)
        if snapshot is None:
            return Evidence(said=NO_DATA)
        return self._once.get(("effect", name, snapshot), lambda: self._estimated(name, snapshot))

    def _learnt(self, funnel: str, action: str) -> Evidence | None:
        """Return what the job that learns effects left; None where it was not run."""
        try:
            found = effects.newest(self._workspace, funnel, action)
        except (FunnelcastError, ValueError):
            return Evidence(said="What was measured cannot be read: learn it again.")
        return None if found is None else learnt(found)

    def _estimated(self, name: str, snapshot: int) -> Evidence:
        if courses.are_many(self._workspace.tables, snapshot):
            return Evidence(said=TOO_MANY)
        try:
            funnel = load_funnel(name)
            return _of_lots(self._workspace, funnel, snapshot)
        except FunnelcastError as error:
            return Evidence(said=str(error))


def _of_lots(workspace: Workspace, funnel: Funnel, snapshot: int) -> Evidence:
    tables = workspace.tables
    course = courses.read(tables, funnel, snapshot, log.as_of(None, tables, snapshot))
    found = effect.estimate(effect.lots(course), course.at)
    if isinstance(found, Refusal):
        return Evidence(said=f"{NOT_MEASURED} ({found})")
    low, high = found.interval
    said = (
        f"From {found.leads[0]:,} leads contacted and {found.leads[1]:,} left alone by chance, felt"
        f" for {effect.CONTACT_DAYS} days."
    )
    code = Grade.RANDOMISED.code
    return Evidence(said=said, code=code, ratio=found.ratio, low=low, high=high)


def learnt(found: Known) -> Evidence:
    """Return what the document of a learnt effect says, a refusal too."""
    forward = found.causes.get("forward")
    if found.grade is None or forward is None:
        return Evidence(said=f"{NOT_MEASURED} ({found.refused or 'of no funnel'})")
    low, high = forward.interval
    return Evidence(
        said=" ".join(found.said[:2]),
        code=found.grade.code,
        ratio=forward.ratio,
        low=low,
        high=high,
    )


def presets(folder: Path = CONFIGS / "scenarios") -> list[Preset]:
    """Return the scenarios that come with the configuration; one that is broken is left out."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            scenario = load(Scenario, path)
        except FunnelcastError:
            continue
        if scenario.levers:
            first = path.read_text(encoding="utf-8").partition("\n")[0]
            said = first.removeprefix("#").strip() if first.startswith("#") else ""
            title = words_of(scenario.name)
            found.append(Preset(name=path.stem, title=title, said=said, scenario=scenario))
    return found
