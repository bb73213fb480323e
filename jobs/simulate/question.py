"""The question of a run: which scenario, as known when, over which snapshot of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cluster import canonical
from cluster import settings as configuration
from cluster.yamlfiles import read_yaml
from features import log
from jobs.console import option
from serving import scored
from serving.forecast import funnels, units
from serving.forecast.scenario import Scenario

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.forecast.funnels import Funnel
    from serving.forecast.units import Course


@dataclass(frozen=True, kw_only=True)
class SimulateSettings:
    """Which scenario (a name in configs/scenarios or a path), as known when, and how many draws."""

    scenario: str = option("outreach", "Name in configs/scenarios, or a file.")
    as_of: str | None = option(None, "ISO 8601 time with zone; default: all that is known.")
    horizon: int | None = option(None, "Steps of the funnel, in place of the scenario's.")
    draws: int | None = option(None, "In place of the scenario's.")
    seed: int | None = option(None, "In place of the scenario's.")
    to: str | None = option(None, "Folder for page, Parquet and JSON; default: home/reports.")
    runner: str = option("auto", "auto (by size), ray or inline.")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A scenario put to one snapshot of the log."""

    scenario: Scenario
    funnel: Funnel
    as_of: datetime
    snapshot: int


def ask(workspace: Workspace, settings: SimulateSettings) -> Question:
    """Pin the log and settle what is asked; WrongUse for a scenario or a time that cannot be
    read."""
    scenario = load(settings)
    snapshot = log.pinned(workspace.tables)
    return Question(
        scenario=scenario,
        funnel=funnels.load_funnel(scenario.funnel),
        as_of=log.as_of(settings.as_of, workspace.tables, snapshot),
        snapshot=snapshot,
    )


def load(settings: SimulateSettings) -> Scenario:
    """Read the scenario and put the options given in place of its values."""
    path = configuration.named("scenarios", settings.scenario)
    options = ("horizon", "draws", "seed")
    given = {name: getattr(settings, name) for name in options}
    values = {name: value for name, value in given.items() if value is not None}
    document = {**read_yaml(path), **values}
    return configuration.validated(Scenario, document, where=str(path))


def course(workspace: Workspace, question: Question) -> Course:
    """Return the courses of all units as known at the time of the question."""
    events = workspace.tables.read(log.TABLE, question.snapshot, columns=units.COLUMNS)
    return units.read(events, question.funnel, question.as_of)


def pins(workspace: Workspace, asked: Question) -> dict[str, str]:
    """Return the identity of all that an answer depends on."""
    return {
        "log": str(asked.snapshot),
        "as_of": asked.as_of.isoformat(),
        "scores": canonical.digest(scored.heads(workspace.tables, asked.funnel)),
        "funnel": canonical.digest(asked.funnel.model_dump(mode="json")),
        "scenario": canonical.digest(asked.scenario.model_dump(mode="json")),
    }
