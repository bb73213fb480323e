"""Growth: campaigns change how many units arrive, by the factor budget ** elasticity.

The arrivals of business as usual stay the same units, on the same luck. Where the factor f of their
group is below 1, each stays away with chance 1 - f, by a number of its own; where it is above,
others arrive beside them, f - 1 times as many on average.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from serving.forecast.bare import BARE
from serving.forecast.luck import RESPONSE, Chance
from serving.forecast.philox import uniform
from serving.forecast.variates import normal

MOST = 100.0  # times as many arrivals as usual


class Growth(NamedTuple):
    """The campaigns, one element or row each."""

    kinds: np.ndarray  # bool [campaigns, kinds], of arrivals
    groups: np.ndarray  # bool [campaigns, groups]
    first: np.ndarray  # int64, the first step in which arrivals differ
    last: np.ndarray  # int64, the last
    budget: np.ndarray  # float64, factor on what is spent
    elasticity: np.ndarray  # float64
    elasticity_sd: np.ndarray  # float64, of what is drawn once per draw


def none(kinds: int, groups: int) -> Growth:
    """Return no campaigns: business as usual."""
    steps, numbers = np.zeros(0, np.int64), np.zeros(0)
    masks = np.zeros((0, kinds), bool), np.zeros((0, groups), bool)
    return Growth(*masks, steps, steps, numbers, numbers, numbers)


def factors(growth: Growth, first: Chance, draws: int) -> np.ndarray:
    """Return what each campaign does to arrivals in each draw: float64 [draws, campaigns], 0 to
    MOST.
    """
    drawn = np.empty((draws, growth.budget.size))
    _elasticities(growth, first, drawn)
    with np.errstate(divide="ignore"):
        found = np.power(growth.budget[None, :], drawn)
    return np.asarray(np.minimum(found, MOST))


def greatest(growth: Growth, factor: np.ndarray, steps: int) -> np.ndarray:
    """Return the greatest factor of any group, 1 at least: float64 [draws, steps, kinds], for
    factors [draws, campaigns].
    """
    found = np.ones((factor.shape[0], steps, growth.kinds.shape[1]))
    step = np.arange(steps)
    if not growth.budget.size:
        return found
    for group in range(growth.groups.shape[1]):
        one = np.ones_like(found)
        for campaign in np.flatnonzero(growth.groups[:, group]):
            is_on = (growth.first[campaign] <= step) & (step <= growth.last[campaign])
            acts = is_on[:, None] & growth.kinds[campaign]
            one *= np.where(acts[None], factor[:, campaign, None, None], 1.0)
        np.maximum(found, one, out=found)
    return found


@njit(**BARE)
def _elasticities(growth: Growth, first: Chance, drawn: np.ndarray) -> None:
    for row in range(drawn.shape[0]):
        for campaign in range(drawn.shape[1]):
            u = uniform(first.seed, first.draw + row, 0, 0, RESPONSE + campaign)
            sd = growth.elasticity_sd[campaign]
            drawn[row, campaign] = growth.elasticity[campaign] + sd * normal(u)
