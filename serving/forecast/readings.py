"""Readings: how far the log odds of a step's moves were from those of history, all units alike.

Of each step, and apart for the last stage, the shift at which as many would be expected to go
forward as did, given a normal prior, with the curvature there: Laplace's approximation, divided by
the prior again, so that what follows may have another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import moves
from serving.forecast.funnels import banded
from serving.forecast.levels import Readings

if TYPE_CHECKING:
    from serving.forecast.person import Person

KINDS = 2  # of moves: out of the last stage, and others
PRIOR_SD = 1.0
_TURNS = 12
_EDGE = 1e-9


def read(person: Person, stratum: np.ndarray, chances: np.ndarray, tilt: np.ndarray) -> Readings:
    """Return the readings of all steps, given the chances without shocks and tilts [strata, stages,
    bands, stages + 2] and the tilts of the steps, float64 [steps, stages].
    """
    forward = np.clip(moves.forward(chances), _EDGE, 1.0 - _EDGE)
    strata, stages, bands = forward.shape
    steps = len(person.bounds) - 1
    band = banded(person.funnel.band_of, person.stayed)
    shape = (steps, strata, stages, bands)
    exposed = np.zeros(shape)
    np.add.at(exposed, (person.step, stratum, person.stage, band), person.exposure)
    log_odds = np.log(forward / (1.0 - forward)) + tilt[:, None, :, None]
    went = np.zeros((steps, stages))
    np.add.at(went, (person.step, person.stage), person.is_forward)
    last = np.arange(stages) == stages - 1
    kinds = [
        _read(exposed[:, :, which], log_odds[:, :, which], went[:, which].sum(axis=1))
        for which in (~last, last)
    ]
    shift, weight = (np.stack(each, axis=1) for each in zip(*kinds, strict=True))
    return Readings(shift, weight)


def centred(readings: Readings, variance: float, counts: np.ndarray) -> Readings:
    """Return the readings against their own average; `variance` is that of the shocks of all, and
    each step counts so much, float64 [steps]. Good times have more moves, which tell more: the
    average would be too high, though the chances are the averages of just these steps.
    """
    shift, weight = readings
    worth = counts[:, None] / (variance + 1.0 / np.maximum(weight, _EDGE))
    average = (worth * shift).sum(axis=0) / np.maximum(worth.sum(axis=0), _EDGE)
    return Readings(shift - average, weight)


def _read(
    exposed: np.ndarray, log_odds: np.ndarray, went: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return shift and weight of each step."""
    steps = len(went)
    exposed, log_odds = exposed.reshape(steps, -1), log_odds.reshape(steps, -1)
    shift = np.zeros(steps)
    for _ in range(_TURNS):
        expected, slope = _expected(exposed, log_odds, shift)
        step = (went - expected - shift / PRIOR_SD**2) / (slope + PRIOR_SD**-2)
        shift = shift + np.clip(step, -1.0, 1.0)
    expected, slope = _expected(exposed, log_odds, shift)
    return shift + (went - expected) / np.maximum(slope, _EDGE), np.where(slope > _EDGE, slope, 0.0)


def _expected(
    exposed: np.ndarray, log_odds: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    chance = 1.0 / (1.0 + np.exp(-(log_odds + shift[:, None])))
    return (exposed * chance).sum(axis=1), (exposed * chance * (1.0 - chance)).sum(axis=1)
