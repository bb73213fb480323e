"""How fast parameters are searched: our pool beside plain Optuna and Ray Tune, in one run.

Speed: all evaluate the same sets of parameters, to the end, on the same folds, with the same loss,
in turn; the losses are compared. Plain Optuna is `study.optimize` with n_jobs=1 and two threads for
XGBoost; Ray Tune is a `Tuner` with OptunaSearch and a core to a trial. Starting Ray is timed apart.

Time to best: plain Optuna searches so many trials; how long until it has its final best, and how
long until we have one as good? Over seeds and targets, with its own pruner (the median) and not.
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

TARGETS = ("lead_qualification", "opportunity_win", "opportunity_dropout")
TRIALS, SEEDS, ROUNDS, WORKERS = 24, 5, 5, 2
RAY_TUNE_ROUNDS = 1  # it takes minutes
LONGER = 5  # times as many trials as the peer's, until we give up to be as good
NEVER = float("inf")

type Figures = dict[str, Any]


def main() -> None:
    """Measure, and print what was found."""
    with tempfile.TemporaryDirectory(prefix="bench-tuning-") as folder:
        home = Path(folder)
        found = dict(zip(TARGETS, tuning_data.rows(home / "world", TARGETS), strict=True))
        first = found[TARGETS[0]]
        figures: Figures = {
            "rows": len(first.label),
            "features": first.matrix.shape[1],
            "trials": TRIALS,
            "load": round(os.getloadavg()[0], 1),
        }
        figures |= _speed(first, home)
        figures |= _to_best(found, home)
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


def _to_best(found: dict[str, fit.Data], home: Path) -> Figures:
    """Return per way of the peer the median over seeds of the ratios, geometric means of targets,
    and the median of each target.
    """
    figures: Figures = {}
    for name, prune in (("", True), ("_unpruned", False)):
        ratios = np.array(
            [
                [_ratio(data, home / target, seed, prune=prune) for target, data in found.items()]
                for seed in range(SEEDS)
            ]
        )
        by_seed = np.prod(ratios, axis=1) ** (1 / len(found))
        figures[f"time_to_best_vs_optuna{name}"] = round(float(np.median(by_seed)), 2)
        medians = np.median(ratios, axis=0).round(2).tolist()
        figures[f"time_to_best_by_target{name}"] = dict(zip(found, medians, strict=True))
    return figures


def _ratio(data: fit.Data, folder: Path, seed: int, *, prune: bool) -> float:
    """Return the peer's time to its final best over ours to one as good."""
    _, path = tuning_peers.plain(data, TRIALS, seed, prune=prune)
    goal = path[-1][1]
    theirs = next(at for at, best in path if best <= goal)
    ours = _reached(data, folder / f"{seed}{prune}.log", seed, goal)
    said = f"{folder.name}, seed {seed}, {'pruned' if prune else 'unpruned'}"
    sys.stdout.write(f"{said}: {goal:.5f} in {theirs:.2f} s, ours {ours:.2f} s\n")
    sys.stdout.flush()
    return theirs / ours


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
