"""The evaluator: what a worker of the pool holds, and one fold of one trial. Repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xgboost as xgb

from jobs.train import fit
from jobs.train.pool import Done

if TYPE_CHECKING:
    from jobs.train.pool import Work

MAX_ROUNDS = 400
PATIENCE = 25  # rounds without a better loss before a fold stops


class Evaluator:
    """Evaluates folds; keeps the matrices of each, so a worker bins its rows once. One thread."""

    def __init__(self, data: fit.Data) -> None:
        self._data = data
        self._matrices: dict[int, tuple[xgb.DMatrix, xgb.DMatrix]] = {}

    def evaluate(self, work: Work) -> Done:
        """Train one fold, stopping early, and return its loss."""
        train, held = self._of(work.fold)
        booster = xgb.train(
            {**fit.FIXED, **self._data.aims.params, **fit.whole(work.params)},
            train,
            MAX_ROUNDS,
            evals=[(held, "held")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        return Done(
            trial=work.trial,
            fold=work.fold,
            loss=self._data.aims.loss(float(booster.best_score)),
            rounds=int(booster.best_iteration) + 1,
        )

    def _of(self, number: int) -> tuple[xgb.DMatrix, xgb.DMatrix]:
        if number not in self._matrices:
            fold = self._data.folds[number]
            # the held rows stay unbinned: a category the fold never saw is judged as it is served
            self._matrices[number] = (
                fit.binned(self._data, fold.train),
                fit.matrix(xgb.DMatrix, self._data, fold.held),
            )
        return self._matrices[number]
