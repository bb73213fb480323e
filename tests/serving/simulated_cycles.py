"""Retrainings on what a policy left over, to see whether a model still knows those whom it works.

What is predicted is the chance of a lead that nobody works. The policy works the likeliest, who
then convert more often, so that their chance unworked is seen only where exploration left them
alone. What makes leads convert turns a little from cycle to cycle, as markets do, and a model
learns from the last two cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import xgboost as xgb

from serving.calibrator import sigmoid
from serving.releases.exploring import Explore, Lot, weights

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]
    type Lesson = tuple[Floats, Floats, Floats]  # features, outcomes, weights

CYCLES, WINDOW = 5, 2
WORKED = 0.3  # share of the leads whom the policy works
LIFT, TURN = 1.2, 0.25  # log-odds that work adds; radians in a cycle
ROUTES = ("work", "leave")
BEGAN = datetime(2026, 1, 15, tzinfo=UTC)
PARAMS = {
    "objective": "binary:logistic", "tree_method": "hist", "max_depth": 3, "eta": 0.2,
    "min_child_weight": 20, "nthread": 1, "seed": 0,
}  # fmt: skip
ROUNDS = 45


@dataclass(frozen=True, kw_only=True)
class Off:
    """How far a model is off, on leads that nobody works."""

    everywhere: float  # expected calibration error over ten bins of leads
    at_the_top: float  # the chance that it says of whom it would work, less what is true of them


def run(seed: int, leads: int, explore: Explore | None, *, is_weighed: bool = True) -> list[Off]:
    """Return how far the model is off after each cycle."""
    rng, found = np.random.default_rng(seed), []
    x, chance = _world(rng, leads, 0)
    lessons = [(x, _drawn(rng, chance), np.ones(leads))]
    model = _learnt(lessons)
    for cycle in range(1, CYCLES + 1):
        lesson = _lived(rng, leads, cycle, model, explore)
        lessons = [*lessons, lesson if is_weighed else (*lesson[:2], np.ones(len(lesson[1])))]
        lessons = lessons[-WINDOW:]
        model = _learnt(lessons)
        found.append(_off(model, *_world(np.random.default_rng(10_000 + cycle), 10_000, cycle)))
    return found


def _world(rng: Generator, leads: int, cycle: int) -> tuple[Floats, Floats]:
    """Return the features of leads, and the chance of each if nobody works them."""
    x = rng.normal(size=(leads, 4))
    heading = np.array([np.cos(TURN * cycle), np.sin(TURN * cycle)])
    return x, sigmoid(-1.6 + 1.6 * (x[:, :2] @ heading) + 0.3 * x[:, 2])


def _lived(
    rng: Generator, leads: int, cycle: int, model: xgb.Booster, explore: Explore | None
) -> Lesson:
    """Return what is learnt from a cycle: those whom nobody worked, and what became of them."""
    x, chance = _world(rng, leads, cycle)
    worked, propensities = _routed(_said(model, x), cycle, explore)
    lifted = sigmoid(np.log(chance / (1 - chance)) + LIFT * worked)
    outcome = _drawn(rng, lifted)
    return x[~worked], outcome[~worked], weights(propensities[~worked])


def _routed(said: Floats, cycle: int, explore: Explore | None) -> tuple[NDArray[np.bool_], Floats]:
    """Return who is worked, and the propensity of what became of each."""
    own = np.where(said >= np.quantile(said, 1 - WORKED), *ROUTES)
    if explore is None:
        return own == ROUTES[0], np.ones(len(said))
    lot, at = Lot(policy="cycles", explore=explore), BEGAN + timedelta(days=92 * cycle)
    drawn = [lot.drawn(f"account-{n}", at, str(route)) for n, route in enumerate(own)]
    worked = np.array([route == ROUTES[0] for route, _, _ in drawn])
    return worked, np.array([told.propensity for _, told, _ in drawn])


def _learnt(lessons: list[Lesson]) -> xgb.Booster:
    x, outcome, weight = (np.concatenate(each) for each in zip(*lessons, strict=True))
    rows = xgb.QuantileDMatrix(x, outcome, weight=weight, nthread=1)
    return xgb.train(PARAMS, rows, ROUNDS)


def _off(model: xgb.Booster, x: Floats, chance: Floats) -> Off:
    said = _said(model, x)
    top = said >= np.quantile(said, 1 - WORKED)
    tenths = np.array_split(np.argsort(said, kind="stable"), 10)
    errors = [abs(float(said[each].mean() - chance[each].mean())) for each in tenths]
    return Off(
        everywhere=float(np.mean(errors)),
        at_the_top=float(said[top].mean() - chance[top].mean()),
    )


def _said(model: xgb.Booster, x: Floats) -> Floats:
    return np.asarray(model.inplace_predict(x), np.float64)


def _drawn(rng: Generator, chance: Floats) -> Floats:
    return (rng.random(len(chance)) < chance).astype(np.float64)
