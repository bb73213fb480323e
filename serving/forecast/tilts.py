"""Tilts: the log odds of going forward by day of the week, which are known beforehand.

What a daily funnel does on a Sunday is no shock. A tilt shifts the log odds of all units of a day,
as a shock does; with it, shocks are what is left. Chances are averages over a week of tilts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DAYS = 7
PRIOR_SD = 3.0  # of a tilt: a day on which nothing ever happened is not impossible
_ROUNDS, _TURNS = 4, 12
_EDGE = 1e-9


class Rows(NamedTuple):
    """Unit-steps: the chance of going forward (on average), how much of a step, and what was."""

    chance: np.ndarray  # float64
    exposure: np.ndarray  # float64
    is_forward: np.ndarray  # bool
    day: np.ndarray  # int64, 0 to 6


def fit(rows: Rows) -> np.ndarray:
    """Return the tilt of each day, float64 [DAYS], at which as many go forward as did."""
    tilts = np.zeros(DAYS)
    for _ in range(_ROUNDS):
        tilts = _fitted(rows, base(rows.chance, tilts), tilts)
    return tilts


def base(chance: np.ndarray, tilts: np.ndarray) -> np.ndarray:
    """Return the log odds that give these chances on average over the tilts, [DAYS] or those of
    each row [..., DAYS].
    """
    average = np.clip(chance, _EDGE, 1.0 - _EDGE)
    log_odds = np.log(average / (1.0 - average)) - tilts.mean(axis=-1)
    for _ in range(_TURNS):
        each = 1.0 / (1.0 + np.exp(-(log_odds[..., None] + tilts)))
        slope = (each * (1.0 - each)).mean(axis=-1)
        step = (each.mean(axis=-1) - average) / np.maximum(slope, 1e-300)
        log_odds = log_odds - np.clip(step, -1.0, 1.0)
    return np.asarray(log_odds)


def tilted(chance: np.ndarray, tilts: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return the chances of their days, given those that hold on average, and the tilts of each
    row [n, DAYS]: float64 [n].
    """
    own = np.take_along_axis(tilts, day[:, None], axis=1)[:, 0]
    return np.asarray(1.0 / (1.0 + np.exp(-(base(chance, tilts) + own))))


def _fitted(rows: Rows, log_odds: np.ndarray, tilts: np.ndarray) -> np.ndarray:
    """Solve, by Newton's method, for as many moves of each day as there were."""
    seen = np.bincount(rows.day, rows.is_forward, DAYS)
    for _ in range(_TURNS):
        chance = 1.0 / (1.0 + np.exp(-(log_odds + tilts[rows.day])))
        slope = np.bincount(rows.day, rows.exposure * chance * (1.0 - chance), DAYS)
        expected = np.bincount(rows.day, rows.exposure * chance, DAYS)
        step = (seen - expected - tilts / PRIOR_SD**2) / (slope + PRIOR_SD**-2)
        tilts = tilts + np.clip(step, -1.0, 1.0)
    return np.asarray(tilts - tilts.mean())  # a common shift is in the log odds
