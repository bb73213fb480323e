"""How fast parameters are searched: plain Optuna, our pool on threads, our pool on Ray actors.

The same rows, folds, budget, seed and pruning rule for all. Plain Optuna is `study.optimize` with
n_jobs=1: one trial after the other, matrices built anew in every trial, as its examples do; once
with one thread for XGBoost and once with all cores. Starting Ray is timed apart, and the load of
the machine is noted before each run: threads of one booster wait for each other on a busy one.
The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import xgboost as xgb

from cluster import session
from cluster.settings import Settings
from jobs.train import fit, pool, search, split
from jobs.train.evaluator import MAX_ROUNDS, PATIENCE, Evaluator

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, FEATURES = 10_000, 30
TRIALS, SEED, WORKERS = 24, 7, 2
BUDGET = search.Budget(trials=TRIALS, folds=split.FOLDS, seed=SEED)

type Figures = dict[str, Any]


def main() -> None:
    """Measure the three ways, each on a study of its own."""
    data = _data()
    figures: Figures = {"rows": ROWS, "features": FEATURES, "trials": TRIALS, "workers": WORKERS}
    with tempfile.TemporaryDirectory(prefix="bench-tune-") as folder:
        home = Path(folder)
        figures |= _timed("plain", lambda: _plain(data, home / "p1.log", 1))
        figures |= _timed("plain_threads", lambda: _plain(data, home / "p2.log", WORKERS))
        figures |= _timed("inline_one", lambda: _ours(data, home / "one.log", pool.inline_pool, 1))
        figures |= _timed(
            "inline", lambda: _ours(data, home / "two.log", pool.inline_pool, WORKERS)
        )
        began = time.monotonic()
        session.connect(Settings(home=home))
        figures["ray_start_s"] = round(time.monotonic() - began, 2)
        figures |= _timed("ray", lambda: _ours(data, home / "ray.log", pool.ray_pool, WORKERS))
        session.disconnect()
    figures["same_best"] = (
        figures["inline_one_best"] == figures["inline_best"] == figures["ray_best"]
    )
    for name in ("plain_threads", "inline_one", "inline", "ray"):
        speed = figures[f"{name}_trials_per_min"] / figures["plain_trials_per_min"]
        figures[f"{name}_speed_to_plain"] = round(speed, 2)
    sys.stdout.write(json.dumps(figures) + "\n")


def _timed(name: str, searched: Callable[[], float]) -> Figures:
    load, began = os.getloadavg()[0], time.monotonic()
    best = searched()
    seconds = time.monotonic() - began
    figures = {
        f"{name}_s": round(seconds, 2),
        f"{name}_trials_per_min": round(TRIALS / seconds * 60, 1),
        f"{name}_best": best,
        f"{name}_load_before": round(load, 1),
    }
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return figures


def _ours(data: fit.Data, path: Path, pooled: Any, workers: int) -> float:
    with (
        search.opened(path, "study") as study,
        pooled(Evaluator, data, workers) as evaluators,
    ):
        return search.search(study, evaluators, BUDGET).loss


def _plain(data: fit.Data, path: Path, threads: int) -> float:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = optuna.storages.journal.JournalFileBackend(str(path))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(file),
        sampler=optuna.samplers.TPESampler(seed=SEED, n_startup_trials=search.RANDOM_TRIALS),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=search.PRUNE_FROM),
    )
    study.enqueue_trial(search.FIRST)
    study.optimize(lambda trial: _objective(trial, data, threads), n_trials=TRIALS, n_jobs=1)
    return float(study.best_value)


def _objective(trial: optuna.Trial, data: fit.Data, threads: int) -> float:
    params = {name: _suggested(trial, name) for name in search.SPACE}
    losses: list[float] = []
    for number, fold in enumerate(data.folds):
        train, held = (
            xgb.DMatrix(data.matrix[rows], data.label[rows]) for rows in (fold.train, fold.held)
        )
        booster = xgb.train(
            {**fit.FIXED, **params, "nthread": threads},
            train,
            MAX_ROUNDS,
            evals=[(held, "held")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        losses.append(booster.best_score)
        trial.report(float(np.mean(losses)), number)
        if number + 1 < len(data.folds) and trial.should_prune():
            raise optuna.TrialPruned
    return float(np.mean(losses))


def _suggested(trial: optuna.Trial, name: str) -> float:
    space: Any = search.SPACE[name]
    whole = isinstance(space, optuna.distributions.IntDistribution)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(name, space.low, space.high, log=space.log)


def _data() -> fit.Data:
    rng = np.random.default_rng(SEED)
    matrix = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    logit = -2 + np.nan_to_num(matrix[:, :6]) @ np.array([0.8, -0.6, 0.5, 0.4, 0.3, 0.2])
    logit += np.nan_to_num(matrix[:, 0] * matrix[:, 1])
    label = (rng.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    return fit.Data(
        matrix=matrix,
        label=label,
        types=("q",) * FEATURES,
        folds=split.rolling(np.arange(ROWS), 0),
    )


if __name__ == "__main__":
    main()
