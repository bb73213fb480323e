"""The kernel: steps of a funnel of units, state in, state out, exact whole numbers.

Each step, in this order: contacts that are over end; units arrive; levers list units; desks contact
those that wait, while capacity lasts; open units move; what happened is counted. All chance is
addressed by (seed, draw, unit, step, purpose), so that scenarios share it, and nothing depends on
how draws are cut into chunks.

given -> laws (tables of a draw) -> state -> coming, contacts (with desks), moving, step by step;
luck says which random numbers are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from serving.forecast import fits
from serving.forecast.bare import BARE
from serving.forecast.coming import arrive
from serving.forecast.contacts import draw_listed, enlist, expire, serve
from serving.forecast.given import PARTS, TIMING, Outcome, Parameters, Start
from serving.forecast.growth import factors, greatest, none
from serving.forecast.laws import (
    WIDTH,
    Laws,
    arriving,
    beside,
    effects,
    limits,
    rise,
    shocks,
    shorten,
)
from serving.forecast.luck import TOGETHER, Chance
from serving.forecast.moving import draw_moves, move
from serving.forecast.state import CLOSED, PLACES, State, World, begin, pack, room, world

if TYPE_CHECKING:
    from serving.forecast.desks import Desks
    from serving.forecast.given import Arrivals, Frame
    from serving.forecast.growth import Growth
    from serving.forecast.levers import Levers

_SPARSE = 8  # the open are packed when one place in so many is that of a closed unit


class Span(NamedTuple):
    """Which part of which experiment to simulate."""

    seed: int
    first_draw: int
    draws: int
    steps: int


class Draws(NamedTuple):
    """What is given and what happened, one row per draw, but for the start."""

    start: Start
    parameters: Parameters
    arrivals: np.ndarray  # int64 [draws, steps, kinds], how many arrive
    beside: np.ndarray  # int64 [draws, steps, kinds], how many may arrive beside them
    factor: np.ndarray  # float64 [draws, campaigns], what each does to arrivals
    outcome: Outcome


def simulate(
    start: Start,
    arrivals: Arrivals,
    frame: Frame,
    parameters: Parameters,
    *,
    levers: Levers,
    desks: Desks,
    span: Span,
    growth: Growth | None = None,
) -> Outcome:
    """Simulate the draws of `span`; row i of `parameters` belongs to draw first_draw + i. Without
    `growth` as many arrive as usual.

    ValueError where the arrays do not fit together (see fits).
    """
    growth = growth or none(arrivals.stage.size, frame.segment_of.size)
    fits.require(
        start, arrivals, frame, parameters, levers=levers, desks=desks, span=span, growth=growth
    )
    given = world(frame, arrivals, parameters, levers=levers, desks=desks, growth=growth)
    first = Chance(span.seed, span.first_draw, 0)
    counts = arriving(parameters.rates, parameters.spread, first)
    factor = factors(growth, first, span.draws)
    more = beside(parameters.rates, parameters.spread, greatest(growth, factor, span.steps), first)
    most = start.name.size + int((counts + more).sum(axis=(1, 2)).max(initial=0))
    outcome = _nothing(start, given, span)
    if span.draws:
        rows = _by_cell(parameters)
        draws = Draws(start, rows, counts, more, factor, outcome)
        run(draws, room(most, given), given, _tables(rows, given, counts), first)
    return outcome


def _by_cell(parameters: Parameters) -> Parameters:
    """Return moves as [draws, cells, bands, destinations]; see Laws."""
    draws, strata, stages, bands, destinations = parameters.moves.shape
    shape = (draws, strata * stages, bands, destinations)
    return parameters._replace(moves=np.ascontiguousarray(parameters.moves).reshape(shape))


def _tables(parameters: Parameters, world: World, counts: np.ndarray) -> Laws:
    """Return the tables of a draw, to be filled in for one draw after another."""
    columns = (world.strata * world.stages + 1) * world.band_of.size
    return Laws(
        ages=world.band_of.size,
        moves=parameters.moves[0],
        rising=np.zeros((*parameters.moves.shape[1:3], -(-(world.stages + 2) // WIDTH) * WIDTH)),
        limits=np.zeros((4, columns)),
        brief=np.zeros(columns, np.uint64),
        phi=np.ones((counts.shape[1], world.segment_of.size)),
        effect=np.zeros((2, world.levers.rate.size)),
        arrivals=counts[0],
        beside=counts[0],
        factor=np.ones(world.growth.budget.size),
        amounts=parameters.amounts[0],
        revised=parameters.revised[0],
        level=parameters.level[0],
    )


def _nothing(start: Start, world: World, span: Span) -> Outcome:
    """Return an outcome in which nothing has happened."""
    shape = (span.draws, span.steps)
    groups, desks, levers = world.segment_of.size, world.turns.shape[0], world.levers.rate.size
    return Outcome(
        won=np.zeros((*shape, groups, len(PARTS)), np.int64),
        cents=np.zeros((*shape, groups, len(PARTS)), np.int64),
        open=np.zeros((*shape, groups, world.stages), np.int32),
        contacts=np.zeros((*shape, desks, levers), np.int64),
        waiting=np.zeros((*shape, desks), np.int64),
        lost_to=np.zeros(shape, np.int64),
        winners=np.zeros((span.draws, -(-start.name.size // 8)), np.uint8),
        won_at=np.zeros((span.draws, start.name.size), np.uint16),
        timing=np.zeros((span.draws, len(TIMING)), np.int64),
    )


@njit(**BARE)
def run(draws: Draws, state: State, world: World, tables: Laws, first: Chance) -> None:
    """Take one draw after another through all its steps and write what happened."""
    rows, told = draws.parameters, draws.outcome
    for draw in range(rows.moves.shape[0]):
        laws = Laws(
            tables.ages, rows.moves[draw], tables.rising, tables.limits, tables.brief, tables.phi,
            tables.effect, draws.arrivals[draw], draws.beside[draw], draws.factor[draw],
            rows.amounts[draw], rows.revised[draw], rows.level[draw],
        )  # fmt: skip
        happened = Outcome(
            told.won[draw], told.cents[draw], told.open[draw], told.contacts[draw],
            told.waiting[draw], told.lost_to[draw], told.winners[draw], told.won_at[draw],
            told.timing[draw],
        )  # fmt: skip
        number = first.draw + draw
        tabulate(laws, world, Chance(first.seed, number, 0))
        begin(state, draws.start, world)
        for step in range(happened.won.shape[0]):
            advance(state, world, laws, happened, Chance(first.seed, number, step))


@njit(cache=True, nogil=True, inline="always")
def tabulate(laws: Laws, world: World, first: Chance) -> None:
    """Fill in the tables of a draw."""
    limits(laws.moves, world.band_of, laws.limits)
    shorten(laws.limits, laws.brief)
    rise(laws.moves, laws.rising)
    shocks(world.shock_sd, world.segment_of, laws.level, first, laws.phi)
    effects(world.levers, first, laws.effect)


@njit(**BARE)
def advance(state: State, world: World, laws: Laws, happened: Outcome, chance: Chance) -> None:
    """Take one step."""
    expire(state, world, laws, chance.step)
    known = state.size[PLACES]
    if chance.step % TOGETHER == 0:
        if state.size[CLOSED] * _SPARSE > known:
            pack(state, world.strata * world.stages)
        known = 0
    reach = arrive(state, world, laws, chance)
    draw_moves(state, known, chance)
    draw_listed(state, world, known, chance)
    enlist(state, world, laws, happened, reach, chance)
    serve(state, world, laws, happened, chance)
    move(state, world, laws, happened, reach, chance)
    _count(state.now, happened.open[chance.step])


@njit(cache=True, nogil=True, inline="always")
def _count(now: np.ndarray, told: np.ndarray) -> None:
    for group in range(now.shape[0]):
        for stage in range(now.shape[1]):
            told[group, stage] = now[group, stage]
