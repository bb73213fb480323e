"""What the next step of a draw needs: every unit by number, and those open as the passes read them.

The open stand in order of birth: the start, then for each step those that arrive in its first half
by kind, then those of its second half. From time to time they are packed, in the same order. A unit
has a number as long as it is open; that of a closed one goes to the next that arrives, so that the
records of those open lie close together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from serving.forecast.bare import BARE, INNER
from serving.forecast.desks import TICKET, Desks, Queues, clear, empty, leave, turns
from serving.forecast.levers import NEVER, WAITING, Levers, meant, plain, words
from serving.forecast.luck import TOGETHER

if TYPE_CHECKING:
    from serving.forecast.given import Arrivals, Frame, Parameters, Start
    from serving.forecast.growth import Growth

_GUIDES = 4  # for each element that is searched
GONE = -1  # the place of a unit that closed
NEW = 2  # place in given.PARTS

type Kind = tuple[int, int, int, int, int]  # stage, stratum, group, desk, part


class World(NamedTuple):
    """What no draw changes."""

    stages: int
    strata: int
    stage_of: np.ndarray  # int32 [cells + 1]
    band_of: np.ndarray  # int64 [ages]
    segment_of: np.ndarray  # int64 [groups]
    shock_sd: np.ndarray  # float64 [1 + segments]
    tilt: np.ndarray  # float64 [steps, cells + 1], exp of what the day adds to the log odds
    is_tilted: bool  # is any tilt not 1?
    begins: np.ndarray  # int64 [kinds], the stage
    share: np.ndarray  # float64 [kinds, strata * groups], cumulative
    guide: np.ndarray  # int64 [kinds, guides], see guides
    desk_of: np.ndarray  # int64 [groups]
    levers: Levers
    listed_below: np.ndarray  # int64 [levers], words that list any
    listed_in: np.ndarray  # int64 [levers, strata, groups], words that list those
    is_plain: np.ndarray  # bool [levers], it lists alike all whom it is for, whenever they came
    meant: np.ndarray  # bool [levers, cells + 1], in which a lever lists; not those that closed
    loses: bool  # does any contact change the odds of being lost?
    is_worth: bool  # does any change the value of what is won?
    growth: Growth
    desks: Desks
    turns: np.ndarray  # int64 [desks, strata], chain of the desk's queue
    left: np.ndarray  # float64 [steps + 1], share of what is felt that is left after so many steps


UNIT = np.dtype(
    [
        ("cents", np.int64),  # -1 where not known
        ("tired", np.float64),  # contacts felt at step tired_at
        ("tired_at", np.int32),
        ("place", np.int32),  # among the open, or GONE
        ("desk", np.int32),
        ("turn", np.int32),  # its chain there
        ("part", np.int32),
    ]
)


class Open(NamedTuple):
    """The open units by place, oldest first; those that closed stay until the next packing."""

    unit: np.ndarray  # int32
    name: np.ndarray  # uint64
    cell: np.ndarray  # int32, stratum * stages + stage; past them all for units that closed
    entered: np.ndarray  # int32, first step it may move in this stage
    group: np.ndarray  # int32
    boost: np.ndarray  # float64, exp of the log ratios of going forward in force
    risk: np.ndarray  # float64, exp of those of being lost; 1 unless World.loses
    words: np.ndarray  # uint32 [4, places], where it moves
    listed: np.ndarray  # uint32 [levers, 4, places], whether it is listed


class State(NamedTuple):
    """A draw on its way. A ticket is unit * levers + lever."""

    units: np.ndarray  # UNIT records by number
    tickets: np.ndarray  # TICKET records
    open: Open
    told: np.ndarray  # int32 [levers, units + 1, 2], a ring of contacts: unit, first step without
    span: np.ndarray  # int64 [levers, 2], of the ring: place of the oldest, next free place
    queues: Queues
    size: np.ndarray  # int64 [4]: numbers in use so far, places, of which closed, free numbers
    free: np.ndarray  # int32, numbers of closed units
    now: np.ndarray  # int32 [groups, stages], units open
    found: np.ndarray  # int32 [places]; this and what follows is room for lists of a step
    further: np.ndarray  # int32 [places]
    won: np.ndarray  # int32 [places]
    lost: np.ndarray  # int32 [places]
    names: np.ndarray  # uint64 [units]
    drawn: np.ndarray  # uint32 [4, units], words for these names


NUMBERS, PLACES, CLOSED, FREE = range(4)  # of State.size


def world(
    frame: Frame,
    arrivals: Arrivals,
    parameters: Parameters,
    *,
    levers: Levers,
    desks: Desks,
    growth: Growth,
) -> World:
    """Return what no draw changes."""
    (kinds, strata, _), steps = arrivals.share.shape, desks.capacity.shape[1]
    stage_of = np.arange(strata * frame.stages + 1) % frame.stages
    share = np.cumsum(arrivals.share.reshape(kinds, -1), axis=1)
    return World(
        stages=frame.stages,
        strata=strata,
        stage_of=stage_of.astype(np.int32),
        band_of=frame.band_of,
        segment_of=frame.segment_of,
        shock_sd=parameters.shock_sd,
        tilt=np.ascontiguousarray(np.exp(parameters.tilt)[:, stage_of]),
        is_tilted=bool(parameters.tilt.any()),
        begins=arrivals.stage,
        share=share,
        guide=guides(share),
        desk_of=arrivals.desk_of,
        levers=levers,
        listed_below=words(levers.rate),
        listed_in=words(levers.rate[:, None, None] * levers.share),
        is_plain=plain(levers),
        meant=meant(levers),
        loses=bool(levers.lost_log_ratio.any() or levers.lost_log_ratio_sd.any()),
        is_worth=bool((levers.worth != 1.0).any()),
        growth=growth,
        desks=desks,
        turns=turns(desks),
        left=levers.decay ** np.arange(steps + 1.0),
    )


def guides(share: np.ndarray) -> np.ndarray:
    """Return where the search for u in share[kind] may begin: at [kind, int(u x guides)]. Source:
    Chen, Asau, "On generating random variates from an empirical distribution" (1974).
    """
    n = _GUIDES * share.shape[1]
    found = [np.searchsorted(row, np.arange(n) / n, side="right") for row in share]
    return np.array(found, np.int64).reshape(share.shape[0], n)


def room(most: int, world: World) -> State:
    """Return a state with room for `most` units, to be used for one draw after another."""
    levers, groups = world.levers.rate.size, world.segment_of.size
    return State(
        units=np.zeros(most, UNIT),
        tickets=np.zeros(most * levers, TICKET),
        open=_open(most, levers),
        told=np.zeros((levers, most + 1, 2), np.int32),
        span=np.zeros((levers, 2), np.int64),
        queues=empty(world.turns.shape[0], int(world.turns.max(initial=0)) + 1),
        size=np.zeros(4, np.int64),
        free=np.zeros(most, np.int32),
        now=np.zeros((groups, world.stages), np.int32),
        found=np.zeros(most + 1, np.int32),
        further=np.zeros(most + 1, np.int32),
        won=np.zeros(most + 1, np.int32),
        lost=np.zeros(most + 1, np.int32),
        names=np.zeros(most, np.uint64),
        drawn=np.zeros((4, most), np.uint32),
    )


def _open(most: int, levers: int) -> Open:
    return Open(
        unit=np.zeros(most, np.int32),
        name=np.zeros(most, np.uint64),
        cell=np.zeros(most, np.int32),
        entered=np.zeros(most, np.int32),
        group=np.zeros(most, np.int32),
        boost=np.ones(most),
        risk=np.ones(most),
        words=np.zeros((TOGETHER, most), np.uint32),
        listed=np.zeros((levers, TOGETHER, most), np.uint32),
    )


@njit(**BARE)
def begin(state: State, start: Start, world: World) -> None:
    """Empty the state and put in what is open at T."""
    state.size[:] = 0
    state.now[:] = 0
    state.span[:] = 0
    clear(state.queues)
    for i in range(start.name.size):
        kind = (start.stage[i], start.stratum[i], start.group[i], start.desk[i], start.part[i])
        enter(state, world, start.name[i], kind, -start.stayed[i])
        state.units[i]["cents"] = start.cents[i]
        state.units[i]["tired"] = start.tired[i]


@njit(cache=True, nogil=True, inline="always")
def enter(state: State, world: World, name: np.uint64, kind: Kind, entered: int) -> None:
    """Give a unit a number, and a place behind all that are open; its amount is not known and it
    feels nothing. kind is its stage, stratum, group, desk and part.
    """
    stage, stratum, group, desk, part = kind
    number, place, opened = _number(state), state.size[PLACES], state.open
    state.size[PLACES] = place + 1
    unit = state.units[number]
    unit["cents"], unit["tired"], unit["tired_at"], unit["place"] = -1, 0.0, 0, place
    unit["desk"], unit["turn"], unit["part"] = desk, world.turns[desk, stratum], part
    levers = world.levers
    for lever in range(levers.rate.size):
        is_for = levers.strata[lever, stratum] and levers.groups[lever, group]
        ticket = state.tickets[number * levers.rate.size + lever]
        ticket["until"] = 0 if is_for and levers.parts[lever, part] else NEVER
        ticket["felt"] = 0.0
    opened.unit[place], opened.name[place] = number, name
    opened.boost[place], opened.risk[place] = 1.0, 1.0
    opened.cell[place] = stratum * world.stages + stage
    opened.entered[place], opened.group[place] = entered, group
    state.now[group, stage] += 1


@njit(cache=True, nogil=True, inline="always")
def _number(state: State) -> int:
    """Take the number that became free last, or a new one."""
    if state.size[FREE] > 0:
        state.size[FREE] -= 1
        number = int(state.free[state.size[FREE]])
    else:
        number = int(state.size[NUMBERS])
        state.size[NUMBERS] += 1
    return number


@njit(cache=True, nogil=True, inline="always")
def stage_at(state: State, world: World, place: int | np.uint32) -> int:
    """Return the stage of the open unit at a place."""
    return int(world.stage_of[state.open.cell[place]])


@njit(cache=True, nogil=True, inline="always")
def unlist(state: State, number: int, ticket: int, until: int) -> None:
    """Take a unit off a list if it waits there; `until` says when it may be on it again."""
    if state.tickets[ticket]["until"] == WAITING:
        unit = state.units[number]
        leave(state.tickets, state.queues.ends[unit["desk"], unit["turn"]], ticket)
        state.queues.waiting[unit["desk"]] -= 1
        state.tickets[ticket]["until"] = until


@njit(cache=True, nogil=True, inline="always")
def close(state: State, world: World, place: int) -> None:
    """Take a unit out of all lists; its place holds a cell that nobody leaves."""
    number, levers = state.open.unit[place], world.levers.rate.size
    state.now[state.open.group[place], stage_at(state, world, place)] -= 1
    for ticket in range(number * levers, (number + 1) * levers):
        unlist(state, number, ticket, NEVER)
        state.tickets[ticket]["until"] = NEVER
    state.units[number]["place"] = GONE
    state.free[state.size[FREE]] = number
    state.size[FREE] += 1
    state.open.cell[place] = world.strata * world.stages
    state.size[CLOSED] += 1


@njit(**INNER)
def pack(state: State, dead: int) -> None:
    """Move the open units together, in the same order; `dead` is the cell of those that closed."""
    opened, found, kept = state.open, state.found, 0
    for place in range(state.size[PLACES]):
        found[kept] = place
        kept += int(opened.cell[place] != dead)
    for to in range(kept):
        place, number = found[to], opened.unit[found[to]]
        state.units[number]["place"] = to
        opened.unit[to], opened.name[to] = number, opened.name[place]
        opened.cell[to], opened.entered[to] = opened.cell[place], opened.entered[place]
        opened.group[to], opened.boost[to] = opened.group[place], opened.boost[place]
        opened.risk[to] = opened.risk[place]
    state.size[PLACES], state.size[CLOSED] = kept, 0
