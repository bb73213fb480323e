"""The question of a run: which scenario, as known when, over which snapshot of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cluster import settings as configuration
from cluster.yamlfiles import read_yaml
from features import log
from jobs.console import option
from serving.forecast.scenario import Scenario

if TYPE_CHECKING:
    from cluster.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class SimulateSettings:
    """Which scenario (a name in configs/scenarios or a path), as known when, and how many draws."""

    scenario: str = option("outreach", "Name in configs/scenarios, or a file.")
    as_of: str | None = option(None, "ISO 8601 time with zone; default: all that is known.")
    horizon_weeks: int | None = option(None, "In place of the scenario's.")
    draws: int | None = option(None, "In place of the scenario's.")
    seed: int | None = option(None, "In place of the scenario's.")
    runner: str = option("auto", "auto (by size), ray or inline.")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A scenario put to one snapshot of the log."""

    scenario: Scenario
    as_of: datetime
    snapshot: int


def ask(workspace: Workspace, settings: SimulateSettings) -> Question:
    """Pin the log and settle what is asked; WrongUse for a scenario or a time that cannot be
    read."""
    scenario = load(settings)
    snapshot = log.pinned(workspace.tables)
    as_of = log.as_of(settings.as_of, workspace.tables, snapshot)
    return Question(scenario=scenario, as_of=as_of, snapshot=snapshot)


def load(settings: SimulateSettings) -> Scenario:
    """Read the scenario and put the options given in place of its values."""
    path = configuration.named("scenarios", settings.scenario)
    options = ("horizon_weeks", "draws", "seed")
    given = {name: getattr(settings, name) for name in options}
    values = {name: value for name, value in given.items() if value is not None}
    document = {**read_yaml(path), **values}
    return configuration.validated(Scenario, document, where=str(path))
