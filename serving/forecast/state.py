"""What the next step of a draw needs: every unit by number, and those open as the passes read them.

A unit's number is its place in order of birth: the start, then for each step those that arrive in
its first half by kind, then those of its second half. Closed units keep their number and lose their
place among the open, which are packed from time to time in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from serving.forecast.desks import Desks, Queues, clear, empty, leave, turns
from serving.forecast.given import Start
from serving.forecast.levers import NEVER, WAITING, Levers
from serving.forecast.luck import OF_WORD, TOGETHER

if TYPE_CHECKING:
    from serving.forecast.given import Arrivals, Frame

GONE = -1  # the place of a unit that closed
EXISTING, LEADS, NEW = range(3)  # places in given.PARTS


class World(NamedTuple):
    """What no draw changes."""

    stages: int
    strata: int
    band_of: np.ndarray  # int64 [ages]
    segment_of: np.ndarray  # int64 [groups]
    shock_sd: np.ndarray  # float64 [1 + segments]
    begins: np.ndarray  # int64 [kinds], the stage
    share: np.ndarray  # float64 [kinds, strata * groups], cumulative
    desk_of: np.ndarray  # int64 [groups]
    levers: Levers
    listed_below: np.ndarray  # int64 [levers], words that list
    desks: Desks
    turns: np.ndarray  # int64 [desks, strata], chain of the desk's queue
    left: np.ndarray  # float64 [steps + 1], share of what is felt that is left after so many steps


class Units(NamedTuple):
    """Every unit of a draw by number."""

    name: np.ndarray  # uint64
    stage: np.ndarray  # int32
    stratum: np.ndarray  # int32
    group: np.ndarray  # int32
    desk: np.ndarray  # int32
    part: np.ndarray  # int32
    cents: np.ndarray  # int64, -1 where not known
    tired: np.ndarray  # float64, contacts felt at step tired_at
    tired_at: np.ndarray  # int32
    place: np.ndarray  # int32, among the open, or GONE
    until: np.ndarray  # int32 [units, levers], first step it may be listed, or WAITING, or NEVER
    felt: np.ndarray  # float64 [units, levers], log ratio in force, else 0


class Open(NamedTuple):
    """The open units by place, oldest first; those that closed stay until the next packing."""

    unit: np.ndarray  # int32
    name: np.ndarray  # uint64
    row: np.ndarray  # int32, first row in the table of limits
    entered: np.ndarray  # int32, first step it may move in this stage
    group: np.ndarray  # int32
    boost: np.ndarray  # float64, exp of the log ratios in force
    words: np.ndarray  # uint32 [4, places], where it moves
    listed: np.ndarray  # uint32 [levers, 4, places], whether it is listed


class Told(NamedTuple):
    """Contacts by lever in order of their end, a ring of units."""

    unit: np.ndarray  # int32 [levers, units + 1]
    ends: np.ndarray  # int32 [levers, units + 1], first step without the contact
    span: np.ndarray  # int64 [levers, 2], place of the oldest, next free place


class State(NamedTuple):
    """A draw on its way."""

    units: Units
    open: Open
    told: Told
    queues: Queues
    size: np.ndarray  # int64 [3]: units, places of the open, of which closed
    now: np.ndarray  # int32 [groups, stages], units open
    leavers: np.ndarray  # int32 [places], of the step


BORN, PLACES, CLOSED = range(3)  # of State.size


def world(
    frame: Frame, arrivals: Arrivals, *, levers: Levers, desks: Desks, shock_sd: np.ndarray
) -> World:
    """Return what no draw changes."""
    kinds, steps = arrivals.share.shape[0], desks.capacity.shape[1]
    return World(
        stages=frame.stages,
        strata=arrivals.share.shape[1],
        band_of=frame.band_of,
        segment_of=frame.segment_of,
        shock_sd=shock_sd,
        begins=arrivals.stage,
        share=np.cumsum(arrivals.share.reshape(kinds, -1), axis=1),
        desk_of=arrivals.desk_of,
        levers=levers,
        listed_below=np.ceil(levers.rate / OF_WORD - 0.5).astype(np.int64),
        desks=desks,
        turns=turns(desks),
        left=levers.decay ** np.arange(steps + 1.0),
    )


def room(most: int, world: World) -> State:
    """Return a state with room for `most` units, to be used for one draw after another."""
    levers, groups = world.levers.rate.size, world.segment_of.size
    n_desks, n_turns = world.turns.shape[0], int(world.turns.max(initial=0)) + 1
    return State(
        units=_units(most, levers),
        open=_open(most, levers),
        told=Told(
            unit=np.zeros((levers, most + 1), np.int32),
            ends=np.zeros((levers, most + 1), np.int32),
            span=np.zeros((levers, 2), np.int64),
        ),
        queues=empty(n_desks, n_turns, most * levers),
        size=np.zeros(3, np.int64),
        now=np.zeros((groups, world.stages), np.int32),
        leavers=np.zeros(most, np.int32),
    )


def _units(most: int, levers: int) -> Units:
    kinds = {"name": np.uint64, "cents": np.int64, "tired": np.float64}
    whole = {"until": np.int32, "felt": np.float64}
    return Units(
        **{
            field: np.zeros((most, levers), whole[field])
            if field in whole
            else np.zeros(most, kinds.get(field, np.int32))
            for field in Units._fields
        }
    )


def _open(most: int, levers: int) -> Open:
    return Open(
        unit=np.zeros(most, np.int32),
        name=np.zeros(most, np.uint64),
        row=np.zeros(most, np.int32),
        entered=np.zeros(most, np.int32),
        group=np.zeros(most, np.int32),
        boost=np.ones(most),
        words=np.zeros((TOGETHER, most), np.uint32),
        listed=np.zeros((levers, TOGETHER, most), np.uint32),
    )


@njit(cache=True, nogil=True, _nrt=False)
def begin(state: State, start: Start, world: World) -> None:
    """Empty the state and put in what is open at T."""
    state.size[:] = 0
    state.now[:] = 0
    state.told.span[:] = 0
    clear(state.queues)
    for i in range(start.name.size):
        unit = born(state, start.name[i], start.stage[i], start.stratum[i], start.group[i])
        enter(state, world, start.desk[i], start.part[i], -start.stayed[i])
        state.units.cents[unit] = start.cents[i]
        state.units.tired[unit] = start.tired[i]


@njit(cache=True, nogil=True, inline="always")
def born(state: State, name: np.uint64, stage: int, stratum: int, group: int) -> int:
    """Give the next number to a unit whose amount is not known, and return it."""
    unit, units = state.size[BORN], state.units
    state.size[BORN] += 1
    units.name[unit] = name
    units.stage[unit] = stage
    units.stratum[unit] = stratum
    units.group[unit] = group
    units.cents[unit] = -1
    units.tired[unit] = 0.0
    units.tired_at[unit] = 0
    return int(unit)


@njit(cache=True, nogil=True, inline="always")
def enter(state: State, world: World, desk: int, part: int, entered: int) -> None:
    """Give the youngest unit its desk and part, and a place behind all that are open."""
    unit, place = state.size[BORN] - 1, state.size[PLACES]
    units, opened, levers = state.units, state.open, world.levers
    units.desk[unit], units.part[unit], units.place[unit] = desk, part, place
    stratum, group = units.stratum[unit], units.group[unit]
    for lever in range(levers.rate.size):
        is_for = levers.strata[lever, stratum] and levers.groups[lever, group]
        units.until[unit, lever] = 0 if is_for and levers.parts[lever, part] else NEVER
        units.felt[unit, lever] = 0.0
    state.size[PLACES] += 1
    opened.unit[place], opened.name[place] = unit, units.name[unit]
    opened.row[place] = row(world, stratum, units.stage[unit])
    opened.entered[place], opened.group[place], opened.boost[place] = entered, group, 1.0
    state.now[group, units.stage[unit]] += 1


@njit(cache=True, nogil=True, inline="always")
def row(world: World, stratum: int, stage: int) -> int:
    """Return the first row of a stratum and stage in the table of limits."""
    return (stratum * world.stages + stage) * world.band_of.size


@njit(cache=True, nogil=True, inline="always")
def unlist(state: State, world: World, unit: int, lever: int, until: int) -> None:
    """Take a unit off the list of a lever if it waits there; `until` says when it may be again."""
    units = state.units
    if units.until[unit, lever] == WAITING:
        desk, turn = units.desk[unit], world.turns[units.desk[unit], units.stratum[unit]]
        leave(state.queues, desk, turn, unit * world.levers.rate.size + lever)
        units.until[unit, lever] = until


@njit(cache=True, nogil=True, inline="always")
def close(state: State, world: World, place: int) -> None:
    """Take a unit out of all lists; its place holds a row that stays for ever."""
    unit = state.open.unit[place]
    for lever in range(world.levers.rate.size):
        unlist(state, world, unit, lever, NEVER)
        state.units.until[unit, lever] = NEVER
    state.units.place[unit] = GONE
    state.open.row[place] = world.strata * world.stages * world.band_of.size
    state.size[CLOSED] += 1


@njit(cache=True, nogil=True, _nrt=False)
def pack(state: State) -> None:
    """Move the open units together, in the same order."""
    opened, kept = state.open, 0
    for place in range(state.size[PLACES]):
        unit = opened.unit[place]
        if state.units.place[unit] != GONE:
            state.units.place[unit] = kept
            opened.unit[kept], opened.name[kept] = unit, opened.name[place]
            opened.row[kept], opened.entered[kept] = opened.row[place], opened.entered[place]
            opened.group[kept], opened.boost[kept] = opened.group[place], opened.boost[place]
            kept += 1
    state.size[PLACES], state.size[CLOSED] = kept, 0
