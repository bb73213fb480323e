"""Moves of a step: a pass finds who may not stay, a second one where to, and lists treat them.

The first pass reads five numbers of each open unit and the limits in brief (laws.shorten), and sets
a bit for each of 64 units, so that the compiler may treat eight of them at once. The few that it
finds are looked at exactly, and sorted without a branch into who changes its stage, is won or lost:
each list is then treated in a row, and the words for all amounts of a step are drawn at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from serving.forecast.bare import INNER, lowest
from serving.forecast.laws import Laws, ahead_of, cents, destination, high_of, low_of
from serving.forecast.luck import AMOUNT, MOVES, OF_WORD, TOGETHER, Chance, fill
from serving.forecast.philox import of_words
from serving.forecast.state import NEW, PLACES, Open, State, World, close, stage_at, unlist

if TYPE_CHECKING:
    from serving.forecast.given import Outcome

_AT_ONCE, _NONE, _ONE = 64, np.uint64(0), np.uint64(1)


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
    found = _candidates(state.open, world, laws, reach, chance, state.found)
    changed, won, lost = _sorted(state, world, laws, found, chance)
    for i in range(changed):
        _change(state, world, state.found[i], state.further[i], chance.step)
    _win(state, world, laws, happened, won, chance)
    for i in range(won):
        close(state, world, state.won[i])
    for i in range(lost):
        close(state, world, state.lost[i])


@njit(**INNER)
def _sorted(
    state: State, world: World, laws: Laws, found: int, chance: Chance
) -> tuple[int, int, int]:
    """Sort those found, without a branch, into who changes its stage (and how much further), who
    is won and who is lost, and return how many these are.
    """
    changed, won, lost = 0, 0, 0
    for i in range(found):
        place = np.uint32(state.found[i])
        stage = stage_at(state, world, place)
        to = _destination(state.open, world, laws, place, chance)
        state.found[changed], state.further[changed] = place, to - stage
        state.won[won], state.lost[lost] = place, place
        changed += int((to != stage) & (to < world.stages))
        won += int(to == world.stages)
        lost += int(to > world.stages)
    return changed, won, lost


@njit(**INNER)
def _candidates(
    opened: Open, world: World, laws: Laws, reach: int, chance: Chance, found: np.ndarray
) -> int:
    """Write the places of all units that do not stay and of few that do; return how many."""
    tilts = world.tilt[chance.step]
    words, phis = opened.words[chance.step % TOGETHER], (laws.phi[chance.step], tilts)
    n = 0
    for first in range(0, reach, _AT_ONCE):
        last = min(first + _AT_ONCE, reach)
        part = (first, last, chance.step, world.is_tilted)
        if world.loses:
            bits = _losing(opened, laws, words, phis, part)
        else:
            bits = _moving(opened, laws, words, phis, part)
        while bits != _NONE:
            found[n] = first + lowest(bits)
            bits &= bits - _ONE
            n += 1
    return n


@njit(cache=True, nogil=True, inline="always")
def _moving(
    opened: Open,
    laws: Laws,
    words: np.ndarray,
    phis: tuple[np.ndarray, np.ndarray],
    part: tuple[int, int, int, bool],
) -> np.uint64:
    """Return a bit for each place from the first to before the last: may its unit not stay?"""
    first, last, step, is_tilted = part
    cell, entered = opened.cell[first:last], opened.entered[first:last]
    group, boost, word = opened.group[first:last], opened.boost[first:last], words[first:last]
    bits, (of_group, of_cell), brief = _NONE, phis, laws.brief
    ages, now = np.int32(laws.ages), np.int32(step)
    for i in range(word.size):
        at = brief[np.uint32(cell[i] * ages + min(now - entered[i], ages - np.int32(1)))]
        phi = of_group[np.uint32(group[i])] * boost[i]
        if is_tilted:
            phi *= of_cell[np.uint32(cell[i])]
        x = (word[i] + 0.5) * OF_WORD * (1.0 + ahead_of(at) * (phi - 1.0))
        bits |= np.uint64(not ((x >= low_of(at)) & (x < high_of(at)))) << np.uint64(i)
    return bits


@njit(cache=True, nogil=True)
def _losing(
    opened: Open,
    laws: Laws,
    words: np.ndarray,
    phis: tuple[np.ndarray, np.ndarray],
    part: tuple[int, int, int, bool],
) -> np.uint64:
    """Return what `_moving` does where contacts change the odds of being lost too."""
    first, last, step, _ = part
    bits, (of_group, of_cell) = _NONE, phis
    for place in range(first, last):
        cell = opened.cell[place]
        at = cell * laws.ages + min(step - opened.entered[place], laws.ages - 1)
        phi = of_group[opened.group[place]] * opened.boost[place] * of_cell[cell]
        shift = laws.limits[3, at] * (opened.risk[place] - 1.0)
        u = (words[place] + 0.5) * OF_WORD
        x = u * (1.0 + laws.limits[2, at] * (phi - 1.0) + shift) - shift
        stays = (x >= laws.limits[0, at]) & (x < laws.limits[1, at])
        bits |= np.uint64(not stays) << np.uint64(place - first)
    return bits


@njit(cache=True, nogil=True, inline="always")
def _destination(
    opened: Open, world: World, laws: Laws, place: int | np.uint32, chance: Chance
) -> int:
    """Return where a unit goes, or its stage."""
    cell = np.uint32(opened.cell[place])
    age = np.uint32(min(chance.step - opened.entered[place], laws.ages - 1))
    phi = laws.phi[chance.step, np.uint32(opened.group[place])] * world.tilt[chance.step, cell]
    phi *= opened.boost[place]
    at = cell * np.uint32(laws.ages) + age
    word = opened.words[np.uint32(chance.step) % np.uint32(TOGETHER), place]
    # LOST comes first: with its odds as ever, all that follows lies where it does without contacts
    shift = laws.limits[3, at] * (opened.risk[place] - 1.0)
    x = (word + 0.5) * OF_WORD * (1.0 + laws.limits[2, at] * (phi - 1.0) + shift) - shift
    low, high = laws.limits[0, at], laws.limits[1, at]
    if not (x < low or x >= high):
        return int(world.stage_of[cell])
    rising = laws.rising[cell, world.band_of[age]]
    return destination(rising, world.stages, x, (low, high, phi))


@njit(cache=True, nogil=True, inline="always")
def _change(state: State, world: World, place: int, further: int, step: int) -> None:
    """Put a unit into another stage; it is off the lists of levers that are not for it."""
    opened, number = state.open, state.open.unit[place]
    state.now[opened.group[place], stage_at(state, world, place)] -= 1
    opened.cell[place] += further
    opened.entered[place] = step + 1
    to = stage_at(state, world, place)
    state.now[opened.group[place], to] += 1
    for lever in range(world.levers.rate.size):
        if not world.levers.stages[lever, to]:
            unlist(state, number, number * world.levers.rate.size + lever, 0)


@njit(cache=True, nogil=True, inline="always")
def _win(
    state: State, world: World, laws: Laws, happened: Outcome, won: int, chance: Chance
) -> None:
    """Count those that are won, each with the amount drawn for it, in whichever step it is won."""
    for i in range(won):
        state.names[i] = state.open.name[state.won[i]]
    fill(state.drawn, state.names[:won], 0, Chance(chance.seed, chance.draw, 0), AMOUNT)
    for i in range(won):
        place = state.won[i]
        number, group = state.open.unit[place], state.open.group[place]
        part = state.units[number]["part"]
        u = of_words(state.drawn[0, i], state.drawn[1, i])
        happened.won[chance.step, group, part] += 1
        value = cents(state.units[number]["cents"], u, laws)
        if world.is_worth:
            value = int(value * _worth(state, world, number) + 0.5)
        happened.cents[chance.step, group, part] += value
        if part != NEW:
            happened.winners[number >> 3] |= np.uint8(1 << (number & 7))
            happened.won_at[number] = chance.step + 1


@njit(cache=True, nogil=True, inline="always")
def _worth(state: State, world: World, number: int) -> float:
    """Return the factor on the value of a unit by the contacts in force."""
    found, levers = 1.0, world.levers.rate.size
    for lever in range(levers):
        if state.tickets[number * levers + lever]["felt"] != 0.0:
            found *= world.levers.worth[lever]
    return found
