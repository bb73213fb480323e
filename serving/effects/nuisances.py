"""Nuisances: what is expected of each row in each arm, and the chance of each arm, by models that
never saw the row's cluster (cross-fitting: Chernozhukov et al. 2018, Econometrics J. 21, C1-C68).

Every fit takes one thread: its result does not depend on how many run at once, nor where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

FOLDS = 5
LEAST_ROWS = 40  # to grow trees from; fewer say their mean
BINS = 64

type Run = Callable[[np.ndarray, Sequence[Fit]], Iterable[np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How trees are grown."""

    rounds: int = 60
    depth: int = 2
    rate: float = 0.1
    leaf: float = 10.0  # least weight of a leaf

    @property
    def params(self) -> dict[str, object]:
        """The same for XGBoost."""
        return {
            "max_depth": self.depth, "eta": self.rate, "min_child_weight": self.leaf,
            "max_bin": BINS, "tree_method": "hist", "nthread": 1, "verbosity": 0, "seed": 0,
        }  # fmt: skip


# A chance that is too smooth is wrong where the outcome's model is wrong too, and the product of
# both errors is a bias that no standard error holds; one that is too rough costs some width. So its
# trees grow deeper and longer than likelihood would have them: undersmoothing (Newey and Robins
# 2018, arXiv 1801.09138), bounded by the least weight of a leaf.
CHANCE = Recipe(rounds=100, depth=5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """One task: models of several outcomes, learnt from some rows, asked about others."""

    train: np.ndarray  # (t,) int64, places
    asked: np.ndarray  # (m,) int64, places
    value: np.ndarray  # (t, p) float64
    weight: np.ndarray  # (t, p) float64
    recipe: Recipe
    is_chance: bool = False  # a logistic model; else least squares


def folds(cluster: np.ndarray, rng: np.random.Generator, count: int = FOLDS) -> np.ndarray:
    """Return the fold of each row, (n,) int64: all of a cluster in one, of nearly equal size."""
    names, place = np.unique(cluster, return_inverse=True)
    order = rng.permutation(len(names))
    return np.asarray((order % count)[place], np.int64)


def fitted(features: np.ndarray, fit: Fit) -> np.ndarray:
    """Do a task: return predictions (m, p) float64."""
    found = np.empty((len(fit.asked), fit.value.shape[1]))
    if len(fit.train) < LEAST_ROWS:
        total = np.maximum(fit.weight.sum(axis=0), 1e-300)
        found[:] = (fit.weight * fit.value).sum(axis=0) / total
        return found
    data = xgb.QuantileDMatrix(features[fit.train], max_bin=BINS, nthread=1)
    rows = features[fit.asked]
    if fit.value.shape[1] > 1 and not fit.is_chance:
        return _together(data, rows, fit)
    for place in range(fit.value.shape[1]):
        found[:, place] = _one(data, rows, fit, place)
    return found


def _together(data: xgb.QuantileDMatrix, rows: np.ndarray, fit: Fit) -> np.ndarray:
    """Return predictions of several outcomes by trees whose leaves hold all of them: least
    squares, each outcome on the scale of its spread, with its own weights.
    """
    weight, total = fit.weight, np.maximum(fit.weight.sum(axis=0), 1e-300)
    start = (weight * fit.value).sum(axis=0) / total
    spread = np.sqrt((weight * (fit.value - start) ** 2).sum(axis=0) / total)
    scale = np.where(spread > 0.0, spread, 1.0)
    aim, hess = (fit.value - start) / scale, weight.astype(np.float32)
    data.set_info(label=aim.astype(np.float32))
    params = {**fit.recipe.params, "multi_strategy": "multi_output_tree", "base_score": 0.0,
              "objective": "reg:squarederror"}  # fmt: skip
    booster = xgb.Booster(params, [data])
    if (weight == 1.0).all():
        for number in range(fit.recipe.rounds):
            booster.update(data, number)
    else:
        for number in range(fit.recipe.rounds):
            off = booster.predict(data, output_margin=True, training=True) - aim
            grad = (off * weight).astype(np.float32)
            booster.boost(data, number, grad=grad, hess=hess)
    guess = start + scale * np.asarray(booster.inplace_predict(rows), np.float64)
    there = np.where(weight > 0, fit.value, np.nan)
    with np.errstate(all="ignore"):
        low, high = (np.nan_to_num(f(there, axis=0)) for f in (np.nanmin, np.nanmax))
    return np.asarray(np.clip(guess, low, high))


def _one(data: xgb.QuantileDMatrix, rows: np.ndarray, fit: Fit, place: int) -> np.ndarray:
    value, weight = fit.value[:, place], fit.weight[:, place]
    there = weight > 0
    if not there.any() or np.ptp(value[there]) == 0.0:
        return np.full(len(rows), value[there].mean() if there.any() else 0.0)
    data.set_info(label=value.astype(np.float32), weight=weight.astype(np.float32))
    objective = "binary:logistic" if fit.is_chance else "reg:squarederror"
    start = float(np.average(value, weights=weight))
    params = {**fit.recipe.params, "objective": objective, "base_score": start}
    booster = xgb.Booster(params, [data])
    for number in range(fit.recipe.rounds):  # as xgb.train, which does more around it
        booster.update(data, number)
    guess = np.asarray(booster.inplace_predict(rows), np.float64)
    return np.asarray(np.clip(guess, value[there].min(), value[there].max()))


def inline(threads: int) -> Run:
    """Return what does tasks in threads of this process."""

    def run(features: np.ndarray, tasks: Sequence[Fit]) -> Iterable[np.ndarray]:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda task: fitted(features, task), tasks))

    return run


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What outcomes are to be expected from; n rows, p outcomes."""

    features: np.ndarray  # (n, f) float32
    arm: np.ndarray  # (n,) int64
    arms: int
    value: np.ndarray  # (n, p) float64
    weight: np.ndarray  # (n, p) float64
    recipe: Recipe = Recipe()

    def task(self, train: np.ndarray, asked: np.ndarray, arm: int) -> Fit:
        """Return the task for the rows of an arm."""
        places = np.flatnonzero(train & (self.arm == arm))
        return Fit(
            train=places,
            asked=np.flatnonzero(asked),
            value=self.value[places],
            weight=self.weight[places],
            recipe=self.recipe,
        )


def expected(asked: Asked, fold: np.ndarray, run: Run) -> np.ndarray:
    """Return what is expected of each row in each arm by models of the other folds: (n, arms,
    p).
    """
    tasks = [
        asked.task(fold != each, fold == each, arm)
        for each in range(int(fold.max()) + 1)
        for arm in range(asked.arms)
    ]
    found = np.empty((len(asked.arm), asked.arms, asked.value.shape[1]))
    for number, guess in enumerate(run(asked.features, tasks)):
        found[tasks[number].asked, number % asked.arms] = guess
    return found


def chances(asked: Asked, fold: np.ndarray, run: Run) -> np.ndarray:
    """Return the chance of each arm by models of the other folds, rows sum to one: (n, arms)."""
    # of two arms one model tells both
    told = np.arange(asked.arms) if asked.arms > 2 else np.array([1])
    drawn = (asked.arm[:, None] == told).astype(np.float64)
    tasks = [
        Fit(
            train=np.flatnonzero(fold != each),
            asked=np.flatnonzero(fold == each),
            value=drawn[fold != each],
            weight=np.ones_like(drawn[fold != each]),
            recipe=asked.recipe,
            is_chance=True,
        )
        for each in range(int(fold.max()) + 1)
    ]
    found = np.empty(drawn.shape)
    for task, guess in zip(tasks, run(asked.features, tasks), strict=True):
        found[task.asked] = guess
    if asked.arms == 2:
        return np.column_stack([1.0 - found, found])
    return np.asarray(found / found.sum(axis=1, keepdims=True))
