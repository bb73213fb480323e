"""Rates of arrival: a log-linear negative binomial regression, its posterior, and draws from it.

Counts y of a step have mean mu = exp(x b) and variance mu + a mu^2: a Poisson whose rate varies by
a gamma factor of variance a. The coefficients have a normal prior around 0 (a ridge); the intercept
has none. They are fitted by iteratively reweighted least squares, a by moments in between
(McCullagh, Nelder, "Generalized Linear Models", 2nd ed., 2.5 and 6.2.3); their posterior is taken
as normal (Laplace). Older steps count less, by half every HALF_LIFE_DAYS: the level may change.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

HALF_LIFE_DAYS = 182.0
PRIOR_SD = 0.5  # of what a column, at one standard deviation, does to the log rate
LEAST_ARRIVALS = 10  # with fewer, the rate is one number
_ROUNDS, _TURNS = 4, 25
_TINY = 1e-9
_LARGEST_LOG = 30.0


class Rates(NamedTuple):
    """The posterior of one kind's rate."""

    design: np.ndarray  # float64 [steps to come, columns]
    centre: np.ndarray  # float64 [columns]
    root: np.ndarray  # float64 [columns, columns], of the covariance: root @ root.T
    spread: float  # a
    shape: float  # of the gamma posterior of a constant rate; 0 where there is a regression
    steps: float  # that it was seen for


def fit(counts: np.ndarray, columns: np.ndarray, half_life: float) -> Rates:
    """Fit the rate of a kind: counts [steps], columns [steps + steps to come, columns], half-life
    in steps.
    """
    steps = len(counts)
    weight = 0.5 ** (np.arange(steps)[::-1] / half_life)
    ahead = len(columns) - steps
    if counts.sum() < LEAST_ARRIVALS:
        return _constant(counts, weight, ahead)
    design = np.column_stack([np.ones(len(columns)), _scaled(columns, steps)])
    past = design[:steps]
    spread, centre = 0.0, np.zeros(design.shape[1])
    centre[0] = np.log(np.average(counts, weights=weight) + _TINY)
    for _ in range(_ROUNDS):
        centre, precision = _regressed(counts, past, weight, spread, centre)
        spread = _spread(counts, np.exp(past @ centre), weight, past.shape[1])
    _, precision = _regressed(counts, past, weight, spread, centre)
    root = np.linalg.inv(np.linalg.cholesky(precision)).T
    return Rates(design[steps:], centre, root, spread, 0.0, 0.0)


def sample(rates: Rates, rng: np.random.Generator) -> np.ndarray:
    """Draw the units expected in every step to come: float64 [steps to come]."""
    if not len(rates.centre):
        return np.full(len(rates.design), rng.standard_gamma(rates.shape) / rates.steps)
    drawn = rates.centre + rates.root @ rng.standard_normal(len(rates.centre))
    return np.asarray(np.exp(np.clip(rates.design @ drawn, -_LARGEST_LOG, _LARGEST_LOG)))


def mean(rates: Rates) -> np.ndarray:
    """Return the units expected at the centre of the posterior: float64 [steps to come]."""
    if not len(rates.centre):
        return np.full(len(rates.design), rates.shape / rates.steps)
    return np.asarray(np.exp(np.clip(rates.design @ rates.centre, -_LARGEST_LOG, _LARGEST_LOG)))


def _constant(counts: np.ndarray, weight: np.ndarray, ahead: int) -> Rates:
    none = np.zeros((ahead, 0))
    shape, steps = float((counts * weight).sum()), max(float(weight.sum()), 1.0)
    return Rates(none, np.empty(0), np.zeros((0, 0)), 0.0, shape, steps)


def _scaled(columns: np.ndarray, steps: int) -> np.ndarray:
    """Return the columns with mean 0 and sd 1 over the past; what never varied then tells nothing,
    and what is to come is taken as no further out than what was seen.
    """
    past = columns[:steps]
    sd = past.std(axis=0)
    within = np.clip(columns, past.min(axis=0), past.max(axis=0))
    scaled = (within - past.mean(axis=0)) / np.maximum(sd, _TINY)
    return np.asarray(np.where(sd > _TINY, scaled, 0.0))


def _regressed(
    counts: np.ndarray, design: np.ndarray, weight: np.ndarray, spread: float, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mode of the posterior and its precision."""
    ridge = np.diag(np.r_[_TINY, np.full(design.shape[1] - 1, PRIOR_SD**-2)])
    for _ in range(_TURNS):
        level = np.clip(design @ centre, -_LARGEST_LOG, _LARGEST_LOG)
        expected = np.exp(level)
        worth = weight * expected / (1.0 + spread * expected)
        working = level + (counts - expected) / np.maximum(expected, _TINY)
        precision = (design.T * worth) @ design + ridge
        after = np.linalg.solve(precision, (design.T * worth) @ working)
        moved, centre = float(np.abs(after - centre).max()), after
        if moved < _TINY:
            break
    return centre, precision


def _spread(counts: np.ndarray, expected: np.ndarray, weight: np.ndarray, columns: int) -> float:
    """Return a: what the squared residuals have beyond a Poisson's, for the columns fitted."""
    steps = weight.sum() ** 2 / (weight**2).sum()
    free = steps / max(steps - columns, 1.0)
    excess = weight @ (free * (counts - expected) ** 2 - expected)
    return max(0.0, float(excess / (weight @ expected**2)))
