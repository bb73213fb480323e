"""The race: which trials are worth another fold. Pure.

A trial is given up when the leader is ahead of it by more than folds to come are likely to make
good. How much they make good is measured on the trials that ran to the end: their gap to the leader
after all folds, less that after the same folds (a race on paired differences, as in Maron & Moore
1994, where their bound is replaced by the error that was seen).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.study import Study
    from optuna.trial import FrozenTrial

RUN = 4  # trials that must have run to the end: one to lead, three to tell the error
MARGIN = 1.5  # errors that a trial may be behind


class Race(optuna.pruners.BasePruner):
    """Prunes by comparison with the trials told before this one was asked for."""

    def __init__(self, window: int) -> None:
        self._window = window

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Is the trial, after the folds so far, too far behind the leader?"""
        step = trial.last_step
        if step is None:
            return False
        before = trial.user_attrs["index"] - self._window
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        run = [each for each in complete if each.user_attrs["index"] <= before]
        if len(run) < RUN:
            return False
        leader = min(run, key=lambda each: (each.value, each.user_attrs["index"]))
        behind = trial.intermediate_values[step] - leader.intermediate_values[step]
        return behind > MARGIN * _error(run, leader, step)


def _error(run: Sequence[FrozenTrial], leader: FrozenTrial, step: int) -> float:
    """Return the root mean square by which gaps to the leader changed after a fold."""
    changes = [
        _gap(each, leader) - each.intermediate_values[step] + leader.intermediate_values[step]
        for each in run
        if each is not leader
    ]
    return math.sqrt(sum(change * change for change in changes) / len(changes))


def _gap(trial: FrozenTrial, leader: FrozenTrial) -> float:
    return (trial.value or 0.0) - (leader.value or 0.0)
