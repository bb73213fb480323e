"""The peers of tuning, as their documentation shows them: plain Optuna, and Ray Tune with Optuna.

Both take the folds, the space and the loss that we take, and build their matrices in each trial.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import xgboost as xgb

from jobs.train import fit
from jobs.train.evaluator import MAX_ROUNDS, PATIENCE
from jobs.train.space import SPACE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobs.train.pool import Params

THREADS = 2

type Path_ = list[tuple[float, float]]  # seconds since the start, best loss so far


def plain(
    data: fit.Data, trials: int, seed: int, start: tuple[Params, ...] = (), *, prune: bool = False
) -> tuple[list[float], Path_]:
    """Search by `study.optimize`, one trial after the other; return losses and the path."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    for params in start:
        study.enqueue_trial(params)
    path: Path_ = []
    began = time.monotonic()

    def note(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.state == optuna.trial.TrialState.COMPLETE:
            path.append((time.monotonic() - began, study.best_value))

    study.optimize(lambda trial: _objective(trial, data), trials, n_jobs=1, callbacks=[note])
    return [trial.value for trial in study.trials if trial.value is not None], path


def ray_tune(data: fit.Data, start: tuple[Params, ...], seed: int, folder: Path) -> list[float]:
    """Search by `Tuner.fit` with OptunaSearch, one core to a trial; return losses."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def trainable(config: Params, data: fit.Data) -> None:
        losses = [loss_of(data, fold, config, 1) for fold in range(len(data.folds))]
        tune.report({"loss": float(np.mean(losses))})

    search = OptunaSearch(
        space=_asked, metric="loss", mode="min", points_to_evaluate=list(start), seed=seed
    )
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, data=data), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=search, num_samples=len(start), metric="loss", mode="min"
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    return [result.metrics["loss"] for result in tuner.fit()]


def loss_of(data: fit.Data, fold: int, params: Params, threads: int) -> float:
    """Train one fold with early stopping and return its loss."""
    rows = data.folds[fold]
    train, held = (_matrix(data, part, threads) for part in (rows.train, rows.held))
    booster = xgb.train(
        {**fit.FIXED, **data.aims.params, **fit.whole(params), "nthread": threads},
        train,
        MAX_ROUNDS,
        evals=[(held, "held")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    return data.aims.loss(float(booster.best_score))


def _matrix(data: fit.Data, rows: np.ndarray, threads: int) -> xgb.DMatrix:
    return xgb.DMatrix(
        data.matrix[rows],
        data.label[rows],
        feature_types=list(data.types),
        enable_categorical=True,
        nthread=threads,
    )


def _objective(trial: optuna.Trial, data: fit.Data) -> float:
    params = _asked(trial)
    losses: list[float] = []
    for fold in range(len(data.folds)):
        losses.append(loss_of(data, fold, params, THREADS))
        trial.report(float(np.mean(losses)), fold)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(np.mean(losses))


def _asked(trial: optuna.Trial) -> Params:
    return {name: _suggested(trial, name) for name in SPACE}


def _suggested(trial: optuna.Trial, name: str) -> float:
    space: Any = SPACE[name]
    whole = isinstance(space, optuna.distributions.IntDistribution)
    suggest: Callable[..., float] = trial.suggest_int if whole else trial.suggest_float
    return suggest(name, space.low, space.high, log=space.log)
