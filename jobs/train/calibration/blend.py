"""The blend: how much the model says, how much the rules, by the evidence for either. Pure.

One regression of the outcome on out-of-fold margin and points of the rules, whose prior is the
rules alone (stacking, Wolpert 1992, with a prior): without labels the answer is the rules, and each
label moves it a little. Rows of one cluster count as fewer: the likelihood is tempered by the
design effect of the outcomes (Kish 1965).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jobs.train.calibration import logistic
from jobs.train.calibration.logistic import Normal, Rows

# mean and standard deviation of log-odds before any label: the margin is worth nothing until it has
# shown otherwise; a standard deviation of the points is worth odds of 1.6, up to 4; the base rate
# is 1 in 5, from 1 in 30 to 2 in 3
MARGIN, POINTS, BASE = (0.0, 0.5), (0.5, 0.45), (-1.4, 1.0)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Labelled rows, in the order of time, with margins of models that never saw them."""

    margin: np.ndarray  # (n,) float64, log-odds; NaN where every model saw the row
    points: np.ndarray  # (n,) float64, of the rules; all 0 without rules
    label: np.ndarray  # (n,) 0 or 1
    cluster: np.ndarray  # (n,) int64 from 0; rows of one number are not independent

    def at(self, rows: np.ndarray) -> Evidence:
        """Return the rows at these positions."""
        return Evidence(
            margin=self.margin[rows],
            points=self.points[rows],
            label=self.label[rows],
            cluster=self.cluster[rows],
        )

    @property
    def rarer(self) -> int:
        """How many rows have the rarer outcome."""
        positives = int(self.label.sum())
        return min(positives, len(self.label) - positives)

    def judged(self) -> Evidence:
        """Return the rows that have a margin."""
        return self.at(np.flatnonzero(~np.isnan(self.margin)))

    def filled(self) -> Evidence:
        """Return the rows with what their points make one expect in place of a missing margin.

        So they tell about rules and base rate what they would tell beside their margin.
        """
        lacks = np.isnan(self.margin)
        if not lacks.any():
            return self
        seen, points = self.margin[~lacks], self.points[~lacks]
        rise, level = 0.0, float(seen.mean()) if len(seen) else 0.0
        if len(seen) and np.ptp(points) > 0:
            rise = float(np.cov(points, seen, bias=True)[0, 1] / points.var())
            level -= rise * float(points.mean())
        return replace(self, margin=np.where(lacks, level + rise * self.points, self.margin))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Where the points of all rows lie, with a label or not."""

    mean: float
    sd: float  # infinite when all are equal, so that they count for nothing

    @classmethod
    def of(cls, points: np.ndarray) -> Scale:
        """Return the scale of points (n,)."""
        if not len(points) or np.ptp(points) == 0:
            return cls(mean=0.0, sd=np.inf)
        return cls(mean=float(points.mean()), sd=float(points.std()))


@dataclass(frozen=True, kw_only=True)
class Blend:
    """score = slope * (margin - centre) + per_sd * (points - mean) / sd + base."""

    known: Normal  # of slope, per_sd, base
    centre: float
    scale: Scale
    rows: float  # independent ones that the evidence is worth

    @property
    def slope(self) -> float:
        """Log-odds per unit of the margin, never negative."""
        return float(self.known.mean[0])

    @property
    def per_point(self) -> float:
        """Log-odds per point of the rules, never negative."""
        return float(self.known.mean[1]) / self.scale.sd

    @property
    def intercept(self) -> float:
        """Log-odds at margin 0 and 0 points."""
        rules = self.per_point * self.scale.mean
        return float(self.known.mean[2]) - self.slope * self.centre - rules

    def design(self, margin: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return what the three coefficients multiply: (n, 3)."""
        spread = (points - self.scale.mean) / self.scale.sd
        return np.stack([margin - self.centre, spread, np.ones(len(margin))], axis=1)

    def score(self, evidence: Evidence) -> np.ndarray:
        """Return the blended log-odds (n,)."""
        return np.asarray(self.design(evidence.margin, evidence.points) @ self.known.mean)


def blend(evidence: Evidence, scale: Scale) -> Blend:
    """Return the blend after the evidence, whose margins must be filled; none leaves the rules."""
    centre = float(evidence.margin.mean()) if len(evidence.margin) else 0.0
    prior = Normal.apart(*(list(each) for each in zip(MARGIN, POINTS, BASE, strict=True)))
    empty = Blend(known=prior, centre=centre, scale=scale, rows=0.0)
    design = empty.design(evidence.margin, evidence.points)
    known, effect = prior, 1.0
    for _ in range(2):  # the residuals of the first fit tell the design effect
        worth = np.full(len(evidence.label), 1 / effect)
        rows = Rows(design=design, wanted=evidence.label, weight=worth)
        known = logistic.not_negative(rows, prior, (0, 1))
        effect = design_effect(evidence, logistic.chances(design @ known.mean))
    return replace(empty, known=known, rows=len(evidence.label) / effect)


def design_effect(evidence: Evidence, expected: np.ndarray) -> float:
    """Return how many rows are worth one independent row, 1 or more.

    The variance of the residuals' sums within clusters, over that of independent residuals.
    """
    residual = evidence.label - expected
    if not len(residual):
        return 1.0
    sums = np.bincount(evidence.cluster, weights=residual)
    return max(1.0, float(sums @ sums / (residual @ residual)))
