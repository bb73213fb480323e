"""How often intervals held what they were made for, and how sure that is.

The standard error is that of a share whose true value is the level, sqrt(level (1 - level) / n), so
that it does not vanish when every interval held. Forecasts from origins nearer to one another than
their horizon share steps, and forecasts of one origin share its luck: n is the number of
independent intervals that would say as much,

    n = share (1 - share) N^2 / V
    V = T / (T - window) (sum_t u_t^2 + 2 sum_k (1 - k / window) sum_t u_t u_t+k)

with u_t the sum over the intervals of origin t of T, N in all, of (held - share). Source: Newey and
West, "A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
covariance matrix" (Econometrica 1987); the first factor, because the share is that of the same
origins. With few origins V is rough, so n is kept between the number of origins of which no two
overlap and N.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

from cluster.errors import Refusal

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many intervals of a level held the truth."""

    level: float
    intervals: int
    held: int
    origins: int
    effective: float  # independent intervals that would say as much

    @property
    def share(self) -> float:
        """The share that held."""
        return self.held / self.intervals

    @property
    def error(self) -> float:
        """The standard error of the share, for intervals that overlap."""
        return sqrt(self.level * (1.0 - self.level) / self.effective)

    @property
    def plain_error(self) -> float:
        """The standard error of the share if all intervals were independent."""
        return sqrt(self.level * (1.0 - self.level) / self.intervals)

    def __str__(self) -> str:
        return (
            f"{self.level:.0%} intervals held {self.held:,} of {self.intervals:,} outcomes:"
            f" {self.share:.1%} ± {100 * self.error:.1f} points, from {self.origins:,} origins"
        )


def measured(held: np.ndarray, level: float, overlap: int) -> Coverage | Refusal:
    """Return the coverage of `held` float64 [origins, intervals], oldest first: 1 held, 0 missed,
    NaN not known. `overlap`: how many origins after one share steps with it.
    """
    seen = held[np.isfinite(held).any(axis=1)]
    count, hits = int(np.isfinite(seen).sum()), int(np.nansum(seen))
    if not count:
        return Refusal(
            rule="coverage is measured on outcomes that are known",
            value="none",
            remedy="wait until the horizon of an origin has passed",
        )
    return Coverage(
        level=level,
        intervals=count,
        held=hits,
        origins=len(seen),
        effective=effective(seen, overlap),
    )


def overlap(horizon: int, every: int) -> int:
    """Return how many origins after one share steps with it, an origin every so many steps.

    >>> overlap(1, 1), overlap(4, 1), overlap(13, 4)
    (0, 3, 3)
    """
    return ceil(horizon / every) - 1


def effective(held: np.ndarray, overlap: int) -> float:
    """Return how many independent intervals would say as much as `held` [origins, intervals]."""
    count, share = np.isfinite(held).sum(), np.nanmean(held)
    apart = ceil(len(held) / (overlap + 1))
    together, window = np.nansum(held - share, axis=1), _window(overlap)
    variance = together @ together + 2.0 * sum(
        (1.0 - k / window) * (together[:-k] @ together[k:])
        for k in range(1, min(window, len(held)))
    )
    if variance <= 0.0 or len(held) <= window:
        return float(apart)
    variance *= len(held) / (len(held) - window)
    return float(np.clip(share * (1.0 - share) * count**2 / variance, apart, count))


def _window(overlap: int) -> int:
    """Return how far apart origins are looked at: half as far again as they share steps."""
    return ceil(1.5 * (overlap + 1)) if overlap else 1
