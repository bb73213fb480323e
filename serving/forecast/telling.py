"""Which stages scores tell apart: those whose later half they would have told better. Pure.

Chances are learnt by stratum, and without strata, from the steps before the middle of the scored
rows; what each says of the steps after it is compared by the logarithmic score (Dawid, "Statistical
theory: the prequential approach", JRSS A 147, 1984). Where strata say no more, their chances would
only be noisier: units of that stage then have those of all. So scores that say nothing do no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import moves
from serving.forecast.funnels import banded
from serving.forecast.strata import NO_SCORE

if TYPE_CHECKING:
    from serving.forecast.person import Person


def stages(rows: Person, stratum: np.ndarray, strata: int) -> np.ndarray:
    """Return in which stages the strata [rows] tell units apart: bool [stages]."""
    is_scored = stratum != NO_SCORE
    count = len(rows.funnel.stages)
    if not is_scored.any():
        return np.zeros(count, bool)
    middle = np.median(rows.step[is_scored])
    later = np.flatnonzero(is_scored & (rows.step > middle))
    weight = (rows.step <= middle).astype(float)
    found = moves.counts(rows, stratum, strata, weight)
    whole = found.sum(axis=0, keepdims=True)
    gain = _score(found, rows, later, stratum) - _score(whole, rows, later, stratum * 0)
    return np.asarray(np.bincount(rows.stage[later], gain, minlength=count) > 0.0)


def posterior(counts: np.ndarray, tells: np.ndarray) -> np.ndarray:
    """Return moves.posterior of counts, but where strata do not tell a stage that of all."""
    found = moves.posterior(counts)
    alone = moves.posterior(counts.sum(axis=0, keepdims=True))
    found[:, ~tells] = alone[:, ~tells]
    return found


def _score(counts: np.ndarray, rows: Person, at: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Return the log of the chance of what came, of some rows: float64 [rows]."""
    chances = moves.shares(moves.posterior(counts))
    band = banded(rows.funnel.band_of, rows.stayed[at])
    said = chances[stratum[at], rows.stage[at], band, rows.then[at]]
    return np.asarray(rows.exposure[at] * np.log(np.maximum(said, np.finfo(float).tiny)))
