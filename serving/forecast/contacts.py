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
def enlist(
    state: State, world: World, laws: Laws, happened: Outcome, reach: int, chance: Chance
) -> None:
    """List whom chance names among the first `reach` places, if they are free and in the stages of
    the lever; a system contacts them at once.
    """
    levers = world.levers
    for lever in range(levers.rate.size):
        if levers.first[lever] <= chance.step <= levers.last[lever]:
            words = state.open.listed[lever, chance.step % TOGETHER]
            named = _named(words[:reach], world.listed_below[lever], state.found)
            for i in range(_meant(state.open.cell, world.meant[lever], named, state.found)):
                place = state.found[i]
                if _is_listed(state, world, place, lever, chance):
                    _enlist(state, world, laws, happened, (place, lever), chance)


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
def _is_listed(state: State, world: World, place: int, lever: int, chance: Chance) -> bool:
    """Is the unit at a place, named and meant, free to be listed, and is it its time?"""
    ticket = state.open.unit[place] * world.levers.rate.size + lever
    if state.tickets[ticket]["until"] > chance.step:
        return False
    return bool(world.is_plain[lever] or _is_time(state, world, place, lever, chance))


@njit(cache=True, nogil=True)
def _is_time(state: State, world: World, place: int, lever: int, chance: Chance) -> bool:
    """Has the unit stalled for as long as the lever says, and is it of the share that it lists?"""
    levers, stratum = world.levers, state.open.cell[place] // world.stages
    word = state.open.listed[lever, chance.step % TOGETHER, place]
    stalled = chance.step - state.open.entered[place] - levers.stalled[lever]
    is_time = stalled >= 0
    if levers.once[lever] and chance.step != levers.first[lever]:
        is_time = stalled == 0
    return bool(is_time and word < world.listed_in[lever, stratum, state.open.group[place]])


@njit(cache=True, nogil=True, inline="always")
def _enlist(
    state: State,
    world: World,
    laws: Laws,
    happened: Outcome,
    at: tuple[int, int],
    chance: Chance,
) -> None:
    """Put a unit at the place (of a place and lever) on the list, or contact it at once."""
    place, lever = at
    number = state.open.unit[place]
    ticket = number * world.levers.rate.size + lever
    desk, turn = state.units[number]["desk"], state.units[number]["turn"]
    if world.levers.at_once[lever]:
        happened.contacts[chance.step, desk, lever] += 1
        _contact(state, world, laws, happened, ticket, chance)
    else:
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
    unit["tired"], unit["tired_at"] = tired + levers.tires[lever], chance.step
    name = state.open.name[unit["place"]]
    u = uniform(chance.seed, chance.draw, name, chance.step, UNSUBSCRIBES + lever)
    state.tickets[ticket]["until"] = chance.step + levers.lasts[lever]
    most = levers.unsubscribe[lever] * (1.0 + tired)
    if u < most and u < -math.expm1(-most):
        happened.lost_to[chance.step] += 1
        _unsubscribe(state, number, levers.rate.size)
    else:
        state.tickets[ticket]["felt"] = math.exp(-levers.saturation[lever] * tired)
        _tell(state, number, lever, chance.step + levers.lasts[lever])
    _feel(state, world, laws, number)


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
def expire(state: State, world: World, laws: Laws, step: int) -> None:
    """End the contacts whose first step without them has come."""
    levers = state.span.shape[0]
    for lever in range(levers):
        told, span = state.told[lever], state.span[lever]
        while span[0] != span[1] and told[span[0], 1] <= step:
            number = told[span[0], 0]
            ticket = state.tickets[number * levers + lever]
            if ticket["until"] == told[span[0], 1]:  # not closed, and if another's, then over too
                ticket["felt"] = 0.0
                _feel(state, world, laws, number)
            span[0] = (span[0] + 1) % told.shape[0]


@njit(cache=True, nogil=True, inline="always")
def _feel(state: State, world: World, laws: Laws, number: int) -> None:
    """Set the factors on the odds of going forward, and of being lost, by the contacts in force, in
    order of levers.
    """
    forward, lost, levers = 0.0, 0.0, world.levers.rate.size
    for lever in range(levers):
        felt = state.tickets[number * levers + lever]["felt"]
        forward += laws.effect[0, lever] * felt
        lost += laws.effect[1, lever] * felt
    place = state.units[number]["place"]
    state.open.boost[place] = math.exp(forward)
    if world.loses:
        state.open.risk[place] = math.exp(lost)
