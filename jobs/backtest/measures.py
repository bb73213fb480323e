"""How good forecasts were, from their draws or quantiles and what became of them. Pure.

Sums of counts or of money are judged, never percentages of single outcomes: a small team divides by
almost nothing.
"""

from __future__ import annotations

import numpy as np

QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)  # at which the pinball loss is taken


def wape(truth: np.ndarray, forecast: np.ndarray) -> float | None:
    """Return the sum of |truth - forecast| by that of |truth|; None where that is 0."""
    whole = float(np.abs(truth).sum())
    return float(np.abs(truth - forecast).sum()) / whole if whole else None


def bias(truth: np.ndarray, forecast: np.ndarray) -> float | None:
    """Return the sum of forecast - truth by that of the truth: above 0 forecasts were too high;
    None where it is 0.
    """
    whole = float(truth.sum())
    return float((forecast - truth).sum()) / whole if whole else None


def pinball(truth: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the pinball loss, float64 [outcomes, levels], of quantiles [outcomes, levels].

    Source: Koenker and Bassett, "Regression quantiles" (Econometrica 1978).
    """
    off = truth[:, None] - quantiles
    return np.asarray(np.maximum(levels * off, (levels - 1.0) * off))


def crps(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score, float64 [outcomes], in units of the truth
    [outcomes]: E|X - y| - E|X - X'| / 2, as draws [draws, outcomes] expect it of endless ones. So
    forecasters with few draws and with many are judged alike; that of one draw is its error.

    Source: Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation" (JASA
    2007), equation 21; of sorted draws x_i the second term is sum_i (2 i - m - 1) x_i over m (m -
    1): Ferro, "Fair scores for ensemble forecasts" (QJRMS 2014).
    """
    count = len(draws)
    # from the truth, so that large amounts cost no digits
    off = np.sort(draws.astype(float) - truth, axis=0)
    rank = 2.0 * np.arange(1, count + 1) - count - 1.0
    pairs = max(1, count * (count - 1))
    return np.asarray(np.abs(off).mean(axis=0) - rank @ off / pairs)


def pit(rng: np.random.Generator, draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return where the truth [outcomes] lies among draws [draws, outcomes], float64 [outcomes] in
    (0, 1): uniform when the truth is as one of the draws. Ties, which counts have, are broken by
    lot.

    Source: Czado, Gneiting and Held, "Predictive model assessment for count data" (Biometrics
    2009); the truth itself counts as one of m + 1, as in a rank histogram.
    """
    below, level = (draws < truth).sum(axis=0), (draws == truth).sum(axis=0)
    return np.asarray((below + rng.random(truth.shape) * (level + 1)) / (len(draws) + 1))
