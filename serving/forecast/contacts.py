"""Lists and contacts: who is listed in a step, whom the desks reach, and what that does to a unit.

A contact is in force from its step on for as many steps as its lever says, whatever stage the unit
is in. It counts the log ratio of the lever times exp(-saturation x tired); contacts in force of
several levers add up. A unit that unsubscribes is never listed again, and nothing it felt counts
any longer, the last contact included.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numba import njit

from serving.forecast.bare import INNER
from serving.forecast.desks import FRESHEST, HEAD, NOBODY, join, leave
from serving.forecast.levers import NEVER, WAITING, Levers
from serving.forecast.luck import LISTED, TOGETHER, UNSUBSCRIBES, Chance, fill
from serving.forecast.philox import uniform
from serving.forecast.state import PLACES, State, World, unlist

if TYPE_CHECKING:
    import numpy as np

    from serving.forecast.given import Outcome
    from serving.forecast.laws import Laws


@njit(**INNER)
def draw_listed(state: State, world: World, first: int, chance: Chance) -> None:
    """Draw for places from `first` on the words of four steps by which levers list them."""
    names = state.open.name[: state.size[PLACES]]
    for lever in range(world.levers.rate.size):
        if _lists_soon(world.levers, lever, chance.step):
            fill(state.open.listed[lever], names, first, chance, LISTED + lever)


@njit(cache=True, nogil=True, inline="always")
def _lists_soon(levers: Levers, lever: int, step: int) -> bool:
    """Does the lever list in any of the four steps around this one?"""
    start = step // TOGETHER * TOGETHER
    return bool(levers.first[lever] < start + TOGETHER and start <= levers.last[lever])


@njit(**INNER)
def enlist(state: State, world: World, reach: int, chance: Chance) -> None:
    """List whom chance names among the first `reach` places, if they are free and in the stages of
    the lever.
    """
    levers = world.levers
    for lever in range(levers.rate.size):
        if levers.first[lever] <= chance.step <= levers.last[lever]:
            words = state.open.listed[lever, chance.step % TOGETHER]
            named = _named(words[:reach], world.listed_below[lever], state.found)
            for i in range(_meant(state.open.cell, world.meant[lever], named, state.found)):
                _enlist(state, world, state.found[i], lever, chance.step)


@njit(**INNER)
def _named(words: np.ndarray, below: int, found: np.ndarray) -> int:
    """Write the places of words below the limit, without a branch, and return how many."""
    n = 0
    for place in range(words.size):
        found[n] = place
        n += int(words[place] < below)
    return n


@njit(**INNER)
def _meant(cell: np.ndarray, meant: np.ndarray, named: int, found: np.ndarray) -> int:
    """Keep the places in cells that are meant, without a branch, and return how many they are."""
    n = 0
    for i in range(named):
        place = found[i]
        found[n] = place
        n += int(meant[cell[place]])
    return n


@njit(cache=True, nogil=True, inline="always")
def _enlist(state: State, world: World, place: int, lever: int, step: int) -> None:
    number = state.open.unit[place]
    ticket = number * world.levers.rate.size + lever
    if state.tickets[ticket]["until"] <= step:
        desk, turn = state.units[number]["desk"], state.units[number]["turn"]
        is_first = world.desks.discipline[desk] == FRESHEST
        join(state.tickets, state.queues.ends[desk, turn], ticket, is_first)
        state.queues.waiting[desk] += 1
        state.tickets[ticket]["until"] = WAITING


@njit(**INNER)
def serve(state: State, world: World, laws: Laws, happened: Outcome, chance: Chance) -> None:
    """Contact who waits at each desk, in the order of its queue, while its capacity lasts."""
    for desk in range(world.turns.shape[0]):
        left = world.desks.capacity[desk, chance.step]
        for turn in range(state.queues.ends.shape[1]):
            ends = state.queues.ends[desk, turn]
            while left > 0 and ends[HEAD] != NOBODY:
                ticket = ends[HEAD]
                leave(state.tickets, ends, ticket)
                state.queues.waiting[desk] -= 1
                happened.contacts[chance.step, desk, ticket % world.levers.rate.size] += 1
                _contact(state, world, laws, happened, ticket, chance)
                left -= 1
        happened.waiting[chance.step, desk] = state.queues.waiting[desk]


@njit(cache=True, nogil=True, inline="always")
def _contact(
    state: State, world: World, laws: Laws, happened: Outcome, ticket: int, chance: Chance
) -> None:
    levers = world.levers
    number, lever = ticket // levers.rate.size, ticket % levers.rate.size
    unit = state.units[number]
    tired = unit["tired"] * world.left[chance.step - unit["tired_at"]]
    unit["tired"], unit["tired_at"] = tired + 1.0, chance.step
    name = state.open.name[unit["place"]]
    u = uniform(chance.seed, chance.draw, name, chance.step, UNSUBSCRIBES + lever)
    state.tickets[ticket]["until"] = chance.step + levers.lasts[lever]
    most = levers.unsubscribe[lever] * (1.0 + tired)
    if u < most and u < -math.expm1(-most):
        happened.lost_to[chance.step] += 1
        _unsubscribe(state, number, levers.rate.size)
    else:
        felt = laws.effect[lever] * math.exp(-levers.saturation[lever] * tired)
        state.tickets[ticket]["felt"] = felt
        _tell(state, number, lever, chance.step + levers.lasts[lever])
    _feel(state, number, levers.rate.size)


@njit(cache=True, nogil=True, inline="always")
def _unsubscribe(state: State, number: int, levers: int) -> None:
    for ticket in range(number * levers, (number + 1) * levers):
        unlist(state, number, ticket, NEVER)
        state.tickets[ticket]["until"] = NEVER
        state.tickets[ticket]["felt"] = 0.0


@njit(cache=True, nogil=True, inline="always")
def _tell(state: State, number: int, lever: int, end: int) -> None:
    """Note a contact behind those that end before it or with it."""
    free = state.span[lever, 1]
    state.told[lever, free, 0], state.told[lever, free, 1] = number, end
    state.span[lever, 1] = (free + 1) % state.told.shape[1]


@njit(**INNER)
def expire(state: State, step: int) -> None:
    """End the contacts whose first step without them has come."""
    levers = state.span.shape[0]
    for lever in range(levers):
        told, span = state.told[lever], state.span[lever]
        while span[0] != span[1] and told[span[0], 1] <= step:
            number = told[span[0], 0]
            ticket = state.tickets[number * levers + lever]
            if ticket["until"] == told[span[0], 1]:  # not closed, and if another's, then over too
                ticket["felt"] = 0.0
                _feel(state, number, levers)
            span[0] = (span[0] + 1) % told.shape[0]


@njit(cache=True, nogil=True, inline="always")
def _feel(state: State, number: int, levers: int) -> None:
    """Set the factor on the odds of going forward by the contacts in force, in order of levers."""
    total = 0.0
    for ticket in range(number * levers, (number + 1) * levers):
        total += state.tickets[ticket]["felt"]
    state.open.boost[state.units[number]["place"]] = math.exp(total)
