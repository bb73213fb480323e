"""The search: Optuna proposes, a pool evaluates, this process alone writes the study.

The result is a function of data, seed, number of trials and `window`; never of the workers or of
who is faster. Trial i is asked for when exactly the trials up to i - window have been told, with a
sampler seeded by (seed, i), and is pruned by comparison with those only. Trials are told in order.

The study is a journal file. Each evaluated fold is in it before the next one starts, so a run that
was killed goes on where it was: nothing finished is evaluated again, and the outcome is the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import statistics
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from cluster.canonical import digest, dumps
from cluster.errors import FunnelcastError
from jobs.train.pool import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from jobs.train.pool import Params, Pool

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
    loss: float  # mean over the folds, of the target's metric
    params: Params
    rounds: int  # mean of the folds' best rounds
    complete: int
    pruned: int


class EarlierMedian(optuna.pruners.BasePruner):
    """The median stopping rule (Golovin 2017) over the trials told before this was asked for."""

    def __init__(self, window: int) -> None:
        self._window = window

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Is the loss so far worse than the median of earlier complete trials at this fold?"""
        step = trial.last_step
        if step is None:
            return False
        before = trial.user_attrs["index"] - self._window
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        seen = [t.intermediate_values[step] for t in complete if t.user_attrs["index"] <= before]
        return len(seen) >= PRUNE_FROM and trial.intermediate_values[step] > statistics.median(seen)


@contextmanager
def opened(path: Path, name: str) -> Iterator[Study]:
    """Open the study in a journal file for this process alone, and take up what a killed run left.

    Raises StudyBusy while another process has it open.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".guard").open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyBusy(
                f"a study runs once at a time, got a second run of '{name}': wait for the first"
            ) from error
        _mend(path)
        storage = JournalStorage(_OneWriter(path))
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        _take_up(study)
        yield study


def search(
    study: Study, pool: Pool, budget: Budget, told: Callable[[int], None] = lambda _: None
) -> Best:
    """Run the study up to its budget and return the best trial; `told` hears how many are told."""
    study.pruner = EarlierMedian(budget.window)
    run = _Search(study, pool, budget)
    first = len(study.get_trials(deepcopy=False, states=FINISHED))
    while first < budget.trials and run.reaches(first):
        run.tell(first)
        first += 1
        told(first)
    return _best(study, budget)


@dataclass(kw_only=True)
class _Open:
    """A trial under way."""

    index: int  # its place in the search, kept when a new run takes it up
    trial: Trial
    losses: list[float] = field(default_factory=list)  # per evaluated fold
    is_settled: bool = False  # evaluated or pruned, not yet told


class _Search:
    def __init__(self, study: Study, pool: Pool, budget: Budget) -> None:
        self._study = study
        self._pool = pool
        self._budget = budget
        self._open: dict[int, _Open] = {}

    def reaches(self, first: int) -> bool:
        """Fill the window that starts at `first`; False when the time is over before that trial."""
        for index in range(first, min(first + self._budget.window, self._budget.trials)):
            if index not in self._open and (index == 0 or not self._budget.is_over()):
                self._start(index)
        return first in self._open

    def tell(self, first: int) -> None:
        """Wait for trial `first` and tell its outcome."""
        while not self._open[first].is_settled:
            done = self._pool.next()
            opened = self._open[done.trial]
            opened.trial.set_user_attr(_fold(done.fold), [done.loss, done.rounds])
            self._add(opened, done.loss)
            self._go_on(opened)
        told = self._open.pop(first)
        if len(told.losses) == self._budget.folds:
            self._study.tell(told.trial, statistics.fmean(told.losses))
        else:
            self._study.tell(told.trial, state=TrialState.PRUNED)

    def _start(self, index: int) -> None:
        trial = self._ask(index)
        opened = self._open[index] = _Open(index=index, trial=trial)
        known = trial.user_attrs
        for fold in range(self._budget.folds):
            if _fold(fold) in known:
                self._add(opened, known[_fold(fold)][0])
        self._go_on(opened)

    def _ask(self, index: int) -> Trial:
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if index == 0 and not waiting:
            self._study.enqueue_trial(FIRST, user_attrs={"index": 0})
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int(digest([self._budget.seed, index])[:8], 16), n_startup_trials=RANDOM_TRIALS
        )
        trial = self._study.ask(SPACE)
        if "index" not in trial.user_attrs:
            trial.set_user_attr("index", index)
        return trial

    def _add(self, opened: _Open, loss: float) -> None:
        opened.losses.append(loss)
        opened.trial.report(statistics.fmean(opened.losses), len(opened.losses) - 1)

    def _go_on(self, opened: _Open) -> None:
        fold = len(opened.losses)
        if fold == self._budget.folds or (fold and opened.trial.should_prune()):
            opened.is_settled = True
            return
        params = opened.trial.params
        self._pool.submit(Work(trial=opened.index, fold=fold, params=params))


def _fold(number: int) -> str:
    return f"fold{number}"


class _OneWriter(JournalFileBackend):
    """A journal file whose one writer holds the guard: no lock, and no wait for the disk per line.

    What a loss of power takes from its end is evaluated again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append one line per log."""
        with self._path.open("ab") as file:
            file.write(b"".join(dumps(log) + b"\n" for log in logs))


def _mend(path: Path) -> None:
    # a line cut short at the end would swallow the next one, and make the file unreadable
    written = path.read_bytes() if path.exists() else b""
    good = 0
    for line in written.splitlines(keepends=True):
        if not (line.endswith(b"\n") and _is_json(line)):
            break
        good += len(line)
    if good < len(written):
        os.truncate(path, good)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _take_up(study: Study) -> None:
    """Fail the trials a killed run left running, and queue them again with the folds they have."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    queued = {trial.user_attrs["index"] for trial in waiting}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if "index" in trial.user_attrs and trial.user_attrs["index"] not in queued:
            study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
        study.tell(trial.number, state=TrialState.FAIL)


def _best(study: Study, budget: Budget) -> Best:
    told = [
        trial
        for trial in study.get_trials(deepcopy=False, states=FINISHED)
        if trial.user_attrs["index"] < budget.trials
    ]
    complete = [trial for trial in told if trial.state == TrialState.COMPLETE]
    best = min(complete, key=lambda t: (t.value, t.user_attrs["index"]))
    rounds = [best.user_attrs[_fold(fold)][1] for fold in range(budget.folds)]
    return Best(
        trial=best.user_attrs["index"],
        loss=float(best.value or 0.0),
        params=dict(best.params),
        rounds=round(statistics.fmean(rounds)),
        complete=len(complete),
        pruned=len(told) - len(complete),
    )
