"""Fitted chances: averages of the effect have no bias that their intervals do not hold."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from serving.effects import measured, nuisances, scores
from serving.effects.nuisances import CHANCE, Asked, Recipe
from tests.bench import effects_data

if TYPE_CHECKING:
    from tests.bench.effects_data import Data

RUN = nuisances.inline(2)
N, PLACES = 4000, slice(0, None, 3)  # of the outcomes, which are alike


class Known(NamedTuple):
    """Rows, and what is expected of them."""

    data: Data
    value: np.ndarray  # (n, p)
    expected: np.ndarray  # (n, 2, p)


@cache
def known(seed: int) -> Known:
    """Return what every recipe of chances shares."""
    data = effects_data.drawn(N, seed)
    value = data.value[:, PLACES]
    asked = Asked(features=data.features, arm=data.arm, arms=2, value=value,
                  weight=np.ones(value.shape))  # fmt: skip
    return Known(data, value, nuisances.expected(asked, data.fold, RUN))


def missed(seed: int, recipe: Recipe) -> np.ndarray:
    """Return how far average effects on each outcome are from the truth, and their errors: (p, 2),
    of rows whose chances are learnt by a recipe.
    """
    data, value, expected = known(seed)
    none = np.zeros((N, 1))
    asked = Asked(features=data.features, arm=data.arm, arms=2, value=none, weight=none,
                  recipe=recipe)  # fmt: skip
    chance = np.clip(nuisances.chances(asked, data.fold, RUN), 0.05, 0.95)
    truth, found = data.effect[:, PLACES].mean(axis=0), []
    for number, each in enumerate(value.T):
        score = scores.scores(measured.certain(each), data.arm, chance, expected[:, :, number])
        told = scores.average(score[:, 1] - score[:, 0], np.arange(N))
        found.append((told.value - truth[number], told.sd))
    return np.array(found)


def test_fitted_chances_leave_no_bias() -> None:
    off = np.array([missed(seed, CHANCE) for seed in range(100, 104)])
    assert abs(off[..., 0].mean()) < 0.5 * off[..., 1].mean()


def test_smooth_chances_leave_one() -> None:
    """Mutant: chances as smooth as what is expected of outcomes."""
    off = np.array([missed(seed, Recipe()) for seed in range(100, 104)])
    assert off[..., 0].mean() > 0.5 * off[..., 1].mean()


@pytest.mark.drill
def test_intervals_by_fitted_chances_hold_as_often_as_they_say() -> None:
    off = np.array([missed(seed, CHANCE) for seed in range(200, 240)])
    held = (np.abs(off[..., 0]) < scores.Z90 * off[..., 1]).mean(axis=1)  # outcomes share a draw
    assert held.mean() >= 0.85, held.mean()
