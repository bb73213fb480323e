"""Whether one forecaster is better than another over the same origins. Pure.

The interval of the mean difference of their scores is that of a circular block bootstrap: blocks of
neighbouring origins are drawn, around the end to the start, because forecasts that share steps
share their luck. Source: Politis and Romano, "A circular block-resampling procedure for stationary
data" (1992). A block is half as long again as forecasts overlap, and at least the cube root of the
number of origins (Hall, Horowitz and Jing, "On blocking rules for the bootstrap with dependent
data", Biometrika 1995). Means of blocks of b out of n origins vary by 1 - b / n too little, as they
are compared with the mean of the same origins, and n / b blocks are few: deviations are widened by
the root of the first, and as Student's t to the normal with one degree of freedom less than blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import cbrt, ceil

import numpy as np

RESAMPLES = 2000
LEVEL = 0.9
LEAST_BLOCKS = 3  # below it blocks cannot vary enough to say anything
_NORMAL = 1.6448536269514722  # its quantile at (1 + LEVEL) / 2


class Verdict(StrEnum):
    """What can be said of us against another forecaster."""

    BETTER = "better"
    WORSE = "worse"
    NOT_TOLD_APART = "not told apart"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The mean score of us less that of another, with its interval; lower scores are better."""

    difference: float
    low: float  # NaN where there are too few origins
    high: float
    skill: float  # 1 - ours / theirs: the part of their score that we save; NaN where theirs is 0
    origins: int
    block: int  # origins
    theirs: float = np.nan  # the mean score of the other

    @property
    def relative(self) -> tuple[float, float, float]:
        """The difference, and the two ends of its interval, in parts of their score."""
        whole = self.theirs or np.nan
        return self.difference / whole, self.low / whole, self.high / whole

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        if self.high < 0.0:
            return Verdict.BETTER
        return Verdict.WORSE if self.low > 0.0 else Verdict.NOT_TOLD_APART


def compared(
    rng: np.random.Generator, ours: np.ndarray, theirs: np.ndarray, overlap: int
) -> Compared:
    """Compare the scores [origins] of two forecasters at the same origins, oldest first, where so
    many origins after one share steps with it.
    """
    gap = ours - theirs
    length = block(len(gap), overlap)
    low, high = _interval(rng, gap, length) if len(gap) >= LEAST_BLOCKS * length else (np.nan,) * 2
    whole = float(theirs.mean()) if len(gap) else 0.0
    return Compared(
        difference=float(gap.mean()) if len(gap) else np.nan,
        low=low,
        high=high,
        skill=1.0 - float(ours.mean()) / whole if whole else np.nan,
        origins=len(gap),
        block=length,
        theirs=whole,
    )


def block(origins: int, overlap: int) -> int:
    """Return how many origins a block has.

    >>> block(20, 0), block(20, 3), block(64, 0)
    (3, 6, 4)
    """
    return max(ceil(1.5 * (overlap + 1)), round(cbrt(origins)))


def _interval(rng: np.random.Generator, gap: np.ndarray, length: int) -> tuple[float, float]:
    means = _means(rng, gap, length)
    centre = gap.mean()
    wider = (1.0 - length / len(gap)) ** -0.5 * _student(len(gap) / length - 1.0)
    low, high = np.quantile(means, ((1.0 - LEVEL) / 2, (1.0 + LEVEL) / 2))
    return float(centre + wider * (low - centre)), float(centre + wider * (high - centre))


def _student(freedom: float) -> float:
    """Return the quantile of Student's t by that of the normal: its expansion in 1 / freedom.

    Source: Abramowitz and Stegun, "Handbook of mathematical functions", 26.7.5.
    """
    z = _NORMAL
    first = (z**2 + 1.0) / 4.0
    second = (5.0 * z**4 + 16.0 * z**2 + 3.0) / 96.0
    third = (3.0 * z**6 + 19.0 * z**4 + 17.0 * z**2 - 15.0) / 384.0
    return 1.0 + first / freedom + second / freedom**2 + third / freedom**3


def _means(rng: np.random.Generator, gap: np.ndarray, length: int) -> np.ndarray:
    """Return the means, float64 [RESAMPLES], of as many origins as there are, drawn in blocks."""
    count = len(gap)
    first = rng.integers(0, count, (RESAMPLES, -(-count // length)))
    place = (first[:, :, None] + np.arange(length)) % count
    return np.asarray(gap[place.reshape(RESAMPLES, -1)[:, :count]].mean(axis=1))
