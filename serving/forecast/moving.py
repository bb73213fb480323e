"""Moves of a step: a pass finds the few units that do not stay; they are treated one by one.

The pass reads five numbers of each open unit and three of the table of limits. It stores nothing
but a bit for each of 64 units, so that the compiler may treat eight of them at once (2 instead of 4
ns for a unit), and writes each place into a list that grows by the bit: no branch is to be guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from serving.forecast.bare import INNER
from serving.forecast.laws import Laws, cents, destination
from serving.forecast.luck import AMOUNT, MOVES, OF_WORD, TOGETHER, Chance, fill
from serving.forecast.philox import uniform
from serving.forecast.state import NEW, PLACES, Open, State, World, close, stage_at, unlist

if TYPE_CHECKING:
    from serving.forecast.given import Outcome

_AT_ONCE, _ONE = 64, np.uint64(1)


@njit(**INNER)
def draw_moves(state: State, first: int, chance: Chance) -> None:
    """Draw for places from `first` on the words of four steps by which they move."""
    names = state.open.name[: state.size[PLACES]]
    fill(state.open.words, names, first, chance, MOVES)


@njit(**INNER)
def move(
    state: State, world: World, laws: Laws, happened: Outcome, reach: int, chance: Chance
) -> None:
    """Move the units of the first `reach` places, and count who is won."""
    tilts = world.tilt[chance.step]
    for i in range(_leavers(state.open, laws, tilts, reach, chance, state.leavers)):
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


@njit(**INNER)
def _leavers(
    opened: Open, laws: Laws, tilts: np.ndarray, reach: int, chance: Chance, found: np.ndarray
) -> int:
    """Write the places of the units that do not stay, and return how many they are."""
    words, phis, n = opened.words[chance.step % TOGETHER], (laws.phi[chance.step], tilts), 0
    for first in range(0, reach, _AT_ONCE):
        last = min(first + _AT_ONCE, reach)
        bits = _moving(opened, laws, words, phis, (first, last, chance.step))
        for place in range(first, last):
            found[n] = place
            n += int(bits & _ONE)
            bits >>= _ONE
    return n


@njit(cache=True, nogil=True, inline="always")
def _moving(
    opened: Open,
    laws: Laws,
    words: np.ndarray,
    phis: tuple[np.ndarray, np.ndarray],
    part: tuple[int, int, int],
) -> np.uint64:
    """Return a bit for each place from the first to before the last: does its unit not stay?"""
    first, last, step = part
    cell, entered = opened.cell[first:last], opened.entered[first:last]
    group, boost, word = opened.group[first:last], opened.boost[first:last], words[first:last]
    low, high, ahead = laws.limits[0], laws.limits[1], laws.limits[2]
    bits, (of_group, of_cell) = np.uint64(0), phis
    for i in range(word.size):
        at = np.uint32(cell[i] * laws.ages + min(step - entered[i], laws.ages - 1))
        phi = of_group[np.uint32(group[i])] * of_cell[np.uint32(cell[i])] * boost[i]
        x = (word[i] + 0.5) * OF_WORD * (1.0 + ahead[at] * (phi - 1.0))
        bits |= np.uint64((x < low[at]) | (x >= high[at])) << np.uint64(i)
    return bits


@njit(cache=True, nogil=True, inline="always")
def _destination(opened: Open, world: World, laws: Laws, place: int, chance: Chance) -> int:
    cell, age = opened.cell[place], min(chance.step - opened.entered[place], laws.ages - 1)
    phi = laws.phi[chance.step, opened.group[place]] * world.tilt[chance.step, cell]
    phi *= opened.boost[place]
    ahead = laws.limits[2, cell * laws.ages + age]
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
