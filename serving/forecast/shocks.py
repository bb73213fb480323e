"""Shocks: how much the log odds of going forward move together from step to step.

By the method of moments. Per step and segment, with O forward moves, E expected and binomial
variance V, a shift z of the log odds moves O - E by about z V. The shock of all, whose variance is
s0^2, makes the segments of a step move together: E[(O - E)_g (O - E)_h] = s0^2 V_g V_h. The shock
of a segment adds s_g^2 to its own: E[(O - E)_g^2] = V_g + (s0^2 + s_g^2) V_g^2.

A sum of V^2 of w tells a variance with an error of about sqrt(2 / w). What few moves seem to tell
is chance: s0^2 and the average of the s_g^2 are shrunk towards 0, each s_g^2 towards that average.
"""

from __future__ import annotations

import numpy as np

PSEUDO_WEIGHT = 200.0  # of what an estimate is shrunk to: a sum of V^2
_TINY = 1e-12


def shock_sd(
    expected: np.ndarray,
    is_forward: np.ndarray,
    step: np.ndarray,
    segment: np.ndarray,
    segments: int,
    *,
    fading: np.ndarray | None = None,
) -> np.ndarray:
    """Return the sd of the shock of all, then of each segment: float64 [1 + segments].

    Rows are unit-steps: the chance of going forward, whether it did, when, and its segment; and
    what a step counts, by the rows of it, where not all count alike.
    """
    residual, variance = _summed(expected, is_forward, step, segment, segments)
    if fading is not None:  # of a sum of squares each step counts so much: both by its root
        root = np.sqrt(_of_steps(fading, step))[:, None]
        residual, variance, plain = residual * root, variance * root, variance * root**2
    else:
        plain = variance
    excess, weight = (residual**2 - plain).sum(axis=0), (variance**2).sum(axis=0)
    if np.count_nonzero(weight > _TINY) < 2:  # one segment: what is of all cannot be told apart
        return np.append(_root(_shrunk(excess.sum(), weight.sum())), np.zeros(segments))
    together = residual.sum(axis=1) ** 2 - (residual**2).sum(axis=1)
    jointly = variance.sum(axis=1) ** 2 - (variance**2).sum(axis=1)
    common = max(0.0, _shrunk(together.sum(), jointly.sum()))
    own = excess - common * weight
    average = max(0.0, _shrunk(own.sum(), weight.sum()))
    each = (own + PSEUDO_WEIGHT * average) / (weight + PSEUDO_WEIGHT)
    return _root(np.append(common, each))


def _summed(
    expected: np.ndarray,
    is_forward: np.ndarray,
    step: np.ndarray,
    segment: np.ndarray,
    segments: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return O - E and V by step and segment: float64 [steps, segments]."""
    place = np.unique(step, return_inverse=True)[1]
    steps = int(place.max(initial=-1)) + 1
    cell, size = place * segments + segment, steps * segments
    residual = np.bincount(cell, is_forward - expected, minlength=size)
    variance = np.bincount(cell, expected * (1.0 - expected), minlength=size)
    return residual.reshape(steps, segments), variance.reshape(steps, segments)


def _of_steps(fading: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return what each step counts, float64 [steps], of what its rows do."""
    return fading[np.unique(step, return_index=True)[1]]


def _shrunk(excess: float, weight: float) -> float:
    return float(excess / (weight + PSEUDO_WEIGHT))


def _root(variance: np.ndarray | float) -> np.ndarray:
    return np.asarray(np.sqrt(np.maximum(0.0, variance)))
