"""Arrivals of a step: units that are new, each with a stratum and a group drawn for it.

A unit that arrives in a step takes part in it with chance one half, which is right on average for
an arrival at any moment of the step. Those that do come before those that do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from serving.forecast.bare import INNER
from serving.forecast.luck import BEGINS, KIND, Chance
from serving.forecast.philox import uniform
from serving.forecast.state import NEW, State, World, enter

if TYPE_CHECKING:
    from serving.forecast.laws import Laws

_NOT_YET = np.uint64(2**63)  # marks names of what does not exist at T
_KIND_SHIFT, _STEP_SHIFT = np.uint64(48), np.uint64(32)
_HALF = 0.5


@njit(**INNER)
def arrive(state: State, world: World, laws: Laws, is_late: bool, chance: Chance) -> None:
    """Let those in that take part in this step, or (late) those that do from the next one on."""
    for kind in range(world.begins.size):
        for i in range(laws.arrivals[chance.step, kind]):
            name = _name(kind, chance.step, i)
            u = uniform(chance.seed, chance.draw, name, chance.step, BEGINS)
            if (u < _HALF) == is_late:
                _arrive(state, world, kind, name, is_late, chance)


@njit(cache=True, nogil=True, inline="always")
def _name(kind: int, step: int, i: int) -> np.uint64:
    high = np.uint64(kind) << _KIND_SHIFT | np.uint64(step) << _STEP_SHIFT
    return _NOT_YET | high | np.uint64(i)


@njit(cache=True, nogil=True, inline="always")
def _arrive(
    state: State, world: World, kind: int, name: np.uint64, is_late: bool, chance: Chance
) -> None:
    u = uniform(chance.seed, chance.draw, name, chance.step, KIND)
    groups = world.desk_of.size
    cell = min(_first_above(world.share[kind], u), world.share.shape[1] - 1)
    group = cell % groups
    drawn = (world.begins[kind], cell // groups, group, world.desk_of[group], NEW)
    enter(state, world, name, drawn, chance.step + int(is_late))


@njit(cache=True, nogil=True, inline="always")
def _first_above(rising: np.ndarray, u: float) -> int:
    """Return the place of the first element above u, by halves."""
    low, high = 0, rising.size
    while low < high:
        middle = (low + high) // 2
        if rising[middle] > u:
            high = middle
        else:
            low = middle + 1
    return low
