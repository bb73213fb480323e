"""The search: Optuna proposes, a pool evaluates, this process alone writes the studies.

The result is a function of data, seed, number of trials and window; never of the workers or of
who is faster. Trial i is asked for when exactly the trials up to i - window have been told, with a
sampler seeded by (seed, i), and is pruned by comparison with those only. Trials are told in order.

Several searches run side by side on one pool: while one waits for its slowest trial, the workers
evaluate folds of the others.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from cluster.canonical import digest
from jobs.train import front
from jobs.train.front import fold as _fold
from jobs.train.pool import Work
from jobs.train.race import Race
from jobs.train.space import PORTFOLIO, SPACE
from jobs.train.study import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optuna.study import Study
    from optuna.trial import Trial

    from jobs.train.front import Best
    from jobs.train.pool import Done, Params, Pool

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long and how to search."""

    trials: int
    folds: int
    seed: int
    tolerance: float = 0.0  # loss to give up for a model that costs less to serve
    is_over: Callable[[], bool] = lambda: False  # asked before each new trial
    is_pruned: bool = True  # may trials be given up before their last fold?
    start: tuple[Params, ...] = PORTFOLIO  # tried before anything is sampled


def search(
    study: Study, pool: Pool, budget: Budget, told: Callable[[int], None] = lambda _: None
) -> Best:
    """Run one study up to its budget and return what it chose; `told` hears how many are told."""
    return side_by_side([(study, budget)], pool, told)[0]


def side_by_side(
    asked: Sequence[tuple[Study, Budget]],
    pool: Pool,
    told: Callable[[int], None] = lambda _: None,
) -> list[Best]:
    """Run studies up to their budgets on one pool and return the trials they chose.

    Work of the n-th study is of data n; `told` hears how many trials of all are told.
    """
    runs = [_Search(number, pool, *each) for number, each in enumerate(asked)]
    for run in runs:
        run.go_on()
    while not all(run.is_done for run in runs):
        done = pool.next()
        runs[done.data].take(done)
        told(sum(run.first for run in runs))
    return [run.best for run in runs]


@dataclass(kw_only=True)
class _Open:
    """A trial under way."""

    index: int  # its place in the search, kept when a new run takes it up
    trial: Trial
    losses: list[float] = field(default_factory=list)  # per evaluated fold
    is_settled: bool = False  # evaluated or pruned, not yet told


class _Search:
    """One study: what it waits for, and what follows from an outcome."""

    def __init__(self, data: int, pool: Pool, study: Study, budget: Budget) -> None:
        self._data = data
        self._pool = pool
        self._study = study
        self._budget = budget
        self._window: int = study.user_attrs[WINDOW]
        self._open: dict[int, _Open] = {}
        study.pruner = Race(self._window) if budget.is_pruned else optuna.pruners.NopPruner()
        self.first = len(study.get_trials(deepcopy=False, states=FINISHED))  # not yet told

    @property
    def is_done(self) -> bool:
        """Is there nothing to wait for?"""
        return not self._open

    @property
    def best(self) -> Best:
        """What was chosen."""
        told = self._study.get_trials(deepcopy=False, states=FINISHED)
        within = [trial for trial in told if trial.user_attrs["index"] < self._budget.trials]
        return front.best(within, self._budget.tolerance)

    def go_on(self) -> None:
        """Fill the window, and tell in order what is settled."""
        self._fill()
        while self.first in self._open and self._open[self.first].is_settled:
            self._tell(self._open.pop(self.first))
            self.first += 1
            self._fill()

    def take(self, done: Done) -> None:
        """Take the outcome of a fold."""
        opened = self._open[done.trial]
        opened.trial.set_user_attr(_fold(done.fold), [done.loss, done.rounds])
        self._add(opened, done.loss)
        self._submit(opened)
        self.go_on()

    def _fill(self) -> None:
        for index in range(self.first, min(self.first + self._window, self._budget.trials)):
            if index not in self._open and (index == 0 or not self._budget.is_over()):
                self._start(index)

    def _tell(self, opened: _Open) -> None:
        if len(opened.losses) == self._budget.folds:
            self._study.tell(opened.trial, statistics.fmean(opened.losses))
        else:
            self._study.tell(opened.trial, state=TrialState.PRUNED)

    def _start(self, index: int) -> None:
        trial = self._ask(index)
        opened = self._open[index] = _Open(index=index, trial=trial)
        known = trial.user_attrs
        for number in range(self._budget.folds):
            if _fold(number) in known:
                self._add(opened, known[_fold(number)][0])
        self._submit(opened)

    def _ask(self, index: int) -> Trial:
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if index < len(self._budget.start) and not waiting:
            self._study.enqueue_trial(self._budget.start[index], user_attrs={"index": index})
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int(digest([self._budget.seed, index])[:8], 16),
            n_startup_trials=len(self._budget.start),
        )
        trial = self._study.ask(SPACE)
        if "index" not in trial.user_attrs:
            trial.set_user_attr("index", index)
        return trial

    def _add(self, opened: _Open, loss: float) -> None:
        opened.losses.append(loss)
        opened.trial.report(statistics.fmean(opened.losses), len(opened.losses) - 1)

    def _submit(self, opened: _Open) -> None:
        fold = len(opened.losses)
        if fold == self._budget.folds or (fold and opened.trial.should_prune()):
            opened.is_settled = True
            return
        work = Work(data=self._data, trial=opened.index, fold=fold, params=opened.trial.params)
        self._pool.submit(work)
