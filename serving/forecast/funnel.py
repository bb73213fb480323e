"""The kernel: weekly steps of a funnel of leads and deals, state in, state out.

Each week, in this order: leads and lead-less deals arrive; levers list leads and contact them,
longest-waiting first, while capacity lasts; every open lead may qualify (and becomes a deal in the
first stage) or be disqualified; every open deal moves. What begins within a week takes part in that
week with chance one half, which is right on average for a beginning at any moment of the week. All
chance is addressed by (seed, draw, deal, step, purpose), so that scenarios share it, and nothing
depends on how draws are cut into chunks. Counts and cents are integers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from serving.forecast.philox import uniform
from serving.forecast.stages import BAND_OF_WEEK, LAST_BAND_WEEK, LOST, WON
from serving.forecast.variates import normal

if TYPE_CHECKING:
    from serving.forecast.scenario import Levers
    from serving.forecast.start import Start
    from serving.forecast.tables import Tables

# purposes of random numbers, never renumbered; 16 to 63 belong to serving.forecast.tables
LEAD_MOVES, LEAD_BEGINS, DEAL_MOVES, DEAL_BEGINS, AMOUNT = 1, 2, 3, 4, 5
LISTED = 64  # plus the number of the lever

_NOT_YET = np.uint64(2**63)  # marks names of what does not exist at the start
_ALONE = np.uint64(2**62)  # and of deals without a lead
_WEEK_SHIFT = np.uint64(32)
WAITING = 2**40  # a week that does not come
_CLOSED = _OPEN = _UNKNOWN = -1
_MOST_CENTS = 9.0e15


class Span(NamedTuple):
    """Which part of which experiment to simulate."""

    seed: int
    first_draw: int
    draws: int
    weeks: int


class Outcome(NamedTuple):
    """What happened, per draw and week; the last axis of `won` and `cents` is PARTS."""

    won: np.ndarray  # int64 [draws, weeks, 2]
    cents: np.ndarray  # int64 [draws, weeks, 2], value of the deals won
    contacts: np.ndarray  # int64 [draws, weeks, levers]


class State(NamedTuple):
    """What the next week needs; records are only ever appended."""

    size: np.ndarray  # int64 [2], how many leads and deals there are
    leads: np.ndarray  # LEAD records, with room for all that will arrive
    deals: np.ndarray  # DEAL records, likewise
    contact_ends: np.ndarray  # int64 [lead, lever], first week without the contact, or WAITING
    queue: np.ndarray  # int64 [lever, place], a ring of leads in order of listing
    queue_ends: np.ndarray  # int64 [lever, 2], place of the next to serve, next free place


class Chance(NamedTuple):
    """The address of a week's random numbers."""

    seed: int
    draw: int
    week: int


def simulate(start: Start, tables: Tables, levers: Levers, span: Span) -> Outcome:
    """Simulate the draws of `span`; row i of `tables` belongs to draw first_draw + i."""
    shape, n_levers = (span.draws, span.weeks), levers.rate.size
    outcome = Outcome(
        won=np.zeros((*shape, 2), np.int64),
        cents=np.zeros((*shape, 2), np.int64),
        contacts=np.zeros((*shape, n_levers), np.int64),
    )
    for row in range(span.draws):
        state = init(start, tables.arrivals[row], n_levers)
        of_draw = type(tables)(*(table[row] for table in tables))
        happened = Outcome(*(array[row] for array in outcome))
        run(state, of_draw, levers, happened, Chance(span.seed, span.first_draw + row, 0))
    return outcome


def init(start: Start, arrivals: np.ndarray, n_levers: int) -> State:
    """Return the state before week 0, with room for arrivals int64 [weeks, (leads, deals)]."""
    more_leads, lone_deals = (int(count) for count in arrivals.sum(axis=0))
    n_leads = start.leads.size + more_leads
    more_deals = n_leads + lone_deals
    return State(
        size=np.array([start.leads.size, start.deals.size]),
        leads=np.concatenate([start.leads, np.zeros(more_leads, start.leads.dtype)]),
        deals=np.concatenate([start.deals, np.zeros(more_deals, start.deals.dtype)]),
        contact_ends=np.zeros((n_leads, n_levers), np.int64),
        queue=np.zeros((n_levers, n_leads + 1), np.int64),
        queue_ends=np.zeros((n_levers, 2), np.int64),
    )


@njit(cache=True, nogil=True)
def run(state: State, tables: Tables, levers: Levers, outcome: Outcome, first: Chance) -> None:
    """Take `state` through all weeks of one draw and write what happened into `outcome`."""
    open_leads, open_deals = state.size[0], state.size[1]
    for week in range(outcome.won.shape[0]):
        chance = Chance(first.seed, first.draw, week)
        _arrive(state, tables.arrivals[week, 0], tables.arrivals[week, 1], chance)
        for lever in range(levers.rate.size):
            if week >= levers.first_week[lever]:
                reach = state.size[0] if levers.everyone[lever] else open_leads
                _list(state, lever, reach, levers.rate[lever], chance)
                ends = week + levers.lasts[lever]
                outcome.contacts[week, lever] = _serve(state, lever, levers.capacity[lever], ends)
        _move_leads(state, tables.leads, chance)
        _move_deals(state, tables.deals[week], chance)
        _count(state, open_deals, tables.amounts, outcome, chance)


@njit(cache=True, nogil=True)
def _arrive(state: State, leads: int, lone_deals: int, chance: Chance) -> None:
    week = np.uint64(chance.week) << _WEEK_SHIFT
    for i in range(leads):
        lead = state.leads[state.size[0]]
        lead.name = _NOT_YET | week | np.uint64(i)
        lead.begins = chance.week + _late(lead.name, LEAD_BEGINS, chance)
        state.size[0] += 1
    for i in range(lone_deals):
        name = _NOT_YET | _ALONE | week | np.uint64(i)
        _begin_deal(state, name, chance)


@njit(cache=True, nogil=True)
def _begin_deal(state: State, name: np.uint64, chance: Chance) -> None:
    deal = state.deals[state.size[1]]
    deal.name = name
    deal.begins = chance.week + _late(name, DEAL_BEGINS, chance)
    deal.ends = _OPEN
    deal.cents = _UNKNOWN
    state.size[1] += 1


@njit(cache=True, nogil=True)
def _late(name: np.uint64, purpose: int, chance: Chance) -> int:
    return int(uniform(chance.seed, chance.draw, name, chance.week, purpose) < 0.5)


@njit(cache=True, nogil=True)
def _list(state: State, lever: int, reach: int, rate: float, chance: Chance) -> None:
    """List, with chance `rate`, each reachable lead that neither waits nor is under a contact."""
    queue, ends = state.queue[lever], state.queue_ends[lever]
    for i in range(reach):
        lead = state.leads[i]
        takes_part = _CLOSED < lead.begins <= chance.week
        if takes_part and state.contact_ends[i, lever] <= chance.week:
            u = uniform(chance.seed, chance.draw, lead.name, chance.week, LISTED + lever)
            if u < rate:
                queue[ends[1]] = i
                ends[1] = (ends[1] + 1) % queue.size
                state.contact_ends[i, lever] = WAITING


@njit(cache=True, nogil=True)
def _serve(state: State, lever: int, capacity: int, contact_ends: int) -> int:
    """Contact the longest-waiting while capacity lasts; who closed while waiting costs nothing."""
    queue, ends = state.queue[lever], state.queue_ends[lever]
    made = 0
    while made < capacity and ends[0] != ends[1]:
        lead = queue[ends[0]]
        ends[0] = (ends[0] + 1) % queue.size
        state.contact_ends[lead, lever] = contact_ends
        made += int(state.leads[lead].begins != _CLOSED)
    return made


@njit(cache=True, nogil=True)
def _move_leads(state: State, table: np.ndarray, chance: Chance) -> None:
    for i in range(state.size[0]):
        lead = state.leads[i]
        if not _CLOSED < lead.begins <= chance.week:
            continue
        in_force = 0
        for lever in range(state.contact_ends.shape[1]):
            in_force |= int(chance.week < state.contact_ends[i, lever] < WAITING) << lever
        chances = table[BAND_OF_WEEK[min(lead.weeks, LAST_BAND_WEEK)], in_force]
        u = uniform(chance.seed, chance.draw, lead.name, chance.week, LEAD_MOVES)
        lead.weeks += 1
        if u < chances[0]:
            _begin_deal(state, lead.name, chance)
        if u < chances[0] or u >= 1.0 - chances[1]:
            lead.begins = _CLOSED


@njit(cache=True, nogil=True)
def _move_deals(state: State, table: np.ndarray, chance: Chance) -> None:
    for i in range(state.size[1]):
        deal = state.deals[i]
        if deal.ends != _OPEN or deal.begins > chance.week:
            continue
        chances = table[deal.stage, BAND_OF_WEEK[min(deal.weeks, LAST_BAND_WEEK)]]
        u = uniform(chance.seed, chance.draw, deal.name, chance.week, DEAL_MOVES)
        place = 0
        while place < LOST and u >= chances[place]:
            place += 1
        destination = WON - place if place < LOST else LOST
        deal.weeks = deal.weeks + 1 if destination == deal.stage else 0
        deal.stage = destination
        deal.ends = chance.week if destination >= WON else _OPEN


@njit(cache=True, nogil=True)
def _count(
    state: State, open_deals: int, amounts: np.ndarray, outcome: Outcome, chance: Chance
) -> None:
    for i in range(state.size[1]):
        deal = state.deals[i]
        if deal.ends == chance.week and deal.stage == WON:
            part = int(i >= open_deals)
            outcome.won[chance.week, part] += 1
            outcome.cents[chance.week, part] += _value(deal.cents, deal.name, amounts, chance)


@njit(cache=True, nogil=True)
def _value(cents: int, name: np.uint64, amounts: np.ndarray, chance: Chance) -> int:
    if cents != _UNKNOWN:
        return cents
    z = normal(uniform(chance.seed, chance.draw, name, 0, AMOUNT))
    return int(min(_MOST_CENTS, math.exp(amounts[0] + amounts[1] * z) + 0.5))
