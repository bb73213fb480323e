"""What a backtest is asked: which funnel, from which origins, how far ahead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import WrongUse
from features import log
from jobs.backtest.ours import Place
from jobs.backtest.walk import Plan
from jobs.console import option
from serving import scored
from serving.forecast import funnels, units

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace
    from serving.forecast.funnels import Funnel

HORIZONS = {1: (1, 7, 14), 7: (1, 4, 13)}  # steps, by days of a step
EVERY = {1: 1, 7: 2}


@dataclass(frozen=True, kw_only=True)
class BacktestSettings:
    """Which forecasts of the past to make again, each from what was known then."""

    funnel: str = option("sales", "Name in configs/funnels, or a file.")
    origins: int = option(20, "How many; the last is as late as its outcome is known.")
    until: str | None = option(
        None, "ISO 8601 time with zone up to which outcomes count; default: the end of the log."
    )
    every: int | None = option(None, "Steps from one to the next; default: 2 weeks, or 1 day.")
    horizons: str | None = option(None, "Steps ahead, such as 1,4,13, the default for weeks.")
    draws: int = option(500, "Of each forecast.")
    seed: int = option(1, "Of all chance.")
    to: str | None = option(None, "Folder for the page; default: home/reports.")
    runner: str = option("auto", "auto (by size), ray or inline.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A backtest put to one snapshot of the log."""

    funnel: Funnel
    snapshot: int
    latest: datetime
    every: int
    plan: Plan
    settings: BacktestSettings

    @property
    def step(self) -> timedelta:
        """The length of a step."""
        return timedelta(days=self.funnel.step_days)


def ask(workspace: Workspace, settings: BacktestSettings) -> Asked:
    """Pin the log and settle what is asked; WrongUse for what cannot be."""
    funnel = funnels.load_funnel(settings.funnel)
    snapshot = log.pinned(workspace.tables)
    latest = log.as_of(settings.until, workspace.tables, snapshot)
    every = settings.every or EVERY[funnel.step_days]
    horizons = _horizons(settings.horizons, funnel)
    if settings.origins < 1 or every < 1 or settings.draws < 1:
        raise WrongUse(
            "origins, every and draws must be 1 or more, got"
            f" {settings.origins}, {every} and {settings.draws}"
        )
    step = timedelta(days=funnel.step_days)
    last = latest - max(horizons) * step
    origins = tuple(last - back * every * step for back in reversed(range(settings.origins)))
    scores = scored.made(workspace.tables, funnel)
    said = [funnel.model_dump(mode="json"), settings.draws, settings.seed, horizons, scores]
    run = canonical.digest(said)[:32]
    plan = Plan(run=run, funnel=funnel.name, origins=origins, horizons=horizons, seed=settings.seed)
    return Asked(
        funnel=funnel, snapshot=snapshot, latest=latest, every=every, plan=plan, settings=settings
    )


def place(workspace: Workspace, asked: Asked) -> Place:
    """Return what every origin is forecast from."""
    events = workspace.tables.read(log.TABLE, asked.snapshot, columns=units.COLUMNS)
    return Place(
        funnel=asked.funnel,
        events=events,
        horizons=asked.plan.horizons,
        draws=asked.settings.draws,
        seed=asked.settings.seed,
        scores=scored.past(workspace.tables, asked.funnel),
    )


def _horizons(given: str | None, funnel: Funnel) -> tuple[int, ...]:
    if given is None:
        return HORIZONS[funnel.step_days]
    try:
        found = tuple(sorted({int(each) for each in given.split(",")}))
    except ValueError:
        found = ()
    if not found or found[0] < 1 or found[-1] > 520:
        raise WrongUse(
            f"horizons must be numbers of steps from 1 to 520, got '{given}': say 1,4,13"
        )
    return found
