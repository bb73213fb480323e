"""What is searched on in the bench of tuning: training rows of the synthetic company."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from optuna.distributions import IntDistribution

from cluster.settings import Settings
from cluster.workspace import Workspace
from features.targets import load_target
from jobs import console
from jobs.ingest.run import JOB as INGEST
from jobs.ingest.run import IngestSettings
from jobs.materialize.run import JOB as MATERIALIZE
from jobs.materialize.run import MaterializeSettings
from jobs.train import fit
from jobs.train.space import SPACE

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.train.pool import Params


def rows(home: Path, targets: tuple[str, ...]) -> list[fit.Data]:
    """Return the rows to learn from, with their folds, for each target."""
    with Workspace.open(Settings(home=home)) as workspace:
        console.perform(INGEST, IngestSettings(source="world", runner="inline"), workspace, _quiet)
        return [_of(workspace, name) for name in targets]


def drawn(count: int, seed: int) -> tuple[Params, ...]:
    """Return sets of parameters drawn evenly from the space."""
    rng = np.random.default_rng(seed)
    return tuple({name: _one(name, rng) for name in SPACE} for _ in range(count))


def _of(workspace: Workspace, name: str) -> fit.Data:
    target = load_target(name)
    asked = MaterializeSettings(target=name, runner="inline")
    console.perform(MATERIALIZE, asked, workspace, _quiet)
    table = workspace.tables.read(target.training_table)
    return fit.prepare(table, target, test_share=0.2, purge=True).data


def _one(name: str, rng: np.random.Generator) -> float:
    space = SPACE[name]
    if isinstance(space, IntDistribution):
        return int(rng.integers(space.low, space.high + 1))
    low, high = np.log([space.low, space.high]) if space.log else (space.low, space.high)
    value = rng.uniform(low, high)
    return float(np.exp(value) if space.log else value)


def _quiet(done: int, total: int, what: str) -> None:
    pass
