"""The effect of every row on nine outcomes, and on average: ours and EconML's DRLearner, on planted
data.

Both have the same rows, the same five folds, and XGBoost with the same parameters, RECIPE for the
outcomes and the last stage; both have one thread. Chances of treatment are learnt by
`nuisances.CHANCE`; by EconML twice, by that (`deep`), and by RECIPE (`smooth`), which suits the
effects of its rows better. Each of its figures is the better of both; those of either are under
`econml_of`. EconML's learner takes one outcome, and learns the chances again for each; ours learns
them once, grows trees of outcomes arm by arm whose leaves hold all outcomes, and weighs the last
stage by precision. The outcomes are alike, as those of one action at several horizons are: trees
that share their splits gain from that, as EconML's cannot.

`error_ratio` is the root mean square error of the rows' effects, ours over theirs, each averaged
over outcomes and seeds; `average_error_ratio` that of the average effects. `intervals_held` is the
share of the 90 % intervals of average effects that hold the truth, `intervals_held_fresh` that of
other draws of rows, `bias_fresh` the mean error there. `vs_econml_time` is by the clock, for all
outcomes, `_processor` by the time of processors, `_one_outcome` by the clock for one. Each is timed
after its imports and after a first fit of few rows, in turn. EconML has an environment of its own
in the workspace, made once.

The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cluster.settings import load_settings
from serving.effects import measured, nuisances, scores, targeting
from serving.effects.nuisances import Asked, Fit, Recipe
from tests.bench import effects_data
from tests.bench.apart import environment

if TYPE_CHECKING:
    from tests.bench.effects_data import Data

ROWS, SEEDS, THREADS = 20_000, 3, 1
VERSION = "0.17.0"
RECIPE = Recipe(rounds=100, depth=3, rate=0.1, leaf=10.0)
LOWEST = 0.01
FRESH = range(1000, 1009)

type Figures = dict[str, Any]


class Ours(NamedTuple):
    """What ours found of one seed, and what it took."""

    effect: np.ndarray  # (n, OUTCOMES)
    average: list[scores.Average]
    seconds: float
    processor: float
    alone: float  # by the clock, one outcome


def main() -> Figures:
    """Measure both."""
    with tempfile.TemporaryDirectory(prefix="bench-effects-") as made:
        folder = Path(made)
        told = [effects_data.drawn(ROWS, seed) for seed in range(SEEDS)]
        for seed, data in enumerate(told):
            np.savez(folder / f"data-{seed}.npz", **data._asdict())
        _learnt(effects_data.drawn(500, 0))
        ours = [_timed(data) for data in told]
        theirs = _econml(folder)
        counts = {"rows": ROWS, "outcomes": effects_data.OUTCOMES, "seeds": SEEDS}
        return {**counts, **_figures(told, ours, theirs)}


def _timed(data: Data) -> Ours:
    begun = time.perf_counter()
    _learnt(data._replace(value=data.value[:, :1]))
    alone = time.perf_counter() - begun
    begun, used = time.perf_counter(), time.process_time()
    effect, average = _learnt(data)
    seconds = time.perf_counter() - begun
    return Ours(effect, average, seconds, time.process_time() - used, alone)


def _learnt(data: Data) -> tuple[np.ndarray, list[scores.Average]]:
    """Return the effects of each row, and their averages with errors."""
    run, every = nuisances.inline(THREADS), np.arange(len(data.arm))
    contrast, chance = _scored(data)
    weight = targeting.precision(chance)[:, None] * np.ones(data.value.shape)
    halves = np.array_split(np.arange(data.value.shape[1]), THREADS)
    tasks = [
        Fit(train=every, asked=every, value=contrast[:, half], weight=weight[:, half],
            recipe=RECIPE)
        for half in halves if len(half)
    ]  # fmt: skip
    effect = np.column_stack(list(run(data.features, tasks)))
    return effect, _averages(contrast)


def _scored(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of the effect, and the chances (n, 2)."""
    run, ones = nuisances.inline(THREADS), np.ones(data.value.shape)
    asked = Asked(features=data.features, arm=data.arm, arms=2, value=data.value, weight=ones,
                  recipe=RECIPE)  # fmt: skip
    drawn = replace(asked, recipe=nuisances.CHANCE)
    chance = np.clip(nuisances.chances(drawn, data.fold, run), LOWEST, 1 - LOWEST)
    expected, contrast = nuisances.expected(asked, data.fold, run), np.empty(data.value.shape)
    for number, value in enumerate(data.value.T):
        told = measured.certain(value)
        score = scores.scores(told, data.arm, chance, expected[:, :, number])
        contrast[:, number] = score[:, 1] - score[:, 0]
    return contrast, chance


def _averages(contrast: np.ndarray) -> list[scores.Average]:
    return [scores.average(column, np.arange(len(contrast))) for column in contrast.T]


def _econml(folder: Path) -> Figures | None:
    """Return what EconML's process says; None where it cannot be installed."""
    home = load_settings(os.environ).home
    python = environment(home, "econml", VERSION, [f"econml=={VERSION}", "xgboost-cpu>=3.4,<3.5"])
    if python is None:
        return None
    params = {
        name: {"outcome": _params(RECIPE), "chance": _params(chance)}
        for name, chance in (("deep", nuisances.CHANCE), ("smooth", RECIPE))
    }
    (folder / "params.json").write_text(json.dumps(params))
    worker = Path(__file__).with_name("effects_econml_worker.py")
    told = subprocess.run(
        [python, worker, folder], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(THREADS)},
    )  # fmt: skip
    said: Figures = json.loads(told.stdout.splitlines()[-1])
    for name, of in said["of"].items():
        of["effects"] = [np.load(folder / f"{name}-{seed}.npy") for seed in range(SEEDS)]
    return said


def _params(recipe: Recipe) -> Figures:
    return {
        "n_estimators": recipe.rounds, "max_depth": recipe.depth, "learning_rate": recipe.rate,
        "min_child_weight": recipe.leaf, "max_bin": nuisances.BINS, "tree_method": "hist",
        "n_jobs": THREADS,
    }  # fmt: skip


def _fresh() -> Figures:
    """Return how often intervals hold for draws of rows that nothing was chosen by."""
    told = [effects_data.drawn(ROWS, seed) for seed in FRESH]
    found = [_averages(_scored(data)[0]) for data in told]
    off = [_wrong(data, average) for data, average in zip(told, found, strict=True)]
    return {
        "intervals_fresh": sum(map(len, found)),
        "intervals_held_fresh": _rounded(_held(told, found)),
        "bias_fresh": _rounded(np.mean(off)),
        "sd_fresh": _rounded(np.mean([each.sd for average in found for each in average])),
    }


def _wrong(data: Data, average: list[scores.Average]) -> np.ndarray:
    return np.array([each.value for each in average]) - data.effect.mean(axis=0)


def _figures(told: list[Data], ours: list[Ours], theirs: Figures | None) -> Figures:
    errors = [_error(data, each.effect) for data, each in zip(told, ours, strict=True)]
    averages = [each.average for each in ours]
    off = [np.abs(_wrong(d, mean)).mean() for d, mean in zip(told, averages, strict=True)]
    figures: Figures = {
        "seconds": _rounded(statistics.median(each.seconds for each in ours)),
        "processor_seconds": _rounded(statistics.median(each.processor for each in ours)),
        "error": _rounded(np.mean(errors)),
        "average_error": _rounded(np.mean(off)),
        "intervals_held": _rounded(_held(told, averages)),
        **_fresh(),
    }
    if theirs is None:
        return figures
    both = {name: _theirs(told, of) for name, of in theirs["of"].items()}
    best = {name: min(of[name] for of in both.values()) for name in both["deep"]}
    quickest = min(theirs["of"].values(), key=lambda of: statistics.median(of["seconds"]))
    return figures | {
        **{f"econml_{name}": _rounded(value) for name, value in best.items()},
        "vs_econml_time": _times(quickest["seconds"], [each.seconds for each in ours]),
        "vs_econml_processor": _times(quickest["processor"], [each.processor for each in ours]),
        "vs_econml_time_one_outcome": _times(quickest["alone"], [each.alone for each in ours]),
        "error_ratio": _rounded(np.mean(errors) / best["error"]),
        "average_error_ratio": _rounded(np.mean(off) / best["average_error"]),
        "econml": theirs["version"],
        "econml_of": {n: {k: _rounded(v) for k, v in of.items()} for n, of in both.items()},
    }


def _theirs(told: list[Data], of: Figures) -> dict[str, float]:
    """Return the figures of one recipe of theirs."""
    pairs = list(zip(told, of["effects"], strict=True))
    return {
        "seconds": statistics.median(of["seconds"]),
        "processor_seconds": statistics.median(of["processor"]),
        "error": float(np.mean([_error(data, effect) for data, effect in pairs])),
        "average_error": float(
            np.mean([_off(data, effect.mean(axis=0)) for data, effect in pairs])
        ),
    }


def _times(theirs: list[float], ours: list[float]) -> float:
    return _rounded(statistics.median(t / o for t, o in zip(theirs, ours, strict=True)))


def _error(data: Data, effect: np.ndarray) -> float:
    return float(np.sqrt(np.mean((effect - data.effect) ** 2, axis=0)).mean())


def _off(data: Data, mean: np.ndarray) -> float:
    return float(np.abs(mean - data.effect.mean(axis=0)).mean())


def _held(told: list[Data], averages: list[list[scores.Average]]) -> float:
    """Return the share of the 90 % intervals of average effects that held the truth."""
    pairs = [
        (each.interval, truth)
        for data, average in zip(told, averages, strict=True)
        for each, truth in zip(average, data.effect.mean(axis=0), strict=True)
    ]
    return float(np.mean([low <= truth <= high for (low, high), truth in pairs]))


def _rounded(value: float) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    print(json.dumps(main()))
