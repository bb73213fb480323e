"""The chances of a step's moves: counts in, a posterior out, chances without shocks out of that.

Dirichlet per stratum, stage and band, shrunk twice: a band of the stage towards the stage, and a
stratum towards all by the ratio of its moves to those expected of its units (a standardised ratio
with a gamma prior of mean 1; Clayton, Kaldor, "Empirical Bayes estimates of age-standardized
relative risks", Biometrics 43, 1987). So a stratum with few steps is like all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast.funnels import banded

if TYPE_CHECKING:
    from serving.forecast.person import Person

PSEUDO_STEPS = 20.0  # weight of what a cell is shrunk to, in steps of one unit
PSEUDO_MOVES = 5.0  # weight of "like all others" in the ratio of a stratum, in moves
MOST_MOVING = 0.95
# E[expit(x + sd z)] is about expit(x / sqrt(1 + c^2 sd^2)): Zeger, Liang, Albert, Biometrics 44
_LOGIT_NORMAL = (16.0 * np.sqrt(3.0) / (15.0 * np.pi)) ** 2
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # of averages over a normal number
_STEPS = 5  # of Newton, from there


def counts(
    person: Person, stratum: np.ndarray, strata: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return how many unit-steps led where: float64 [strata, stages, bands, stages + 2].

    A move counts one, or its `weight`; those that stayed are what is left of the exposure.
    """
    if weight is None:
        weight = np.ones(len(person))
    funnel = person.funnel
    stages, bands = len(funnel.stages), len(funnel.bands)
    found = np.zeros((strata, stages, bands, stages + 2))
    exposed = np.zeros((strata, stages, bands))
    cell = (stratum, person.stage, banded(funnel.band_of, person.stayed))
    np.add.at(exposed, cell, person.exposure * weight)
    moved = person.then != person.stage
    np.add.at(found, (*(each[moved] for each in cell), person.then[moved]), weight[moved])
    stay = np.arange(stages)
    found[:, stay, :, stay] = np.maximum(exposed - found.sum(axis=-1), 0.0).transpose(1, 0, 2)
    return found


def posterior(found: np.ndarray) -> np.ndarray:
    """Return Dirichlet weights, shaped like the counts."""
    stages = found.shape[1]
    every = found.sum(axis=0)
    of_stage = shares(every.sum(axis=1) + _blank(stages))
    of_band = shares(every + PSEUDO_STEPS * of_stage[:, None, :])
    if len(found) == 1:
        return found + PSEUDO_STEPS * of_band
    expected = (found.sum(axis=-1, keepdims=True) * of_band).sum(axis=2)
    ratio = (found.sum(axis=2) + PSEUDO_MOVES) / (expected + PSEUDO_MOVES)
    return found + PSEUDO_STEPS * _raised(of_band, ratio)


def shares(weights: np.ndarray) -> np.ndarray:
    """Return weights divided by their sums over the last axis."""
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def sample(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw chances from the posterior."""
    return shares(rng.standard_gamma(weights))


def is_forward(stages: int) -> np.ndarray:
    """Return which destinations lie ahead of each stage: bool [stages, stages + 2]."""
    ahead = np.arange(stages + 2) > np.arange(stages)[:, None]
    ahead[:, stages + 1] = False
    return ahead


def forward(chances: np.ndarray) -> np.ndarray:
    """Return the chance of going forward: one axis less than [..., stages, bands, stages + 2]."""
    ahead = is_forward(chances.shape[-3])
    return np.asarray((chances * ahead[:, None, :]).sum(axis=-1))


def without_shocks(
    chances: np.ndarray, variance: float, tilts: np.ndarray | None = None
) -> np.ndarray:
    """Return chances that are on average the given ones when the log odds of going forward are
    shifted by normal shocks of this variance, and by each tilt of the stage, float64 [stages, any],
    as often.
    """
    stages = chances.shape[-3]
    tilts = np.zeros((stages, 1)) if tilts is None else tilts
    shifts = (tilts[:, :, None] + np.sqrt(variance) * _NODES).reshape(stages, 1, -1)
    weights = np.tile(_WEIGHTS / _WEIGHTS.sum(), tilts.shape[1]) / tilts.shape[1]
    average = np.clip(forward(chances), 1e-12, 1.0 - 1e-12)
    log_odds = np.log(average / (1.0 - average))
    log_odds *= np.sqrt(1.0 + _LOGIT_NORMAL * (variance + tilts.var(axis=1)[:, None]))
    log_odds -= tilts.mean(axis=1)[:, None]
    for _ in range(_STEPS):
        shocked = _expit(log_odds[..., None] + shifts)
        slope = (shocked * (1.0 - shocked)) @ weights
        step = (shocked @ weights - average) / np.maximum(slope, 1e-300)
        log_odds -= np.clip(step, -1.0, 1.0)
    average, base = average[..., None], _expit(log_odds)[..., None]
    ahead = is_forward(chances.shape[-3])[:, None, :]
    changed = np.where(ahead, base / average, (1.0 - base) / (1.0 - average))
    return np.asarray(chances * changed)


def _expit(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


def _blank(stages: int) -> np.ndarray:
    """One step of no knowledge keeps a stage without history proper: half stay, the rest spread."""
    blank = np.full((stages, stages + 2), 0.5 / (stages + 1))
    blank[np.arange(stages), np.arange(stages)] = 0.5
    return blank


def _raised(of_band: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Multiply the chances of moving by the ratios of each stratum; what is left stays."""
    stages = of_band.shape[0]
    stay = np.eye(stages, stages + 2, dtype=bool)[:, None, :]
    moving = np.where(stay, 0.0, of_band * ratio[:, :, None, :])
    total = moving.sum(axis=-1, keepdims=True)
    moving *= np.minimum(1.0, MOST_MOVING / np.maximum(total, MOST_MOVING))
    return np.where(stay, 1.0 - moving.sum(axis=-1, keepdims=True), moving)
