"""How fast parameters are searched: our pool beside plain Optuna and Ray Tune, in one run.

Speed: all evaluate the same sets of parameters, to the end, on the same folds, with the same loss,
in turn; the losses are compared. Plain Optuna is `study.optimize` with n_jobs=1 and two threads for
XGBoost; Ray Tune is a `Tuner` with OptunaSearch and a core to a trial. Starting Ray is timed apart.

Time to best: plain Optuna searches so many trials; how long until it has its final best, and how
long until we have one as good? By seeds of both; with and without its own pruner (the median).
The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster import session
from cluster.settings import Settings
from jobs.train import fit, pool, search, study
from jobs.train.evaluator import Evaluator
from tests.bench import tuning_data, tuning_peers

if TYPE_CHECKING:
    from collections.abc import Callable

TARGETS = ("lead_qualification", "opportunity_dropout")
TRIALS, SEEDS, ROUNDS, WORKERS = 24, 5, 5, 2
RAY_TUNE_ROUNDS = 1  # it takes minutes
LONGER = 5  # times as many trials as the peer's, until we give up to be as good
NEVER = float("inf")

type Figures = dict[str, Any]


def main() -> None:
    """Measure, and print what was found."""
    with tempfile.TemporaryDirectory(prefix="bench-tuning-") as folder:
        home = Path(folder)
        first, second = tuning_data.rows(home / "world", TARGETS)
        figures: Figures = {
            "rows": len(first.label),
            "features": first.matrix.shape[1],
            "trials": TRIALS,
            "load": round(os.getloadavg()[0], 1),
        }
        figures |= _speed(first, home)
        for name, data in zip(TARGETS, (first, second), strict=True):
            found = _to_best(data, home / name)
            figures |= found if data is first else {f"{name}_{k}": v for k, v in found.items()}
    sys.stdout.write(json.dumps(figures) + "\n")


def _speed(data: fit.Data, home: Path) -> Figures:
    began = time.monotonic()
    session.connect(Settings(home=home))
    figures: Figures = {"ray_start_s": round(time.monotonic() - began, 2)}
    found: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        losses: dict[str, list[float]] = {}
        for name, way in _ways(data, home, number).items():
            began = time.monotonic()
            losses[name] = sorted(way())
            found.setdefault(name, []).append(time.monotonic() - began)
        _must_agree(losses)
    session.disconnect()
    per_minute = {n: TRIALS / statistics.median(each) * 60 for n, each in found.items()}
    figures |= {f"{name}_trials_per_min": round(each, 1) for name, each in per_minute.items()}
    figures |= {
        "vs_optuna": round(per_minute["ours"] / per_minute["optuna"], 2),
        "on_ray_vs_optuna": round(per_minute["ours_on_ray"] / per_minute["optuna"], 2),
        "vs_ray_tune": round(per_minute["ours_on_ray"] / per_minute["ray_tune"], 2),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return figures


def _ways(data: fit.Data, home: Path, number: int) -> dict[str, Callable[[], list[float]]]:
    start = tuning_data.drawn(TRIALS, number)
    ways: dict[str, Callable[[], list[float]]] = {
        "optuna": lambda: tuning_peers.plain(data, TRIALS, number, start)[0],
        "ours": lambda: _ours(data, home / f"i{number}.log", pool.inline_pool, start),
        "ours_on_ray": lambda: _ours(data, home / f"r{number}.log", pool.ray_pool, start),
    }
    if number < RAY_TUNE_ROUNDS:
        ways["ray_tune"] = lambda: tuning_peers.ray_tune(data, start, number, home / "tune")
    return ways


def _must_agree(losses: dict[str, list[float]]) -> None:
    for name, each in losses.items():
        assert len(each) == TRIALS, (name, len(each))
        assert np.allclose(each, losses["ours"], rtol=0, atol=1e-6), name


def _ours(data: fit.Data, path: Path, pooled: Any, start: tuple[Any, ...]) -> list[float]:
    budget = search.Budget(
        trials=TRIALS, folds=len(data.folds), seed=0, is_pruned=False, start=start
    )
    with (
        study.opened(path, path.name, WORKERS) as opened,
        pooled(Evaluator, (data,), WORKERS) as evaluators,
    ):
        search.search(opened, evaluators, budget)
        return [trial.value for trial in opened.trials if trial.value is not None]


def _to_best(data: fit.Data, home: Path) -> Figures:
    found: dict[str, list[float]] = {"": [], "_unpruned": []}
    for seed in range(SEEDS):
        for name, ratios in found.items():
            _, path = tuning_peers.plain(data, TRIALS, seed, prune=not name)
            goal = path[-1][1]
            theirs = next(at for at, best in path if best <= goal)
            ours = _reached(data, home / f"{seed}{name}.log", seed, goal)
            ratios.append(theirs / ours)
            sys.stdout.write(f"seed {seed}{name}: {goal:.5f} in {theirs:.2f} s, ours {ours:.2f}\n")
            sys.stdout.flush()
    return {
        key: value
        for name, ratios in found.items()
        for key, value in (
            (f"time_to_best_vs_optuna{name}", round(statistics.median(ratios), 2)),
            (f"time_to_best_by_seed{name}", [round(ratio, 2) for ratio in ratios]),
        )
    }


class _Found(Exception):
    """The goal is reached."""


def _reached(data: fit.Data, path: Path, seed: int, goal: float) -> float:
    """Return the seconds until our search has a trial as good as the goal."""
    budget = search.Budget(trials=TRIALS * LONGER, folds=len(data.folds), seed=seed)
    began = time.monotonic()
    with (
        study.opened(path, path.name, WORKERS) as opened,
        pool.inline_pool(Evaluator, (data,), WORKERS) as evaluators,
    ):

        def told(done: int) -> None:
            finished = opened.get_trials(deepcopy=False, states=(search.FINISHED[0],))
            if any(trial.value <= goal for trial in finished if trial.value is not None):
                raise _Found

        try:
            search.search(opened, evaluators, budget, told)
        except _Found:
            return time.monotonic() - began
    return NEVER


if __name__ == "__main__":
    main()
