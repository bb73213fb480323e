"""Calibration: from out-of-fold margins to probabilities that mean what they say. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from jobs.train.calibration import choose
from jobs.train.calibration.band import Z95, band, redrawn
from jobs.train.calibration.blend import Evidence, Scale, blend
from jobs.train.calibration.logistic import Normal, Rows, posterior
from serving.calibrator import Calibrator

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.train.calibration.blend import Blend
    from jobs.train.calibration.choose import Choice

__all__ = [
    "Z95",
    "Evidence",
    "calibrated",
    "log_odds",
    "logistic",
    "platt",
    "redrawn",
    "wilson",
]

type Moved = Callable[[Calibrator], float]

SHOWN = 1.645  # standard deviations above 0 from which on a model has shown that it says something


def _still(bare: Calibrator) -> float:
    return 0.0


def calibrated(
    evidence: Evidence, crowd: np.ndarray, moved: Moved = _still
) -> tuple[Calibrator, str]:
    """Return the calibrator that the evidence calls for, and in words what it is and why.

    `crowd` (m,) holds the points of all rows, labelled or not; `moved` is asked by how far the
    margins would move if what the calibrator says, yet without a band, had been the truth.
    """
    scale, judged = Scale.of(crowd), evidence.judged()
    fitted = blend(evidence.filled(), scale)
    choice = choose.chosen(judged, scale)
    bare = Calibrator(
        slope=fitted.slope,
        intercept=fitted.intercept,
        per_point=fitted.per_point,
        curve=choose.curve(choice.name, judged, fitted),
    )
    met = judged if len(judged.label) else _unlabelled(crowd, fitted)
    knots = band(fitted, met, bare.logit(met.margin, met.points), moved(bare))
    return replace(bare, band=knots), _said(fitted, choice, met)


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

    Newton's method from `start`.
    """
    rows = Rows(design=np.stack([x, np.ones(len(x))], axis=1), wanted=wanted, weight=weight)
    found = posterior(rows, Normal.flat(2), np.array(start)).mean
    return float(found[0]), float(found[1])


def wilson(positives: float, rows: float) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson 1927)."""
    if rows <= 0:
        return 0.0, 1.0
    rate, share = positives / rows, Z95**2 / rows
    centre = (rate + share / 2) / (1 + share)
    half = Z95 / (1 + share) * np.sqrt(rate * (1 - rate) / rows + share / (4 * rows))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _unlabelled(crowd: np.ndarray, fitted: Blend) -> Evidence:
    """Return the rows that will be scored when none has a margin yet."""
    points = crowd.astype(np.float64) if len(crowd) else np.zeros(1)
    count = len(points)
    return Evidence(
        margin=np.full(count, fitted.centre),
        points=points,
        label=np.zeros(count),
        cluster=np.arange(count),
    )


def _said(fitted: Blend, choice: Choice, met: Evidence) -> str:
    others = "the rules" if fitted.per_point else "the base rate"
    sure = fitted.slope / float(np.sqrt(fitted.known.covariance[0, 0]))
    shown = (
        f"blended on evidence worth {fitted.rows:,.0f} rows: margin x {fitted.slope:.3f}, "
        f"rules x {fitted.per_point:.4f} a point; the model has {_say(fitted, met):.0%} of the say"
    )
    if sure < SHOWN:
        shown = f"no signal beyond {others} yet, out of fold; {shown}"
    return f"{shown}; curve: {choice.said}"


def _say(fitted: Blend, met: Evidence) -> float:
    """Return the model's part in how far log-odds lie apart."""
    model = fitted.slope * float(met.margin.std())
    rules = fitted.per_point * float(met.points.std())
    return model / (model + rules) if model else 0.0
