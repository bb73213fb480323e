"""Arrivals of a step: units that are new, each with a stratum and a group drawn for it.

A unit that arrives in a step takes part in it with chance one half, which is right on average for
an arrival at any moment of the step. Those that do come before those that do not. All that is drawn
for an arrival are words of one block: the first two for its stratum and group, the third for when,
the last for whether campaigns keep it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from serving.forecast.bare import INNER
from serving.forecast.luck import BEGINS, OF_WORD, Chance, fill
from serving.forecast.philox import of_words
from serving.forecast.state import NEW, PLACES, State, World, enter

if TYPE_CHECKING:
    from serving.forecast.laws import Laws

_NOT_YET = np.uint64(2**63)  # marks names of what does not exist at T
_KIND_SHIFT, _STEP_SHIFT = np.uint64(48), np.uint64(32)
_KINDS, _BESIDE = np.uint64(0xFF), np.uint64(2**62)  # marks those that campaigns may bring
_NOBODY = np.uint64(0)
_HALF = 2**31  # of all words


@njit(**INNER)
def arrive(state: State, world: World, laws: Laws, chance: Chance) -> int:
    """Let in who arrives; return the first place of those that take part from the next step on."""
    n = _name(state.names, laws, chance.step)
    fill(state.drawn, state.names[:n], 0, chance, BEGINS)
    if world.growth.budget.size:
        n = _kept(state, world, laws, n, chance.step)
    for i in range(_early(state.drawn[2, :n], state.found)):
        _arrive(state, world, state.found[i], chance.step)
    reach = int(state.size[PLACES])
    for i in range(_late(state.drawn[2, :n], state.found)):
        _arrive(state, world, state.found[i], chance.step + 1)
    return int(reach)


@njit(cache=True, nogil=True, inline="always")
def _name(names: np.ndarray, laws: Laws, step: int) -> int:
    """Write the names of those that arrive in a step, by kind, and of those that may arrive beside
    them; return how many they are.
    """
    n = 0
    for kind in range(laws.arrivals.shape[1]):
        high = _NOT_YET | np.uint64(kind) << _KIND_SHIFT | np.uint64(step) << _STEP_SHIFT
        for i in range(laws.arrivals[step, kind]):
            names[n + i] = high | np.uint64(i)
        n += laws.arrivals[step, kind]
        for i in range(laws.beside[step, kind]):
            names[n + i] = high | _BESIDE | np.uint64(i)
        n += laws.beside[step, kind]
    return n


@njit(**INNER)
def _kept(state: State, world: World, laws: Laws, several: int, step: int) -> int:
    """Leave out who stays away or does not come after all, by the factor of its kind and group;
    return how many are left. See growth.
    """
    n = 0
    for i in range(several):
        name = state.names[i]
        kind = np.int64((name >> _KIND_SHIFT) & _KINDS)
        factor = _factor(world, laws, kind, _cell(state, world, i) % world.desk_of.size, step)
        if name & _BESIDE != _NOBODY:
            factor = max(0.0, factor - 1.0) / (_greatest(world, laws, kind, step) - 1.0)
        if (state.drawn[3, i] + 0.5) * OF_WORD < factor:
            state.names[n] = name
            for word in range(3):
                state.drawn[word, n] = state.drawn[word, i]
            n += 1
    return n


@njit(cache=True, nogil=True)
def _factor(world: World, laws: Laws, kind: int | np.int64, group: int, step: int) -> float:
    """Return how many times as many arrive of a kind and group."""
    growth, found = world.growth, 1.0
    for each in range(growth.budget.size):
        is_on = growth.first[each] <= step <= growth.last[each]
        if is_on and growth.kinds[each, kind] and growth.groups[each, group]:
            found *= laws.factor[each]
    return found


@njit(cache=True, nogil=True)
def _greatest(world: World, laws: Laws, kind: int | np.int64, step: int) -> float:
    """Return the greatest of these factors, 1 at least."""
    found = 1.0
    for group in range(world.desk_of.size):
        found = max(found, _factor(world, laws, kind, group, step))
    return found


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
    name, cell, groups = state.names[i], _cell(state, world, i), world.desk_of.size
    kind = np.int64((name >> _KIND_SHIFT) & _KINDS)
    group = cell % groups
    drawn = (world.begins[kind], cell // groups, group, world.desk_of[group], NEW)
    enter(state, world, name, drawn, entered)


@njit(cache=True, nogil=True, inline="always")
def _cell(state: State, world: World, i: int) -> int:
    """Return stratum and group of one, as stratum * groups + group."""
    kind = np.int64((state.names[i] >> _KIND_SHIFT) & _KINDS)
    u = of_words(state.drawn[0, i], state.drawn[1, i])
    return _first_above(world.share[kind], world.guide[kind], u)


@njit(cache=True, nogil=True, inline="always")
def _first_above(rising: np.ndarray, guide: np.ndarray, u: float) -> int:
    """Return the place of the first element above u, else the last. guide is state.guides: the
    search begins at most a few places before it.
    """
    found, last = guide[int(u * guide.size)], rising.size - 1
    while found < last and rising[found] <= u:
        found += 1
    return int(found)
