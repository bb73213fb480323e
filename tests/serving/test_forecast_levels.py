"""What lasts of what all units share: planted levels, calendars and shocks, found and forecast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from serving.forecast import levels
from serving.forecast.levels import Level, Readings
from tests.drills import mostly

STEPS, AHEAD = 150, 4
WEIGHT = np.array([40.0, 12.0])  # of what a step's moves tell, by kind


@dataclass(frozen=True)
class Planted:
    """What is planted in the log odds of every step."""

    shock: float = 0.3
    walk: float = 0.0
    phi: float = 1.0
    effect: float = 0.0
    jump: float = 0.0  # from SHIFTED on


SHIFTED = 110
ENDS = (np.arange(STEPS + AHEAD) % 13 >= 11).astype(float)
COLUMNS = np.stack([np.zeros(STEPS + AHEAD), ENDS], axis=1)[:, :, None]


def planted(given: Planted, seed: int) -> tuple[Readings, np.ndarray]:
    """Return readings, and what all share beside the shocks in the steps to come."""
    rng, steps = np.random.default_rng(seed), STEPS + AHEAD
    lasts = np.zeros(steps)
    for step in range(1, steps):
        lasts[step] = given.phi * lasts[step - 1] + given.walk * rng.standard_normal()
    lasts += given.jump * (np.arange(steps) >= SHIFTED)
    shift = (lasts + given.shock * rng.standard_normal(steps))[:, None]
    shift = shift + given.effect * COLUMNS[..., 0] + rng.standard_normal((steps, 2)) / WEIGHT**0.5
    kept = shift[:STEPS]
    told = kept - kept.mean(axis=0)  # against the average chances of history
    return Readings(told, np.tile(WEIGHT, (STEPS, 1))), lasts[STEPS:] - kept[:, 0].mean()


def fitted(given: Planted, seed: int) -> Level:
    """Return what is learnt of planted readings."""
    return levels.fit(planted(given, seed)[0], COLUMNS[:STEPS])


def drawn(level: Level, draws: int = 300) -> np.ndarray:
    """Return draws of the level of the steps to come, float64 [draws, AHEAD]."""
    ahead = COLUMNS[STEPS:, 0]
    return np.array(
        [levels.sample(level, ahead, np.random.default_rng(draw)) for draw in range(draws)]
    )


@pytest.mark.parametrize("shock", [0.1, 0.3, 0.5])
def test_planted_shocks_are_found(shock: float) -> None:
    found = np.mean([levels.shock_sd(fitted(Planted(shock), seed)) for seed in range(10)])
    # from 150 steps an sd is known to 1 / sqrt(300), from ten times that to a third of it
    assert found == pytest.approx(shock, abs=0.06 * shock + 0.02)


def test_what_has_no_shocks_shows_next_to_none() -> None:
    assert np.mean([levels.shock_sd(fitted(Planted(0.0), seed)) for seed in range(5)]) < 0.05


def test_an_effect_of_the_calendar_is_found_and_what_is_none_is_not() -> None:
    found = [
        np.mean([levels.effects(fitted(Planted(effect=size), seed))[0] for seed in range(10)])
        for size in (0.0, 0.4)
    ]
    assert found[0] == pytest.approx(0.0, abs=0.06)
    assert 0.25 < found[1] < 0.45  # shrunk a little


def test_a_shift_is_followed_and_without_one_nothing_is() -> None:
    shifted, steady = (
        np.mean([levels.mean(fitted(Planted(jump=jump), seed), COLUMNS[STEPS:, 0])[0]
                 for seed in range(10)])
        for jump in (-1.0, 0.0)
    )  # fmt: skip
    truth = -SHIFTED / STEPS  # against the average of history
    assert shifted == pytest.approx(truth, abs=0.12)
    assert steady == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    "given",
    mostly([Planted(0.2, 0.16, 0.9), Planted(0.3), Planted(0.3, 0.06), Planted(0.1, 0.2, 0.6)]),
)
@pytest.mark.parametrize("is_mutant", [False, True])
def test_levels_to_come_are_as_uncertain_as_is_said(given: Planted, is_mutant: bool) -> None:
    """Mutant: what was learnt of the level is taken as known."""
    held = []
    for seed in range(40):
        readings, truth = planted(given, seed)
        level = levels.fit(readings, COLUMNS[:STEPS])
        if is_mutant:
            level = level._replace(root=0.0 * level.root, walk=0.0 * level.walk)
        low, high = np.quantile(drawn(level), (0.05, 0.95), axis=0)
        held.append((low <= truth) & (truth <= high))
    # 40 levels: 90 % less and more two standard errors
    assert (np.mean(held, axis=0)[[0, -1]] >= 0.8).all() != is_mutant


def test_where_nothing_lasts_the_level_is_known_to_the_root_of_the_steps() -> None:
    """Not to that of the units, which are as many as one likes: they share the shocks."""
    level = levels.fit(
        Readings(planted(Planted(0.4), 3)[0].shift, np.full((STEPS, 2), 1e6)), COLUMNS[:STEPS]
    )
    calm = level.chance * (level.walk == 0.0)
    spread = np.einsum("rij,rij->ri", level.root, level.root)[:, 0]
    assert np.sqrt(calm @ spread / calm.sum()) == pytest.approx(0.4 / np.sqrt(STEPS), rel=0.2)


def test_steps_that_tell_nothing_leave_what_was_believed() -> None:
    nothing = Readings(np.zeros((STEPS, 2)), np.zeros((STEPS, 2)))
    level = levels.fit(nothing, COLUMNS[:STEPS])
    prior = sum(chance for _, walk, chance in levels.WALKS if walk == 0.0)
    assert level.chance[level.walk == 0.0].sum() == pytest.approx(prior)
    assert not level.centre.any()


def test_draws_of_the_first_steps_do_not_depend_on_how_many_follow() -> None:
    level, ahead = fitted(Planted(walk=0.1), 0), COLUMNS[STEPS:, 0]
    few, all_ = (
        levels.sample(level, ahead[:steps], np.random.default_rng(5)) for steps in (2, AHEAD)
    )
    assert np.array_equal(few, all_[:2])


def test_draws_are_on_average_what_is_expected() -> None:
    level = fitted(Planted(walk=0.1, jump=-1.0), 1)
    draws = drawn(level, 2_000)
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (abs(draws.mean(axis=0) - levels.mean(level, COLUMNS[STEPS:, 0])) < 4.0 * error).all()
