"""The evaluator: what a worker of the pool holds, and one fold of one trial. Repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xgboost as xgb

from jobs.train import fit
from jobs.train.pool import Done

if TYPE_CHECKING:
    from jobs.train.fit import Data
    from jobs.train.pool import Work

MAX_ROUNDS = 400
PATIENCE = 25  # rounds without a better loss before a fold stops


class Evaluator:
    """Evaluates folds; keeps the matrices of each, so a worker bins its rows once.

    One thread."""

    def __init__(self, data: tuple[Data, ...]) -> None:
        self._data = data
        self._matrices: dict[tuple[int, int], tuple[xgb.DMatrix, xgb.DMatrix]] = {}

    def evaluate(self, work: Work) -> Done:
        """Train one fold, stopping early, and return its loss.

        The loop is that of `xgb.train` with early stopping, without its callbacks: they cost as
        much as a tenth of the training of a few thousand rows.
        """
        aims, (train, held) = self._data[work.data].aims, self._of(work.data, work.fold)
        params = {**fit.FIXED, **aims.params, **fit.whole(work.params)}
        booster = _Booster(params, [train, held])
        best, at = float("inf"), 0
        for number in range(1, MAX_ROUNDS + 1):
            booster.update(train, number - 1)
            said = booster.eval_set([(held, "held")], number - 1)
            loss = aims.loss(float(said.rpartition(":")[2]))
            if loss < best:
                best, at = loss, number
            elif number - at >= PATIENCE:
                break
        return Done(data=work.data, trial=work.trial, fold=work.fold, loss=best, rounds=at)

    def _of(self, number: int, fold: int) -> tuple[xgb.DMatrix, xgb.DMatrix]:
        if (number, fold) not in self._matrices:
            data = self._data[number]
            rows = data.folds[fold]
            # the held rows stay unbinned: a category the fold never saw is judged as it is served
            self._matrices[number, fold] = (
                fit.binned(data, rows.train),
                fit.matrix(xgb.DMatrix, data, rows.held),
            )
        return self._matrices[number, fold]


class _Booster(xgb.Booster):
    """A booster that does not ask its matrices for names and types again in every round.

    They were checked when the matrices were made; asking takes as long as a tenth of the training
    of a few thousand rows. Were the method called otherwise, this would be slower, not wrong.
    """

    def _assign_dmatrix_features(self, data: xgb.DMatrix) -> None:
        pass
