"""Lists and contacts: who is listed in a step, whom the desks reach, and what that does to a unit.

A contact is in force from its step on for as many steps as its lever says, whatever stage the unit
is in. It counts the log ratio of the lever times exp(-saturation x tired); contacts in force of
several levers add up. A unit that unsubscribes is never listed again, and nothing it felt counts
any longer, the last contact included.
"""

from __future__ import annotations

import math

from numba import njit

from serving.forecast.desks import FRESHEST, NOBODY, join, leave
from serving.forecast.given import Outcome
from serving.forecast.laws import Laws
from serving.forecast.levers import NEVER, WAITING, Levers
from serving.forecast.luck import LISTED, TOGETHER, UNSUBSCRIBES, Chance, fill
from serving.forecast.philox import uniform
from serving.forecast.state import GONE, PLACES, State, World, unlist


@njit(cache=True, nogil=True, _nrt=False)
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


@njit(cache=True, nogil=True, _nrt=False)
def enlist(state: State, world: World, reach: int, chance: Chance) -> None:
    """List whom chance names among the first `reach` places, if they are free and in the stages of
    the lever.
    """
    levers = world.levers
    for lever in range(levers.rate.size):
        if levers.first[lever] <= chance.step <= levers.last[lever]:
            words = state.open.listed[lever, chance.step % TOGETHER]
            for place in range(reach):
                if words[place] < world.listed_below[lever]:
                    _enlist(state, world, place, lever, chance.step)


@njit(cache=True, nogil=True, inline="always")
def _enlist(state: State, world: World, place: int, lever: int, step: int) -> None:
    units, unit = state.units, state.open.unit[place]
    is_free = units.until[unit, lever] <= step
    if is_free and world.levers.stages[lever, units.stage[unit]]:
        desk, turn = units.desk[unit], world.turns[units.desk[unit], units.stratum[unit]]
        ticket = unit * world.levers.rate.size + lever
        is_first = world.desks.discipline[desk] == FRESHEST
        join(state.queues, desk, turn, ticket, is_first)
        units.until[unit, lever] = WAITING


@njit(cache=True, nogil=True, _nrt=False)
def serve(state: State, world: World, laws: Laws, happened: Outcome, chance: Chance) -> None:
    """Contact who waits at each desk, in the order of its queue, while its capacity lasts."""
    for desk in range(world.turns.shape[0]):
        left = world.desks.capacity[desk, chance.step]
        for turn in range(state.queues.head.shape[1]):
            while left > 0 and state.queues.head[desk, turn] != NOBODY:
                ticket = state.queues.head[desk, turn]
                leave(state.queues, desk, turn, ticket)
                _contact(state, world, laws, happened, ticket, chance)
                left -= 1
        happened.waiting[chance.step, desk] = state.queues.waiting[desk]


@njit(cache=True, nogil=True, inline="always")
def _contact(
    state: State, world: World, laws: Laws, happened: Outcome, ticket: int, chance: Chance
) -> None:
    levers, units = world.levers, state.units
    unit, lever = ticket // levers.rate.size, ticket % levers.rate.size
    units.until[unit, lever] = NEVER  # it waits no longer
    happened.contacts[chance.step, units.desk[unit], lever] += 1
    tired = units.tired[unit] * world.left[chance.step - units.tired_at[unit]]
    units.tired[unit], units.tired_at[unit] = tired + 1.0, chance.step
    name, purpose = units.name[unit], UNSUBSCRIBES + lever
    u = uniform(chance.seed, chance.draw, name, chance.step, purpose)
    if u < -math.expm1(-levers.unsubscribe[lever] * (1.0 + tired)):
        happened.lost_to[chance.step] += 1
        _unsubscribe(state, world, unit)
    else:
        units.felt[unit, lever] = laws.effect[lever] * math.exp(-levers.saturation[lever] * tired)
        units.until[unit, lever] = chance.step + levers.lasts[lever]
        _tell(state, unit, lever)
        _feel(state, unit)


@njit(cache=True, nogil=True, inline="always")
def _unsubscribe(state: State, world: World, unit: int) -> None:
    for lever in range(world.levers.rate.size):
        unlist(state, world, unit, lever, NEVER)
        state.units.until[unit, lever] = NEVER
        state.units.felt[unit, lever] = 0.0
    _feel(state, unit)


@njit(cache=True, nogil=True, inline="always")
def _tell(state: State, unit: int, lever: int) -> None:
    """Note a contact behind those that end before it or with it."""
    told, free = state.told, state.told.span[lever, 1]
    told.unit[lever, free] = unit
    told.ends[lever, free] = state.units.until[unit, lever]
    told.span[lever, 1] = (free + 1) % told.unit.shape[1]


@njit(cache=True, nogil=True, _nrt=False)
def expire(state: State, step: int) -> None:
    """End the contacts whose first step without them has come."""
    told = state.told
    for lever in range(told.span.shape[0]):
        span = told.span[lever]
        while span[0] != span[1] and told.ends[lever, span[0]] <= step:
            _end(state, told.unit[lever, span[0]], lever)
            span[0] = (span[0] + 1) % told.unit.shape[1]


@njit(cache=True, nogil=True, inline="always")
def _end(state: State, unit: int, lever: int) -> None:
    state.units.felt[unit, lever] = 0.0
    if state.units.place[unit] != GONE:
        _feel(state, unit)


@njit(cache=True, nogil=True, inline="always")
def _feel(state: State, unit: int) -> None:
    """Set the factor on the odds of going forward by the contacts in force, in order of levers."""
    total = 0.0
    for lever in range(state.units.felt.shape[1]):
        total += state.units.felt[unit, lever]
    state.open.boost[state.units.place[unit]] = math.exp(total)
