"""Calibration: from out-of-fold margins to probabilities that mean what they say. Pure."""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import IsotonicRegression

from serving import model

MIN_CLASS = 20  # positives, and negatives, before Platt's two numbers are fitted
MIN_BIN_ROWS = 50  # of one neighbourhood
Z95 = 1.959963984540054  # normal quantile of 97.5 %
_STEPS = 50
_TINY = 1e-12
_PRECISION = 1e-7


def calibrator(margin: np.ndarray, label: np.ndarray) -> tuple[model.Calibrator, str]:
    """Fit a calibrator to out-of-fold `margin` and `label` (n,), and say in words what it is."""
    positives = int(label.sum())
    rarer = min(positives, len(label) - positives)
    if rarer < MIN_CLASS:
        slope, intercept = 1.0, 0.0
        said = f"not calibrated: {rarer} of the rarer outcome out of fold, {MIN_CLASS} are needed"
    else:
        slope, intercept = platt(margin.astype(np.float64), label)
        said = f"calibrated on {len(label):,} out-of-fold rows: slope {slope:.3f}"
        if slope == 0:
            said += ", out of fold the model says nothing: every score is the base rate"
    bare = model.Calibrator(slope=slope, intercept=intercept)
    bins = neighbourhoods(bare.probability(margin), label)
    return model.Calibrator(slope=slope, intercept=intercept, bins=bins), said


def platt(margin: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Return (slope >= 0, intercept) of Platt scaling, with his smoothed targets.

    Lin, Lin & Weng 2007. A negative slope would turn the ranking around: it becomes 0, and every
    score the base rate.
    """
    positives = label.sum()
    negatives = len(label) - positives
    above, below = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    wanted = np.where(label > 0, above, below)
    slope, intercept = logistic(margin, wanted, np.ones(len(label)))
    if slope > 0:
        return slope, intercept
    return 0.0, log_odds(wanted)


def log_odds(label: np.ndarray) -> float:
    """Return the log-odds of the mean of `label` (n,), which must lie inside (0, 1)."""
    rate = float(label.mean())
    return float(np.log(rate / (1 - rate)))


def logistic(
    x: np.ndarray,
    wanted: np.ndarray,
    weight: np.ndarray,
    start: tuple[float, float] = (0.0, 0.0),
) -> tuple[float, float]:
    """Return (slope, intercept) of the weighted logistic regression of `wanted` in [0, 1] on x.

    Newton's method from `start`; each step is halved until the likelihood does not fall.
    """
    design = np.stack([x, np.ones(len(x))], axis=1)
    beta = np.array(start)
    loss = _loss(design @ beta, wanted, weight)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (weight * (wanted - p))
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design
        step = np.linalg.solve(curvature + _TINY * np.eye(2), gradient)
        while (found := _loss(design @ (beta + step), wanted, weight)) > loss + _TINY * abs(loss):
            step /= 2
        beta, loss = beta + step, found
        if np.abs(step).max() < _PRECISION:
            break
    return float(beta[0]), float(beta[1])


def neighbourhoods(probability: np.ndarray, label: np.ndarray) -> tuple[model.Bin, ...]:
    """Return bins of ascending probability: steps of an isotonic fit, of MIN_BIN_ROWS or more."""
    if not len(label):
        return ()
    order = np.argsort(probability, kind="stable")
    score, outcome = probability[order], label[order].astype(np.float64)
    fitted = IsotonicRegression().fit_transform(score, outcome)
    ends = np.flatnonzero(np.append(np.diff(fitted) > 0, True)) + 1
    kept = _joined(ends.tolist())
    starts = [0, *kept[:-1]]
    return tuple(_bin(score[a:b], outcome[a:b]) for a, b in zip(starts, kept, strict=True))


def wilson(positives: float, rows: float) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson 1927)."""
    if rows <= 0:
        return 0.0, 1.0
    rate, share = positives / rows, Z95**2 / rows
    centre = (rate + share / 2) / (1 + share)
    half = Z95 / (1 + share) * np.sqrt(rate * (1 - rate) / rows + share / (4 * rows))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _joined(ends: list[int]) -> list[int]:
    kept: list[int] = []
    for end in ends:
        if end - (kept[-1] if kept else 0) >= MIN_BIN_ROWS:
            kept.append(end)
    return [*kept[:-1], ends[-1]]  # what is left over belongs to the last


def _bin(score: np.ndarray, outcome: np.ndarray) -> model.Bin:
    low, high = wilson(float(outcome.sum()), len(outcome))
    return model.Bin(
        upper=float(score[-1]),
        rows=len(outcome),
        positives=int(outcome.sum()),
        low=low,
        high=high,
    )


def _loss(logit: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> float:
    return float(weight @ (np.logaddexp(0, logit) - wanted * logit))
