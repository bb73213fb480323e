"""What holds in one draw, tabulated before its steps: limits of moves, shocks, effects, arrivals.

The law of moves. A unit in a stratum, stage s and band moves with chances q: forward F are the
stages beyond s and WON. A factor phi, the exponential of a shift of the log odds (shocks of the
step, contacts in force), makes of them q'_d = phi q_d / D for d in F and q_d / D else, with
D = 1 + p_F (phi - 1) and p_F the sum of q over F: the multinomial logit with one more term for F
(McFadden, "Conditional logit analysis of qualitative choice behavior", 1974). Where contacts change
the odds of being lost by a factor psi too, q'_lost = psi q_lost / D, and D has p_L (psi - 1) more.

A number u is compared in the order LOST, stages before s, s, stages beyond s, WON. So a unit that
goes forward without a lever goes forward with one too, wherever phi >= 1 >= psi: comparisons are
sharp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from serving.forecast.bare import BARE
from serving.forecast.luck import ARRIVALS, BESIDE, EFFECT, FACTOR, LOST_EFFECT, SHOCK, Chance
from serving.forecast.philox import uniform
from serving.forecast.variates import gamma, normal, poisson

if TYPE_CHECKING:
    from serving.forecast.levers import Levers

WIDTH = 8  # numbers that are compared at once
MOST_CENTS = 9.0e15  # whole numbers of this size are exact
_PARTS, _PART = 65536.0, 2.0**-16
_LOW, _QUARTER, _HALF = np.uint64(0xFFFF), np.uint64(16), np.uint64(32)
_LEAST_VARIANCE = 1e-6  # below it the factor of a step's rate is 1 for every purpose


class Laws(NamedTuple):
    """The tables of one draw."""

    ages: int  # steps in a stage that are told apart
    moves: np.ndarray  # float64 [cells, bands, stages + 2]; cell: stratum * stages + stage
    rising: np.ndarray  # float64 [cells, bands, a multiple of WIDTH], sums of moves, see rise
    limits: np.ndarray  # float64 [4, (cells + 1) * ages]: stays from, stays below, p_F, p_L
    brief: np.ndarray  # uint64 [(cells + 1) * ages], limits in brief, see shorten
    phi: np.ndarray  # float64 [steps, groups], of the shocks
    effect: np.ndarray  # float64 [2, levers], log ratios of a contact (forward, lost) against the
    # mix of history
    arrivals: np.ndarray  # int64 [steps, kinds]
    beside: np.ndarray  # int64 [steps, kinds], who may arrive beside them; see growth
    factor: np.ndarray  # float64 [campaigns], what each does to arrivals
    amounts: np.ndarray  # float64 [2]
    revised: np.ndarray  # float64 [2]
    level: np.ndarray  # float64 [steps], on the log odds of going forward


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
    row[3] = chances[stages + 1]


@njit(**BARE)
def shorten(limits: np.ndarray, brief: np.ndarray) -> None:
    """Write for each column of limits a word that takes one look: p_F as float32, then stays from
    and stays below in 16 bits each, drawn together by at least one part in 65,536.

    Of a number x near a limit, that rounds p_F by 6e-8 at most: who stays by these stays.
    """
    for at in range(brief.size):
        low = min(max(np.ceil(limits[0, at] * _PARTS) + 1.0, 0.0), _PARTS - 1.0)
        high = min(max(np.floor(limits[1, at] * _PARTS) - 1.0, 0.0), _PARTS - 1.0)
        if limits[0, at] <= 0.0:
            low = 0.0
        word = np.uint64(np.float32(limits[2, at]).view(np.uint32)) << _HALF
        brief[at] = word | np.uint64(low) << _QUARTER | np.uint64(high)


@njit(cache=True, nogil=True, inline="always")
def ahead_of(brief: np.uint64) -> float:
    """Return p_F."""
    return np.float64(np.uint32(brief >> _HALF).view(np.float32))


@njit(cache=True, nogil=True, inline="always")
def low_of(brief: np.uint64) -> float:
    """Return from where on a unit stays for sure."""
    return np.float64(np.int32((brief >> _QUARTER) & _LOW)) * _PART


@njit(cache=True, nogil=True, inline="always")
def high_of(brief: np.uint64) -> float:
    """Return below what a unit stays for sure."""
    return np.float64(np.int32(brief & _LOW)) * _PART


@njit(**BARE)
def rise(moves: np.ndarray, rising: np.ndarray) -> None:
    """Write sums of chances in the order LOST, stages, WON; nobody is beyond the last chance."""
    (cells, bands, ends), rising[:] = moves.shape, np.inf
    for cell in range(cells):
        for band in range(bands):
            total, last = 0.0, 0
            for k in range(ends):
                chance = moves[cell, band, k - 1 if k > 0 else ends - 1]
                total += chance
                rising[cell, band, k] = total
                last = k if chance > 0.0 else last
            rising[cell, band, last:] = np.inf


@njit(cache=True, nogil=True, inline="always")
def destination(rising: np.ndarray, stages: int, x: float, law: tuple[float, float, float]) -> int:
    """Return where a unit goes that does not stay: x is its number times D, law its limits and phi.

    What rounding leaves over falls to the last destination that has a chance.
    """
    low, high, phi = law
    ahead = high + (x - high) * (1.0 / phi)
    y, passed = x if x < low else ahead, 0
    for first in range(0, rising.size, WIDTH):
        for k in range(WIDTH):
            passed += int(rising[first + k] <= y)
    return passed - 1 if passed > 0 else stages + 1


@njit(**BARE)
def shocks(
    sd: np.ndarray, segment_of: np.ndarray, level: np.ndarray, first: Chance, phi: np.ndarray
) -> None:
    """Write exp(level + shock of the step + shock of the segment in it) by step and group."""
    for step in range(phi.shape[0]):
        of_all = level[step] + sd[0] * _shock(first, step, 0)
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
    """Write the log ratios of a contact, drawn once per draw, against the mix that history holds.

    History already contains contacts, in a share p of unit-steps, and the chances are its averages:
    for a log ratio b against no contact that is b - log(1 + p (exp(b) - 1)).
    """
    for lever in range(effect.shape[1]):
        z = normal(uniform(first.seed, first.draw, 0, 0, EFFECT + lever))
        ratio = levers.log_ratio[lever] + levers.log_ratio_sd[lever] * z
        effect[0, lever] = ratio - math.log1p(levers.contacted[lever] * math.expm1(ratio))
        z = normal(uniform(first.seed, first.draw, 0, 0, LOST_EFFECT + lever))
        lost = levers.lost_log_ratio[lever] + levers.lost_log_ratio_sd[lever] * z
        effect[1, lever] = lost - math.log1p(levers.contacted[lever] * math.expm1(lost))


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
                rate = _rate(rates[row, step, kind], spread, kind, chance)
                u = uniform(chance.seed, chance.draw, 0, chance.step, ARRIVALS + kind)
                counts[row, step, kind] = poisson(rate, u)
    return counts


@njit(cache=True, nogil=True)
def beside(rates: np.ndarray, spread: np.ndarray, most: np.ndarray, first: Chance) -> np.ndarray:
    """Return int64 [draws, steps, kinds], how many units may arrive beside those of `arriving`,
    where campaigns multiply the rate of some groups by up to `most`, float64 [draws, steps, kinds],
    1 at least. Of these each comes as often as its own group's factor says.
    """
    draws, steps, kinds = rates.shape
    counts = np.zeros((draws, steps, kinds), np.int64)
    for row in range(draws):
        for step in range(steps):
            for kind in range(kinds):
                if most[row, step, kind] > 1.0:
                    chance = Chance(first.seed, first.draw + row, step)
                    rate = _rate(rates[row, step, kind], spread, kind, chance)
                    u = uniform(chance.seed, chance.draw, 0, chance.step, BESIDE + kind)
                    counts[row, step, kind] = poisson(rate * (most[row, step, kind] - 1.0), u)
    return counts


@njit(cache=True, nogil=True, inline="always")
def _rate(rate: float, spread: np.ndarray, kind: int, chance: Chance) -> float:
    if spread[kind] > _LEAST_VARIANCE:
        u = uniform(chance.seed, chance.draw, 0, chance.step, FACTOR + kind)
        rate = rate * gamma(1.0 / spread[kind], u) * spread[kind]
    return rate


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
