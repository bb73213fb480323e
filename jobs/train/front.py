"""The front: what a better model costs at serving, and which trial is chosen on it. Pure.

A row costs as many steps down a tree as trees are deep, times the trees: rounds x depth.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial

    from jobs.train.pool import Params


@dataclass(frozen=True, kw_only=True)
class Trade:
    """One trial on the front: no other was both as good and cheaper."""

    trial: int
    loss: float
    cost: int  # rounds x depth
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Best:
    """The trial that a search chose."""

    trial: int
    loss: float  # mean over the folds, of the target's metric
    params: Params
    rounds: int  # mean of the folds' best rounds
    complete: int
    pruned: int
    front: tuple[Trade, ...]  # from the best to the cheapest


def best(told: Sequence[FrozenTrial], tolerance: float) -> Best:
    """Return the cheapest trial whose loss is within `tolerance` of the least."""
    complete = sorted(
        (trial for trial in told if trial.state == TrialState.COMPLETE),
        key=lambda trial: (trial.value, _cost(trial), trial.user_attrs["index"]),
    )
    front = [trial for at, trial in enumerate(complete) if _is_cheapest(complete[: at + 1])]
    least = complete[0].value or 0.0
    chosen = [trial for trial in front if (trial.value or 0.0) <= least + tolerance][-1]
    return Best(
        trial=chosen.user_attrs["index"],
        loss=float(chosen.value or 0.0),
        params=dict(chosen.params),
        rounds=_rounds(chosen),
        complete=len(complete),
        pruned=len(told) - len(complete),
        front=tuple(_trade(trial, chosen) for trial in front),
    )


def fold(number: int) -> str:
    """Return the name under which a trial keeps [loss, rounds] of a fold."""
    return f"fold{number}"


def _is_cheapest(trials: Sequence[FrozenTrial]) -> bool:
    """Is the last of trials cheaper than each before it?"""
    *others, last = map(_cost, trials)
    return all(last < other for other in others)


def _trade(trial: FrozenTrial, chosen: FrozenTrial) -> Trade:
    return Trade(
        trial=trial.user_attrs["index"],
        loss=float(trial.value or 0.0),
        cost=_cost(trial),
        chosen=trial is chosen,
    )


def _cost(trial: FrozenTrial) -> int:
    return _rounds(trial) * int(trial.params["max_depth"])


def _rounds(trial: FrozenTrial) -> int:
    folds = [each for name, each in trial.user_attrs.items() if name.startswith(fold(0)[:-1])]
    return round(statistics.fmean(rounds for _, rounds in folds))
