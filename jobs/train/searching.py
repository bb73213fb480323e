"""The search of a training: its study, its pool and its budget. Runs where the settings say."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import optuna

from cluster import canonical, runs, session
from jobs.train import pool, search, study
from jobs.train.evaluator import Evaluator
from serving import bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from optuna.study import Study

    from cluster.runner import Choice
    from cluster.workspace import Workspace
    from jobs.console import Progress
    from jobs.train.fit import Data
    from jobs.train.front import Best
    from jobs.train.lesson import Lesson, Pinned
    from jobs.train.pool import Pool
    from jobs.train.settings import TrainSettings

    type _Pooled = Callable[..., AbstractContextManager[Pool]]


def searched(
    workspace: Workspace,
    settings: TrainSettings,
    wanted: Sequence[Lesson],
    *,
    told: Progress,
    on: Choice,
) -> tuple[list[Best], int]:
    """Search side by side on one pool; return what was chosen, and how many nodes the pool had."""
    if not wanted:
        return [], 1
    if on.runner == "ray":
        session.connect(workspace.settings)
    pooled: _Pooled = pool.ray_pool if on.runner == "ray" else pool.inline_pool
    every = settings.trials * len(wanted)
    cores = session.cores(workspace.settings)
    is_over = _timer(settings.minutes)
    with ExitStack() as stack:
        asked = [
            (
                stack.enter_context(_opened(workspace, settings, each.pinned, cores)),
                _budget(settings, each.prepared.data, is_over),
            )
            for each in wanted
        ]
        data = tuple(each.prepared.data for each in wanted)
        evaluators = stack.enter_context(pooled(Evaluator, data, min(cores, every)))
        found = search.side_by_side(asked, evaluators, lambda done: told(done, every, "trials"))
        return found, evaluators.nodes


def _opened(
    workspace: Workspace, settings: TrainSettings, pinned: Pinned, workers: int
) -> AbstractContextManager[Study]:
    name = _study(settings, pinned)
    return study.opened(workspace.settings.home / "studies" / f"{name}.log", name, workers)


def _budget(settings: TrainSettings, data: Data, is_over: Callable[[], bool]) -> search.Budget:
    return search.Budget(
        trials=settings.trials,
        folds=len(data.folds),
        seed=settings.seed,
        tolerance=settings.tolerance,
        is_over=is_over,
    )


def _study(settings: TrainSettings, pinned: Pinned) -> str:
    """Return the identity of a search: all that its trials depend on, not how many there are."""
    return canonical.digest(
        {
            **pinned.identity,
            "seed": settings.seed,
            "purge": settings.purge,
            "test_share": settings.test_share,
            "leaks": settings.leaks,
            "code": runs.code_version("jobs/train"),
            "libraries": {**bundle.libraries(), "optuna": optuna.__version__},
        }
    )


def _timer(minutes: float | None) -> Callable[[], bool]:
    if minutes is None:
        return lambda: False
    end = time.monotonic() + minutes * 60
    return lambda: time.monotonic() >= end
