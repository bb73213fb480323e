"""Levels: what all units share of the log odds of going forward, and how much of it lasts.

The shift of a step, against the average chances of history, is read from two kinds of moves, those
out of the last stage (k = 1) and all others (k = 0):

    reading_tk = c + m_t + e_t + x_tk b + noise of its count
    m_t = phi m_t-1 + N(0, walk^2),  e_t = N(0, shock^2)

c is the error of the average chances: where all are shocked alike, history holds as many
observations of them as steps, not as units. m is what lasts (phi below 1: for a while), e a shock
of one step, x the calendar with effects b that are 0 unless told from chance (a normal prior).
Given (phi, walk, shock) all is linear and normal: a Kalman filter gives the state at T and the
likelihood (Harvey, "Forecasting, structural time series models and the Kalman filter", 1989, 3.2
to 3.4). Those three are on a grid, weighed by likelihood and prior: every draw takes one of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHOCKS = (0.0, 0.05, 0.08, 0.12, 0.17, 0.23, 0.3, 0.38, 0.47, 0.57, 0.7, 0.85, 1.05, 1.3)
# phi, walk, and how likely before any reading: little stands still, and most drifts slowly
WALKS = (
    *((1.0, 0.0, 0.2), (1.0, 0.015, 0.35), (1.0, 0.03, 0.2)),
    *((1.0, 0.06, 0.07), (1.0, 0.12, 0.04), (1.0, 0.25, 0.02)),
    *((0.9, 0.08, 0.02), (0.9, 0.16, 0.02), (0.9, 0.32, 0.02)),
    *((0.6, 0.1, 0.02), (0.6, 0.2, 0.02), (0.6, 0.4, 0.02)),
)
CONSTANT_SD, EFFECT_SD = 1.0, 0.15  # priors, on the log odds
_C, _M, _E = 0, 1, 2  # places of the state; the effects come behind


class Readings(NamedTuple):
    """What the moves of each step tell, float64 [steps, kinds]."""

    shift: np.ndarray  # on the log odds
    weight: np.ndarray  # one over the variance that counts give it; 0 for nothing


class Level(NamedTuple):
    """The posterior at T, one row for each (phi, walk, shock)."""

    chance: np.ndarray  # float64 [rows], sums to 1
    phi: np.ndarray  # float64 [rows]
    walk: np.ndarray  # float64 [rows]
    shock: np.ndarray  # float64 [rows], sd
    centre: np.ndarray  # float64 [rows, 3 + effects]
    root: np.ndarray  # float64 [rows, 3 + effects, 3 + effects], of the covariance: root @ root.T


def fit(readings: Readings, columns: np.ndarray) -> Level:
    """Return the posterior after all readings; columns float64 [steps, kinds, effects]."""
    chance, phi, walk, shock = _grid()
    effects = columns.shape[-1]
    prior = np.r_[CONSTANT_SD**2, 0.0, 0.0, np.full(effects, EFFECT_SD**2)]
    centre, spread = np.zeros((len(phi), 3 + effects)), np.tile(np.diag(prior), (len(phi), 1, 1))
    told = np.log(chance)
    for now in range(len(columns)):
        _pass(centre, spread, phi, walk, shock)
        for kind in range(columns.shape[1]):
            seen = np.r_[1.0, 1.0, 1.0, columns[now, kind]]
            one = (seen, readings.shift[now, kind], readings.weight[now, kind])
            told += _see(centre, spread, *one)
    chance = np.exp(told - told.max())
    return Level(chance / chance.sum(), phi, walk, shock, centre, _root(spread))


def sample(level: Level, columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw what all share beside the shocks in each step to come, float64 [steps]; columns are
    those of the steps to come, float64 [steps, effects].
    """
    row = int(np.searchsorted(np.cumsum(level.chance), rng.random() * level.chance.sum()))
    row = min(row, len(level.chance) - 1)
    state = level.centre[row] + level.root[row] @ rng.standard_normal(level.root.shape[-1])
    found, lasts = np.empty(len(columns)), state[_M]
    for step, given in enumerate(columns):
        lasts = level.phi[row] * lasts + level.walk[row] * rng.standard_normal()
        found[step] = state[_C] + lasts + given @ state[3:]
    return found


def mean(level: Level, columns: np.ndarray) -> np.ndarray:
    """Return the expectation of what `sample` draws: float64 [steps]."""
    kept = level.phi ** np.arange(1, len(columns) + 1)[:, None]
    lasts = kept * level.centre[:, _M]
    return np.asarray(
        (level.centre[:, _C] + lasts + columns @ level.centre[:, 3:].T) @ level.chance
    )


def shock_sd(level: Level) -> float:
    """Return the sd of the shocks of all."""
    return float(np.sqrt(level.chance @ level.shock**2))


def effects(level: Level) -> np.ndarray:
    """Return the expected effects: float64 [effects]."""
    return np.asarray(level.chance @ level.centre[:, 3:])


def _root(spread: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(spread)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the prior of the rows, and their phi, walk and shock: float64 [rows] each."""
    rows = np.array([(chance, phi, walk, sd) for phi, walk, chance in WALKS for sd in SHOCKS])
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]


def _pass(
    centre: np.ndarray, spread: np.ndarray, phi: np.ndarray, walk: np.ndarray, shock: np.ndarray
) -> None:
    """Take the states from one step to the next."""
    centre[:, _M] *= phi
    centre[:, _E] = 0.0
    spread[:, _M] *= phi[:, None]
    spread[:, :, _M] *= phi[:, None]
    spread[:, _M, _M] += walk**2
    spread[:, _E] = 0.0
    spread[:, :, _E] = 0.0
    spread[:, _E, _E] = shock**2


def _see(
    centre: np.ndarray, spread: np.ndarray, seen: np.ndarray, shift: float, weight: float
) -> np.ndarray:
    """Let the states take in a reading; returns its log likelihood in each row."""
    if weight <= 0.0:
        return np.zeros(len(centre))
    across = spread @ seen
    variance = across @ seen + 1.0 / weight
    off = shift - centre @ seen
    gain = across / variance[:, None]
    centre += gain * off[:, None]
    spread -= gain[:, :, None] * across[:, None, :]
    return np.asarray(-0.5 * (off**2 / variance + np.log(variance)))
