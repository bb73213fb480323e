"""What is asked of a past: its target, its grid, and who is left out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from cluster import canonical, runs
from cluster.errors import WrongUse
from features import consent, log
from features.plan import Plan
from features.targets import load_target
from jobs.console import option, required
from jobs.train.past.grid import Grid, midnight

if TYPE_CHECKING:
    from datetime import datetime

    from cluster.workspace import Workspace
    from features.targets import Target

MOST_MOMENTS = 10_000  # more is a unit error


@dataclass(frozen=True, kw_only=True)
class PastSettings:
    """Which target, at which moments of the past, and by models how new."""

    target: str = required("Name in configs/targets, or a file.")
    from_: str | None = option(
        None, "First moment; ISO 8601 with zone; default: the midnight after the log begins."
    )
    to: str | None = option(None, "No moment after it; default: the end of the log.")
    every_days: float = option(7.0, "Days between two moments.")
    retrain_days: float = option(28.0, "Days after which a newer model takes over.")
    seed: int = option(7, "Of the calibration.")
    runner: str = option("auto", "auto (by size), ray or inline; of the features.")

    def __post_init__(self) -> None:
        """WrongUse for days that are none."""
        if not 0 < self.every_days <= self.retrain_days:
            raise WrongUse(
                "0 < --every-days <= --retrain-days must hold, got"
                f" {self.every_days:g} and {self.retrain_days:g}"
            )


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A past, put to one snapshot of the log."""

    target: Target
    snapshot: int
    grid: Grid
    seed: int
    withheld: tuple[str, ...]  # leads that nobody may score now, whatever was allowed then

    @property
    def table(self) -> str:
        """Name of the table to write."""
        return self.target.past_scores_table

    @property
    def made(self) -> str:
        """The name of all that a score depends on, but for what was known at its moment."""
        grid = [self.grid.first.isoformat(), str(self.grid.every), str(self.grid.retrain)]
        code = runs.code_version("jobs/train")
        return canonical.digest([self.target.version, self.target.made_by, grid, self.seed, code])

    @property
    def plan(self) -> Plan:
        """The features of all moments, each row as known at its own."""
        return Plan(
            target=self.target,
            purpose="backfill",
            as_of=self.grid.last,
            snapshot=self.snapshot,
            moments=self.grid.moments,
        )


def ask(workspace: Workspace, settings: PastSettings) -> Asked:
    """Pin the log and settle what is asked; WrongUse for what cannot be."""
    target, snapshot = load_target(settings.target), log.pinned(workspace.tables)
    grid = Grid(
        first=_first(workspace, settings, snapshot),
        last=log.as_of(settings.to, workspace.tables, snapshot),
        every=timedelta(days=settings.every_days),
        retrain=timedelta(days=settings.retrain_days),
    )
    if not 0 <= (grid.last - grid.first) / grid.every < MOST_MOMENTS:
        raise WrongUse(
            f"a past must have 1 to {MOST_MOMENTS:,} moments, got {grid.first.isoformat()} to"
            f" {grid.last.isoformat()} every {settings.every_days:g} days"
        )
    return Asked(
        target=target,
        snapshot=snapshot,
        grid=grid,
        seed=settings.seed,
        withheld=_withheld(workspace, target, snapshot),
    )


def _first(workspace: Workspace, settings: PastSettings, snapshot: int) -> datetime:
    if settings.from_ is not None:
        return log.as_of(settings.from_, workspace.tables, snapshot)
    known = workspace.tables.read(log.TABLE, snapshot, columns=["known_at"])["known_at"]
    return midnight(pc.min(known).as_py())


def _withheld(workspace: Workspace, target: Target, snapshot: int) -> tuple[str, ...]:
    if target.entity != "lead":
        return ()
    leads = workspace.tables.read(log.TABLE, snapshot, columns=["lead"])["lead"].cast(pa.string())
    every = pc.unique(leads.drop_null())
    refused = consent.Keeper(workspace).look().are_refused(every)
    return tuple(sorted(every.filter(pa.array(refused)).to_pylist()))
