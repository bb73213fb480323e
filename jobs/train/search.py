"""The search: Optuna proposes, a pool evaluates, this process alone writes the study.

The result is a function of data, seed, number of trials and `window`; never of the workers or of who
is faster. Trial i is asked for when exactly the trials up to i - window have been told, with a sampler
seeded by (seed, i), and is pruned by comparison with those only. Trials are told in their order.

The study is a journal file. Each evaluated fold is in it before the next one starts, so a run that
was killed goes on where it was: nothing finished is evaluated again, and the outcome is the same.
"""

from __future__ import annotations

import fcntl
import statistics
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from cluster.canonical import digest
from cluster.errors import FunnelcastError
from jobs.train.fit import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from jobs.train.fit import Done, Params

WINDOW = 4
RANDOM_TRIALS = 8  # before the sampler starts to learn
PRUNE_FROM = 5  # complete trials to compare with
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(0.02, 0.3, log=True),
    "max_depth": IntDistribution(2, 8),
    "min_child_weight": FloatDistribution(1.0, 64.0, log=True),
    "subsample": FloatDistribution(0.5, 1.0),
    "colsample_bytree": FloatDistribution(0.4, 1.0),
    "reg_lambda": FloatDistribution(0.1, 30.0, log=True),
    "gamma": FloatDistribution(0.001, 3.0, log=True),
}
FIRST: Params = {
    "learning_rate": 0.06,
    "max_depth": 4,
    "min_child_weight": 8.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
    "gamma": 0.001,
}


class StudyBusy(FunnelcastError):
    """Another process is running this study."""


class Pool(Protocol):
    """Where folds are evaluated, several at a time."""

    def submit(self, work: Work) -> None:
        """Queue a fold."""

    def next(self) -> Done:
        """Wait for any submitted fold and return its outcome."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long and how to search."""

    trials: int
    folds: int
    seed: int
    window: int = WINDOW  # trials under way at once: part of the result, workers are not
    is_over: Callable[[], bool] = lambda: False  # asked before each new trial


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best trial of a search."""

    trial: int
    loss: float  # mean log loss over the folds
    params: Params
    rounds: int  # mean of the folds' best rounds
    complete: int
    pruned: int


class EarlierMedian(optuna.pruners.BasePruner):
    """The median stopping rule (Golovin 2017) over trials that were told before this was asked."""

    def __init__(self, window: int) -> None:
        self._window = window

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Is the value of the last fold worse than the median of earlier complete trials there?"""
        step = trial.last_step
        before = trial.user_attrs["index"] - self._window
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        seen = [t.intermediate_values[step] for t in complete if t.user_attrs["index"] <= before]
        if step is None or len(seen) < PRUNE_FROM:
            return False
        return trial.intermediate_values[step] > statistics.median(seen)


@contextmanager
def opened(path: Path, name: str) -> Iterator[Study]:
    """Open the study in a journal file for this process alone, and take up what a killed run left.

    Raises StudyBusy while another process has it open.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".guard").open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyBusy(
                f"a study runs once at a time, got a second run of '{name}': wait for the first"
            ) from error
        _mend(path)
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        _take_up(study)
        yield study


def search(
    study: Study, pool: Pool, budget: Budget, told: Callable[[int], None] = lambda _: None
) -> Best:
    """Run the study up to its budget and return the best trial; `told` hears the number finished."""
    study.pruner = EarlierMedian(budget.window)
    running: dict[int, Trial] = {}
    settled: set[int] = set()
    first = _finished(study)
    while first < budget.trials:
        last = budget.trials if not budget.is_over() else first
        for trial in _ask(study, running, range(first, min(first + budget.window, last)), budget):
            _advance(trial, pool, budget, settled)
        if first not in running:
            break
        while first not in settled:
            done = pool.next()
            running[done.trial].set_user_attr(f"fold{done.fold}", [done.loss, done.rounds])
            _advance(running[done.trial], pool, budget, settled)
        _tell(study, running.pop(first))
        first += 1
        told(first)
    return _best(study, budget)


def _ask(study: Study, running: dict[int, Trial], wanted: range, budget: Budget) -> list[Trial]:
    """Ask for the trials of `wanted` that are not running: left ones first, then new ones."""
    asked = [study.ask(SPACE) for _ in study.get_trials(False, (TrialState.WAITING,))]
    ...
