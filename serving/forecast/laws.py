"""What holds in one draw, tabulated before its steps: limits of moves, shocks, effects, arrivals.

The law of moves. A unit in a stratum, stage s and band moves with chances q: forward F are the
stages beyond s and WON. A factor phi, the exponential of a shift of the log odds (shocks of the
step, contacts in force), makes of them q'_d = phi q_d / D for d in F and q_d / D else, with
D = 1 + p_F (phi - 1) and p_F the sum of q over F: the multinomial logit with one more term for F
(McFadden, "Conditional logit analysis of qualitative choice behavior", 1974).

A number u is compared in the order LOST, stages before s, s, stages beyond s, WON. So a unit that
goes forward without a lever goes forward with one too, wherever phi >= 1: comparisons are sharp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from serving.forecast.bare import BARE
from serving.forecast.luck import ARRIVALS, EFFECT, FACTOR, SHOCK, Chance
from serving.forecast.philox import uniform
from serving.forecast.variates import gamma, normal, poisson

if TYPE_CHECKING:
    from serving.forecast.levers import Levers

MOST_CENTS = 9.0e15  # whole numbers of this size are exact
_LEAST_VARIANCE = 1e-6  # below it the factor of a step's rate is 1 for every purpose


class Laws(NamedTuple):
    """The tables of one draw."""

    ages: int  # steps in a stage that are told apart
    moves: np.ndarray  # float64 [cells, bands, stages + 2]; cell: stratum * stages + stage
    limits: np.ndarray  # float64 [3, (cells + 1) * ages]: stays from, stays below, p_F
    phi: np.ndarray  # float64 [steps, groups], of the shocks
    effect: np.ndarray  # float64 [levers], log ratio of a contact against the mix of history
    arrivals: np.ndarray  # int64 [steps, kinds]
    amounts: np.ndarray  # float64 [2]
    revised: np.ndarray  # float64 [2]


@njit(**BARE)
def limits(moves: np.ndarray, band_of: np.ndarray, table: np.ndarray) -> None:
    """Write the table of limits, column cell * ages + age; the last cell is for those that closed.

    A unit stays while u D lies in [stays from, stays below).
    """
    cells, ages, stages = moves.shape[0], band_of.size, moves.shape[2] - 2
    for cell in range(cells):
        for age in range(ages):
            _limits(moves[cell, band_of[age]], cell % stages, table[:, cell * ages + age])
    table[0, cells * ages :] = -np.inf
    table[1, cells * ages :] = np.inf


@njit(cache=True, nogil=True, inline="always")
def _limits(chances: np.ndarray, stage: int, row: np.ndarray) -> None:
    stages = chances.size - 2
    back, ahead = chances[stages + 1], 0.0
    for other in range(stage):
        back += chances[other]
    for other in range(stage + 1, stages + 1):
        ahead += chances[other]
    row[0] = back
    row[1] = back + chances[stage] if ahead > 0.0 else np.inf
    row[2] = ahead


@njit(cache=True, nogil=True, inline="always")
def destination(chances: np.ndarray, stage: int, x: float, phi: float) -> int:
    """Return where a unit goes that does not stay: x is its number times D, see limits.

    What rounding leaves over falls to the last destination that has a chance.
    """
    stages = chances.size - 2
    below = chances[stages + 1]
    if x < below:
        return stages + 1
    found = stages + 1
    for other in range(stages + 1):
        chance = phi * chances[other] if other > stage else chances[other]
        below += chance
        if other != stage and chance > 0.0:
            found = other
            if x < below:
                return other
    return found


@njit(**BARE)
def shocks(sd: np.ndarray, segment_of: np.ndarray, first: Chance, phi: np.ndarray) -> None:
    """Write exp(shock of the step + shock of the segment in the step) for each step and group."""
    for step in range(phi.shape[0]):
        of_all = sd[0] * _shock(first, step, 0)
        for segment in range(sd.size - 1):
            own = sd[1 + segment] * _shock(first, step, 1 + segment)
            for group in range(segment_of.size):
                if segment_of[group] == segment:
                    phi[step, group] = math.exp(of_all + own)


@njit(cache=True, nogil=True, inline="always")
def _shock(first: Chance, step: int, which: int) -> float:
    return normal(uniform(first.seed, first.draw, 0, step, SHOCK + which))


@njit(**BARE)
def effects(levers: Levers, first: Chance, effect: np.ndarray) -> None:
    """Write the log ratio of a contact, drawn once per draw, against the mix that history holds.

    History already contains contacts, in a share p of unit-steps, and the chances are its averages:
    for a log ratio b against no contact that is b - log(1 + p (exp(b) - 1)).
    """
    for lever in range(effect.size):
        z = normal(uniform(first.seed, first.draw, 0, 0, EFFECT + lever))
        ratio = levers.log_ratio[lever] + levers.log_ratio_sd[lever] * z
        effect[lever] = ratio - math.log1p(levers.contacted[lever] * math.expm1(ratio))


@njit(cache=True, nogil=True)
def arriving(rates: np.ndarray, spread: np.ndarray, first: Chance) -> np.ndarray:
    """Return int64 [draws, steps, kinds], how many units arrive: Poisson, its rate times a gamma
    factor of mean 1 and variance `spread`. Row i belongs to draw first.draw + i.
    """
    draws, steps, kinds = rates.shape
    counts = np.empty((draws, steps, kinds), np.int64)
    for row in range(draws):
        for step in range(steps):
            for kind in range(kinds):
                chance = Chance(first.seed, first.draw + row, step)
                counts[row, step, kind] = _arriving(rates[row, step, kind], spread, kind, chance)
    return counts


@njit(cache=True, nogil=True, inline="always")
def _arriving(rate: float, spread: np.ndarray, kind: int, chance: Chance) -> int:
    if spread[kind] > _LEAST_VARIANCE:
        u = uniform(chance.seed, chance.draw, 0, chance.step, FACTOR + kind)
        rate = rate * gamma(1.0 / spread[kind], u) * spread[kind]
    return poisson(rate, uniform(chance.seed, chance.draw, 0, chance.step, ARRIVALS + kind))


@njit(cache=True, nogil=True, inline="always")
def cents(known: int, u: float, laws: Laws) -> int:
    """Return the value of a unit that is won: a known amount times exp(revised), one that is not
    known exp(amounts), by inversion of u; 0 to MOST_CENTS, rounded to whole cents.
    """
    z = normal(u)
    if known >= 0:
        value = known * math.exp(laws.revised[0] + laws.revised[1] * z)
    else:
        value = math.exp(laws.amounts[0] + laws.amounts[1] * z)
    return int(min(MOST_CENTS, value + 0.5))
