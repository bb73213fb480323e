"""How much scores tell of each stage: as much as they would have told of the later history. Pure.

Chances are learnt by stratum, and without strata, from the steps before the middle of the scored
rows. Of each stage that mean of the two is taken which gives what came after the middle the best
logarithmic score (a linear opinion pool: Hall, Mitchell, "Combining density forecasts",
International Journal of Forecasting 23, 2007). Chances by stratum alone would be noisier wherever
scores say little; so scores that say nothing do no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import moves
from serving.forecast.funnels import banded
from serving.forecast.strata import NO_SCORE

if TYPE_CHECKING:
    from serving.forecast.person import Person

GRID = np.linspace(0.0, 1.0, 11)  # weights that are tried


def weights(rows: Person, stratum: np.ndarray, strata: int) -> np.ndarray:
    """Return the weight of chances by stratum [rows] in each stage: float64 [stages]."""
    is_scored, count = stratum != NO_SCORE, len(rows.funnel.stages)
    if not is_scored.any():
        return np.zeros(count)
    middle = np.median(rows.step[is_scored])
    later = np.flatnonzero(is_scored & (rows.step > middle))
    found = moves.counts(rows, stratum, strata, (rows.step <= middle).astype(float))
    apart = _said(found, rows, later, stratum)
    alike = _said(found.sum(axis=0, keepdims=True), rows, later, stratum * 0)
    pool = np.log(GRID[:, None] * apart + (1.0 - GRID[:, None]) * alike) * rows.exposure[later]
    gained = [np.bincount(rows.stage[later], each - pool[0], minlength=count) for each in pool]
    return np.asarray(GRID[np.argmax(gained, axis=0)])


def posterior(counts: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return Dirichlet weights like moves.posterior, those of a stratum and those of all pooled by
    the weight of the stratum's in each stage [stages].
    """
    apart = moves.posterior(counts)
    alike = moves.posterior(counts.sum(axis=0, keepdims=True))
    part = weight[:, None, None]
    chances = part * moves.shares(apart) + (1.0 - part) * moves.shares(alike)
    sizes = (each.sum(axis=-1, keepdims=True) for each in (apart, alike))
    of_stratum, of_all = sizes
    return np.asarray(chances * (part * of_stratum + (1.0 - part) * of_all))


def _said(counts: np.ndarray, rows: Person, at: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Return the chance that was given to what came, of some rows: float64 [rows], above 0."""
    chances = moves.shares(moves.posterior(counts))
    band = banded(rows.funnel.band_of, rows.stayed[at])
    said = chances[stratum[at], rows.stage[at], band, rows.then[at]]
    return np.asarray(np.maximum(said, np.finfo(float).tiny))
