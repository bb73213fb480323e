"""The question of a run: which scenarios, as known when, over which snapshot of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import canonical
from cluster import settings as configuration
from cluster.errors import WrongUse, done
from cluster.yamlfiles import read_yaml
from features import log
from jobs.console import option
from serving import scored
from serving.forecast import funnels, tested
from serving.forecast.comparison import Comparison
from serving.forecast.kinds import Outreach, Price
from serving.forecast.scenario import Scenario, late
from serving.simulations import courses, routed

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.forecast.funnels import Funnel
    from serving.forecast.units import Course

LONGEST_NAME = 100  # of files and refs


@dataclass(frozen=True, kw_only=True)
class SimulateSettings:
    """Which scenarios (names in configs/scenarios or paths), as known when, and how many draws."""

    scenario: str = option("outreach", "Name in configs/scenarios, or a file; several: a,b,c.")
    comparison: str | None = option(None, "File of a comparison, in place of scenarios.")
    as_of: str | None = option(None, "ISO 8601 time with zone; default: all that is known.")
    horizon: int | None = option(None, "Steps of the funnel, in place of the scenario's.")
    draws: int | None = option(None, "In place of the scenario's.")
    seed: int | None = option(None, "In place of the scenario's.")
    to: str | None = option(None, "Folder for page, Parquet and JSON; default: home/reports.")
    runner: str = option("auto", "auto (by size), ray or inline.")


@dataclass(frozen=True, kw_only=True)
class Question:
    """Some scenarios put to one snapshot of the log."""

    comparison: Comparison
    funnel: Funnel
    as_of: datetime
    snapshot: int

    @property
    def scenario(self) -> Scenario:
        """The last scenario: it tells what all of them share."""
        return self.comparison.scenarios[-1]

    @property
    def name(self) -> str:
        """What files and the ref are called: the scenario, or all of them."""
        names = [each.name for each in self.comparison.scenarios]
        several = "-".join(names)
        is_short = len(several) <= LONGEST_NAME
        return several if is_short else f"comparison-{canonical.digest(names)[:12]}"

    @property
    def is_alone(self) -> bool:
        """Is there one scenario, and no plan?"""
        return len(self.comparison.scenarios) == 1 and self.comparison.plan is None


def ask(workspace: Workspace, settings: SimulateSettings) -> Question:
    """Pin the log and settle what is asked; WrongUse for a scenario or a time that cannot be
    read."""
    document = _document(settings)
    as_of = settings.as_of or document.pop("as_of", None)
    comparison = _comparison(settings, document)
    for each in comparison.scenarios:
        if (never := late(each)) is not None:
            done(never, WrongUse)
    snapshot = log.pinned(workspace.tables)
    return Question(
        comparison=comparison,
        funnel=funnels.load_funnel(comparison.scenarios[0].funnel),
        as_of=log.as_of(as_of and str(as_of), workspace.tables, snapshot),
        snapshot=snapshot,
    )


def load(settings: SimulateSettings) -> Comparison:
    """Read the scenarios and put the options given in place of their values."""
    document = _document(settings)
    document.pop("as_of", None)
    return _comparison(settings, document)


def _document(settings: SimulateSettings) -> dict[str, Any]:
    """Return the comparison as it is written down, or as the names of its scenarios."""
    if settings.comparison is not None:
        return read_yaml(Path(settings.comparison))
    return {"scenarios": settings.scenario.split(",")}


def _comparison(settings: SimulateSettings, document: dict[str, Any]) -> Comparison:
    said = document.get("scenarios")
    several = said if isinstance(said, list) else []
    scenarios = tuple(_scenario(settings, each) for each in several)
    where = settings.comparison or settings.scenario
    return configuration.validated(
        Comparison, {**document, "scenarios": scenarios or said}, where=where
    )


def _scenario(settings: SimulateSettings, said: object) -> Scenario:
    """Return a scenario from its document, or from the file that its name names."""
    options = ("horizon", "draws", "seed")
    given = {name: getattr(settings, name) for name in options}
    values = {name: value for name, value in given.items() if value is not None}
    if isinstance(said, dict):
        where = f"scenario '{said.get('name')}'"
        return configuration.validated(Scenario, {**said, **values}, where=where)
    path = configuration.named("scenarios", str(said))
    return configuration.validated(Scenario, {**read_yaml(path), **values}, where=str(path))


def course(workspace: Workspace, question: Question) -> Course:
    """Return the courses of all units as known at the time of the question."""
    return courses.read(workspace.tables, question.funnel, question.snapshot, question.as_of)


def pins(workspace: Workspace, asked: Question) -> dict[str, str]:
    """Return the identity of all that an answer depends on."""
    names = [*_effects(asked), tested.ref(asked.funnel.name)]
    refs = {name: workspace.refs.get(name) for name in names}
    for name in _effects(asked):  # of earlier moments
        refs |= {each.name: each for each in workspace.refs.under(f"{name}/")}
    return {
        **rests_on(workspace, asked),
        "refs": str({name: ref and ref.target for name, ref in refs.items()}),
        "policies": str(routed.pinned(workspace, asked.comparison, asked.funnel)),
        "scenarios": canonical.digest(asked.comparison.model_dump(mode="json")),
    }


def rests_on(workspace: Workspace, asked: Question) -> dict[str, str]:
    """Return the identity of what is learnt from for an answer."""
    return {
        "log": str(asked.snapshot),
        "as_of": asked.as_of.isoformat(),
        "scores": canonical.digest(scored.heads(workspace.tables, asked.funnel)),
        "funnel": canonical.digest(asked.funnel.model_dump(mode="json")),
    }


def _effects(asked: Question) -> list[str]:
    """Return the refs of the effects that are to be estimated."""
    levers = [lever for each in asked.comparison.scenarios for lever in each.levers]
    actions = {lever.action for lever in levers if isinstance(lever, Outreach | Price)}
    return [f"effects/{asked.funnel.name}/{action}" for action in sorted(actions)]
