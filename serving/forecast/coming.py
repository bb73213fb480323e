"""Arrivals of a step: units that are new, each with a stratum and a group drawn for it.

A unit that arrives in a step takes part in it with chance one half, which is right on average for
an arrival at any moment of the step. Those that do come before those that do not. All that is drawn
for an arrival are words of one block: the first two for its stratum and group, the third for when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from serving.forecast.bare import INNER
from serving.forecast.luck import BEGINS, Chance, fill
from serving.forecast.philox import of_words
from serving.forecast.state import NEW, PLACES, State, World, enter

if TYPE_CHECKING:
    from serving.forecast.laws import Laws

_NOT_YET = np.uint64(2**63)  # marks names of what does not exist at T
_KIND_SHIFT, _STEP_SHIFT = np.uint64(48), np.uint64(32)
_KINDS = np.uint64(0xFF)
_HALF = 2**31  # of all words


@njit(**INNER)
def arrive(state: State, world: World, laws: Laws, chance: Chance) -> int:
    """Let in who arrives; return the first place of those that take part from the next step on."""
    n = _name(state.names, laws.arrivals[chance.step], chance.step)
    fill(state.drawn, state.names[:n], 0, chance, BEGINS)
    for i in range(_early(state.drawn[2, :n], state.found)):
        _arrive(state, world, state.found[i], chance.step)
    reach = state.size[PLACES]
    for i in range(_late(state.drawn[2, :n], state.found)):
        _arrive(state, world, state.found[i], chance.step + 1)
    return int(reach)


@njit(cache=True, nogil=True, inline="always")
def _name(names: np.ndarray, arrivals: np.ndarray, step: int) -> int:
    """Write the names of those that arrive in a step, by kind, and return how many they are."""
    n = 0
    for kind in range(arrivals.size):
        high = _NOT_YET | np.uint64(kind) << _KIND_SHIFT | np.uint64(step) << _STEP_SHIFT
        for i in range(arrivals[kind]):
            names[n + i] = high | np.uint64(i)
        n += arrivals[kind]
    return n


@njit(cache=True, nogil=True, inline="always")
def _early(words: np.ndarray, found: np.ndarray) -> int:
    """Write who takes part in this step, without a branch, and return how many they are."""
    n = 0
    for i in range(words.size):
        found[n] = i
        n += int(words[i] >= _HALF)
    return n


@njit(cache=True, nogil=True, inline="always")
def _late(words: np.ndarray, found: np.ndarray) -> int:
    """Write who does not, and return how many they are."""
    n = 0
    for i in range(words.size):
        found[n] = i
        n += int(words[i] < _HALF)
    return n


@njit(cache=True, nogil=True, inline="always")
def _arrive(state: State, world: World, i: int, entered: int) -> None:
    """Let one in who may first move in the step `entered`."""
    name, words = state.names[i], state.drawn
    kind = np.int64((name >> _KIND_SHIFT) & _KINDS)
    groups, u = world.desk_of.size, of_words(words[0, i], words[1, i])
    cell = _first_above(world.share[kind], world.guide[kind], u)
    group = cell % groups
    drawn = (world.begins[kind], cell // groups, group, world.desk_of[group], NEW)
    enter(state, world, name, drawn, entered)


@njit(cache=True, nogil=True, inline="always")
def _first_above(rising: np.ndarray, guide: np.ndarray, u: float) -> int:
    """Return the place of the first element above u, else the last. guide is state.guides: the
    search begins at most a few places before it.
    """
    found, last = guide[int(u * guide.size)], rising.size - 1
    while found < last and rising[found] <= u:
        found += 1
    return int(found)
