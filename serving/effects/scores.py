"""Doubly robust scores and what is averaged from them, with errors by cluster.

The score of row i in arm a is
    m_a(X_i) + r_a (Y_i - m_a(X_i)),   r_a = 1[A_i = a] w_i / e_a(X_i), scaled to mean 1,
with w the weight of what is known and e the chance of the arm (Robins, Rotnitzky and Zhao 1994,
JASA 89, 846-866; Hajek's scaling: Lunceford and Davidian 2004, Statist. Med. 23, 2937-2960). Its
mean is the mean outcome if all were in arm a, when either m or e is right. Variances are sums over
clusters of squared sums of influence, times g / (g - 1) (Liang and Zeger 1986, Biometrika 73,
13-22).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from serving.effects.measured import Measured

Z90 = 1.6448536269514722


@dataclass(frozen=True, kw_only=True)
class Average:
    """A number with its standard error."""

    value: float
    sd: float
    n: int  # rows

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval."""
        return self.value - Z90 * self.sd, self.value + Z90 * self.sd

    @property
    def z(self) -> float:
        """How many standard errors it is from zero; 0 where it has no error."""
        return self.value / self.sd if self.sd > 0 else 0.0


def scores(of: Measured, arm: np.ndarray, chance: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the score of each row in each arm: (n, arms), of `chance` and `expected` alike."""
    found = np.empty(expected.shape)
    for each in range(expected.shape[1]):
        drawn = np.where(arm == each, of.weight / chance[:, each], 0.0)
        scaled = drawn / max(float(drawn.mean()), 1e-300)
        found[:, each] = expected[:, each] + scaled * (of.value - expected[:, each])
    return found


def weighted(of: Measured, arm: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return scores by weights alone, without a model of the outcome: (n, arms)."""
    means = np.empty(chance.shape)
    for each in range(chance.shape[1]):
        drawn = np.where(arm == each, of.weight / chance[:, each], 0.0)
        means[:, each] = (drawn * of.value).sum() / max(float(drawn.sum()), 1e-300)
    return scores(of, arm, chance, means)


def average(score: np.ndarray, cluster: np.ndarray) -> Average:
    """Return the mean of scores (n,), with its error by cluster (n,)."""
    value = float(score.mean()) if len(score) else 0.0
    sd = error((score - value) / max(len(score), 1), cluster)
    return Average(value=value, sd=sd, n=len(score))


def log_ratio(above: np.ndarray, below: np.ndarray, cluster: np.ndarray) -> Average | None:
    """Return the log of the ratio of two means of scores; None unless both are above 0."""
    up, down = float(above.mean()), float(below.mean())
    if up <= 0.0 or down <= 0.0:
        return None
    influence = (above / up - below / down) / len(above)
    return Average(value=float(np.log(up / down)), sd=error(influence, cluster), n=len(above))


def log_hazard_ratio(
    events: np.ndarray, days: np.ndarray, arm: int, cluster: np.ndarray, band: np.ndarray
) -> Average | None:
    """Return the log of the ratio of the rates of an arm and of the control, from scores (n, arms)
    of events and of days at risk; None where a rate cannot be told.

    It is that of Mantel and Haenszel for rates (Greenland and Robins 1985, Biometrics 41, 55-68),
    over bands (n,) of rows that are at risk alike: sum_b N1 D0 / D over sum_b N0 D1 / D, with N the
    events, D_a the days of a band. In one band for all, who is quick leaves first, and the ratio
    shrinks with the time that is looked at. The error is of the linearised influence.
    """
    count, n = int(band.max()) + 1, len(band)
    parts = np.array([events[:, arm], events[:, 0], days[:, arm], days[:, 0]])
    up, down, at, under = np.array([np.bincount(band, part, count) for part in parts]) / n
    both = at + under
    if (at <= 0.0).any() or (under <= 0.0).any():
        return None
    above, below = (up * under / both).sum(), (down * at / both).sum()
    if above <= 0.0 or below <= 0.0:
        return None
    none = np.zeros(count)
    of_above = [under / both, none, -up * under / both**2, up * at / both**2]
    of_below = [none, at / both, down * under / both**2, -down * at / both**2]
    slopes = np.array(of_above) / above - np.array(of_below) / below
    influence = (slopes[:, band] * parts).sum(axis=0) / n
    value = float(np.log(above / below))
    return Average(value=value, sd=error(influence - influence.mean(), cluster), n=n)


def error(influence: np.ndarray, cluster: np.ndarray) -> float:
    """Return the standard error of a sum whose parts (n,) depend on one another in clusters."""
    names, place = np.unique(cluster, return_inverse=True)
    if len(names) < 2:
        return float("inf")
    sums = np.bincount(place, influence)
    return float(np.sqrt((sums**2).sum() * len(names) / (len(names) - 1)))
