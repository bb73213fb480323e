"""Moves of a step: one pass finds the few units that do not stay, and those are treated one by one.

The pass reads five numbers of each open unit and three of the table of limits, and writes its place
into a list that grows by one where the unit leaves: there is no branch to guess.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from serving.forecast.given import Outcome
from serving.forecast.laws import Laws, cents, destination
from serving.forecast.luck import AMOUNT, MOVES, OF_WORD, TOGETHER, Chance, fill
from serving.forecast.philox import uniform
from serving.forecast.state import NEW, PLACES, Open, State, World, close, stage_at, unlist


@njit(cache=True, nogil=True, _nrt=False)
def draw_moves(state: State, first: int, chance: Chance) -> None:
    """Draw for places from `first` on the words of four steps by which they move."""
    names = state.open.name[: state.size[PLACES]]
    fill(state.open.words, names, first, chance, MOVES)


@njit(cache=True, nogil=True, _nrt=False)
def move(
    state: State, world: World, laws: Laws, happened: Outcome, reach: int, chance: Chance
) -> None:
    """Move the units of the first `reach` places, and count who is won."""
    for i in range(_leavers(state.open, laws, reach, chance, state.leavers)):
        place = state.leavers[i]
        stage = stage_at(state, world, place)
        to = _destination(state.open, world, laws, place, chance)
        state.now[state.open.group[place], stage] -= 1
        if to < world.stages:
            _change(state, world, place, to - stage, chance.step)
        else:
            if to == world.stages:
                _win(state, laws, happened, place, chance)
            close(state, world, place)


@njit(cache=True, nogil=True, _nrt=False)
def _leavers(opened: Open, laws: Laws, reach: int, chance: Chance, found: np.ndarray) -> int:
    """Write the places of the units that do not stay, and return how many they are."""
    words, phis, limits = opened.words[chance.step % TOGETHER], laws.phi[chance.step], laws.limits
    oldest, n = laws.ages - 1, 0
    for place in range(reach):
        at = opened.cell[place] * laws.ages + min(chance.step - opened.entered[place], oldest)
        phi = phis[opened.group[place]] * opened.boost[place]
        x = (words[place] + 0.5) * OF_WORD * (1.0 + limits[at, 2] * (phi - 1.0))
        found[n] = place
        n += int((x < limits[at, 0]) | (x >= limits[at, 1]))
    return n


@njit(cache=True, nogil=True, inline="always")
def _destination(opened: Open, world: World, laws: Laws, place: int, chance: Chance) -> int:
    cell, age = opened.cell[place], min(chance.step - opened.entered[place], laws.ages - 1)
    phi = laws.phi[chance.step, opened.group[place]] * opened.boost[place]
    ahead = laws.limits[cell * laws.ages + age, 2]
    word = opened.words[chance.step % TOGETHER, place]
    x = (word + 0.5) * OF_WORD * (1.0 + ahead * (phi - 1.0))
    return destination(laws.moves[cell, world.band_of[age]], world.stage_of[cell], x, phi)


@njit(cache=True, nogil=True, inline="always")
def _change(state: State, world: World, place: int, further: int, step: int) -> None:
    """Put a unit into another stage; it is off the lists of levers that are not for it."""
    opened, number = state.open, state.open.unit[place]
    opened.cell[place] += further
    opened.entered[place] = step + 1
    to = stage_at(state, world, place)
    state.now[opened.group[place], to] += 1
    for lever in range(world.levers.rate.size):
        if not world.levers.stages[lever, to]:
            unlist(state, number, number * world.levers.rate.size + lever, 0)


@njit(cache=True, nogil=True, inline="always")
def _win(state: State, laws: Laws, happened: Outcome, place: int, chance: Chance) -> None:
    number, group = state.open.unit[place], state.open.group[place]
    part = state.units[number]["part"]
    u = uniform(chance.seed, chance.draw, state.open.name[place], 0, AMOUNT)
    happened.won[chance.step, group, part] += 1
    happened.cents[chance.step, group, part] += cents(state.units[number]["cents"], u, laws)
    if part != NEW:
        happened.winners[number >> 3] |= np.uint8(1 << (number & 7))
