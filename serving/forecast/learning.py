"""Learning: from the course of all units as known at T to what a simulation is given.

`fit` estimates a posterior; `sample` draws from it, each draw with a generator of its own, keyed by
(seed, draw), so that it does not matter how draws are cut into chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from cluster.errors import Refusal
from serving.forecast import (
    amounts,
    fading,
    groups,
    levels,
    moves,
    person,
    rates,
    seasons,
    standing,
    strata,
    swings,
    telling,
)
from serving.forecast.given import Arrivals, Frame, Parameters, Start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.forecast.amounts import LogNormal
    from serving.forecast.funnels import Funnel
    from serving.forecast.groups import Groups
    from serving.forecast.person import Person
    from serving.forecast.rates import Rates
    from serving.forecast.strata import Scored, Strata
    from serving.forecast.swings import Swings
    from serving.forecast.units import Course

RECENT_DAYS = 182  # new units are spread over strata and groups as those of these days
LEAST_STEPS = 30  # of units
LEAST_HISTORY = 4  # whole steps
WORTHLESS = -100.0  # log cents where a funnel tells no amounts at all
_SEED_WORD = 2**64


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """The posterior of everything, and the words for groups and strata."""

    funnel: Funnel
    moves: np.ndarray  # float64 [strata, stages, bands, stages + 2], Dirichlet weights
    rates: tuple[Rates, ...]  # by kind
    share: np.ndarray  # float64 [kinds, strata, groups]
    amounts: LogNormal
    revised: LogNormal
    swings: Swings
    groups: Groups
    strata: Strata
    unit_steps: int  # rows that it was learnt from


def fit(
    course: Course,
    steps: int,
    *,
    scores: tuple[Scored, ...] = (),
    future: Mapping[str, np.ndarray] | None = None,
) -> Learnt | Refusal:
    """Estimate everything, for so many steps after T; a Refusal says what there is too little of.

    `scores` tell units apart; `future` gives inputs of the steps to come. Older steps count less,
    by as much as pays.
    """
    rows = person.table(course)
    worth = amounts.deals(course)
    amount = _amount(course, amounts.unknown(worth))
    refusal = _too_little(rows)
    if refusal is not None:
        return refusal
    if isinstance(amount, Refusal):
        return amount
    looked = (rows.unit, strata.landmarks(rows, steps))
    cut = strata.strata(course, scores, looked)
    stratum = cut.at(*looked)
    faded = fading.weights(rows, steps)
    told = telling.weights(rows, stratum, cut.count)
    weights = telling.posterior(moves.counts(rows, stratum, cut.count, faded), told)
    segment = groups.told(course, course.funnel.segment)
    among = groups.groups(course, _relevant(course, rows), segment)
    swung = swings.fit(course, rows, (stratum, weights, faded), segment, steps)
    return Learnt(
        funnel=course.funnel,
        moves=weights,
        rates=_rates(course, rows, steps, future),
        share=_share(rows, stratum, among, cut.count),
        amounts=amount,
        revised=amounts.revised(worth),
        swings=swung,
        groups=among,
        strata=replace(cut, told=told),
        unit_steps=len(rows),
    )


def sample(learnt: Learnt, seed: int, first_draw: int, draws: int) -> Parameters:
    """Draw parameters: row i belongs to draw first_draw + i."""
    drawn = [_one(learnt, seed, draw) for draw in range(first_draw, first_draw + draws)]
    return _parameters(learnt, _Drawn(*(np.stack(part) for part in zip(*drawn, strict=True))))


def mean(learnt: Learnt) -> Parameters:
    """Return the centre of the posterior as one draw."""
    expected = np.stack([rates.mean(each) for each in learnt.rates], axis=-1)
    worth, changed = (np.array([[each.mean, each.sd]]) for each in (learnt.amounts, learnt.revised))
    level = levels.mean(learnt.swings.level, learnt.swings.calendar)[None]
    chances = moves.shares(learnt.moves)[None]
    return _parameters(learnt, _Drawn(chances, expected[None], worth, changed, level))


def start(course: Course, learnt: Learnt) -> Start:
    """Return the units open at T, the one that is known longest first."""
    funnel, unit = course.funnel, opened(course)
    state, entered = standing.states(course.moves, course.at, funnel.won_state)
    stage, now = state[unit], np.full(len(unit), course.at)
    group = learnt.groups.of_unit[unit]
    return Start(
        name=_names(course)[unit],
        stage=stage,
        stayed=(course.at - entered[unit]) // funnel.step,
        stratum=learnt.strata.at(unit, now),
        group=group,
        desk=learnt.groups.desk_of[group],
        part=(stage < funnel.first_deal).astype(np.int64),
        cents=amounts.deals(course).cents[unit],
        tired=amounts.contacts_felt(course)[unit],
    )


def opened(course: Course) -> np.ndarray:
    """Return the units open at T, in the order of the start: int64, places in the course."""
    won = course.funnel.won_state
    state, _ = standing.states(course.moves, course.at, won)
    unit = np.flatnonzero((state >= 0) & (state < won))
    return unit[np.argsort(_known_since(course)[unit], kind="stable")]


def arrivals(learnt: Learnt) -> Arrivals:
    """Return where new units begin, and how they are spread."""
    return Arrivals(
        stage=np.array(learnt.funnel.begins, np.int64),
        share=learnt.share,
        desk_of=learnt.groups.desk_of,
    )


def frame(learnt: Learnt) -> Frame:
    """Return the sizes of the funnel."""
    return Frame(
        stages=len(learnt.funnel.stages),
        band_of=learnt.funnel.band_of,
        segment_of=learnt.groups.segment_of,
        deals_from=learnt.funnel.first_deal,
    )


class _Drawn(NamedTuple):
    """What differs between draws, see Parameters."""

    moves: np.ndarray  # averages over the shocks
    rates: np.ndarray
    amounts: np.ndarray
    revised: np.ndarray
    level: np.ndarray


def _parameters(learnt: Learnt, drawn: _Drawn) -> Parameters:
    swung = learnt.swings
    return Parameters(
        moves=moves.without_shocks(drawn.moves, swung.shock_variance, swung.tilts),
        rates=drawn.rates,
        spread=np.array([each.spread for each in learnt.rates]),
        amounts=drawn.amounts,
        revised=drawn.revised,
        shock_sd=swung.shock_sd,
        tilt=swung.tilt,
        level=drawn.level,
    )


def _one(learnt: Learnt, seed: int, draw: int) -> _Drawn:
    rng = np.random.Generator(np.random.Philox(key=np.array([seed % _SEED_WORD, draw], np.uint64)))
    chances = moves.sample(learnt.moves, rng)
    expected = np.stack([rates.sample(each, rng) for each in learnt.rates], axis=-1)
    return _Drawn(
        chances,
        expected,
        amounts.sample(learnt.amounts, rng),
        amounts.sample(learnt.revised, rng),
        levels.sample(learnt.swings.level, learnt.swings.calendar, rng),
    )


def _amount(course: Course, found: LogNormal | int) -> LogNormal | Refusal:
    if not isinstance(found, int):
        return found
    if found or course.funnel.amount:
        return _lacks(amounts.LEAST, found, "deals with an amount")
    return amounts.LogNormal(WORTHLESS, 0.0, 0)


def _too_little(rows: Person) -> Refusal | None:
    if len(rows) < LEAST_STEPS:
        return _lacks(LEAST_STEPS, len(rows), "steps of units")
    if len(rows.bounds) - 1 < LEAST_HISTORY:
        return _lacks(LEAST_HISTORY, len(rows.bounds) - 1, "steps of history")
    return None


def _lacks(least: int, found: int, what: str) -> Refusal:
    rule = f"a forecast needs at least {least} {what}"
    return Refusal(rule=rule, value=str(found), remedy="ingest a longer history")


def _relevant(course: Course, rows: Person) -> np.ndarray:
    """Return the units that are open at T, or came lately."""
    state, _ = standing.states(course.moves, course.at, course.funnel.won_state)
    is_open = np.flatnonzero((state >= 0) & (state < course.funnel.won_state))
    return np.union1d(is_open, rows.unit[rows.is_first & _is_recent(rows)])


def _is_recent(rows: Person) -> np.ndarray:
    steps = RECENT_DAYS // rows.funnel.step_days
    return np.asarray(rows.step >= len(rows.bounds) - 1 - steps)


def _rates(
    course: Course, rows: Person, steps: int, future: Mapping[str, np.ndarray] | None
) -> tuple[Rates, ...]:
    funnel, past = course.funnel, len(rows.bounds) - 1
    middles = rows.bounds[0] + funnel.step // 2 + funnel.step * np.arange(past + steps)
    columns = np.concatenate(
        [
            seasons.calendar(middles, funnel.step_days, past * funnel.step_days),
            seasons.inputs(course, rows.bounds, steps, future),
            seasons.growth(past + steps),
        ],
        axis=1,
    )
    half_life = rates.HALF_LIFE_DAYS / funnel.step_days
    # the first step is not whole: what there is begins within it
    return tuple(
        rates.fit(
            np.bincount(rows.step[rows.is_first & (rows.stage == stage)], minlength=past)[1:],
            columns[1:],
            half_life,
        )
        for stage in funnel.begins
    )


def _share(rows: Person, stratum: np.ndarray, among: Groups, count: int) -> np.ndarray:
    kinds = rows.funnel.begins
    found = np.zeros((len(kinds), count, len(among.names)))
    for kind, stage in enumerate(kinds):
        new = rows.is_first & _is_recent(rows) & (rows.stage == stage)
        np.add.at(found[kind], (stratum[new], among.of_unit[rows.unit[new]]), 1.0)
        if not new.any():
            found[kind, strata.NO_SCORE] = 1.0
    return np.asarray(found / found.sum(axis=(1, 2), keepdims=True))


def _known_since(course: Course) -> np.ndarray:
    """Return when anything of each unit first stood; every unit asked about has something."""
    begins = np.minimum(course.moves.begins[:-1], max(len(course.moves.holds) - 1, 0))
    if not len(course.moves.holds):
        return np.zeros(len(begins), np.int64)
    return np.asarray(np.minimum.reduceat(course.moves.holds, begins))


def _names(course: Course) -> np.ndarray:
    """Return 63-bit hashes of the units; the top bit is kept for what does not exist yet."""
    leads = len(course.keys.leads)
    words = [f"{'lead' if n < leads else 'deal'} {key}" for n, key in enumerate(course.names)]
    hashed = pd.util.hash_array(np.array(words, object), categorize=False)
    return np.asarray(hashed >> np.uint64(1), np.uint64)
