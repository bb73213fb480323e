"""Curves of rankings: what treating the best first gains, with intervals by cluster.

The gain at share q is G(q) = mean(1[rank <= q] score), per head of all; its end is the average
effect, and the diagonal q G(1) is what treating anybody gains. The Qini coefficient is the area
between both (Radcliffe 2007, Direct Marketing Analytics J., 14-21). G(q) / q - G(1) is the
targeting operator characteristic (Yadlowsky et al. 2025, JASA 120, 38-51). Intervals are of
bootstraps of clusters with the ranking as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.effects import ranking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.effects.targeting import Case, Ranked

POINTS = 20
BOOTSTRAPS = 400
LOW, HIGH = 0.05, 0.95


class Course(NamedTuple):
    """A gain curve over shares, and its measures."""

    gain: np.ndarray  # (POINTS + 1,)
    over: np.ndarray  # the same less the diagonal
    qini: float
    policy: float  # gain of treating who gains more than it costs over treating everyone
    share: float  # of those who gain more than it costs


def shares() -> np.ndarray:
    """The shares at which curves are told: (POINTS + 1,)."""
    return np.linspace(0.0, 1.0, POINTS + 1)


def course(order: np.ndarray, of: Ranked, cost: float, weight: np.ndarray) -> Course:
    """Return the curve of rows in an order, each so many times."""
    weight = weight / weight.sum()
    share, gain = ranking.gains(order, of.score, weight)
    told = np.interp(shares(), share, gain)
    policy = float((weight * np.where(of.guess > cost, 0.0, cost - of.score)).sum())
    best = float((weight * (of.guess > cost)).sum())
    return Course(told, told - shares() * gain[-1], ranking.area(share, gain), policy, best)


class Banded(NamedTuple):
    """A curve, and bootstraps of it."""

    found: Course
    over: np.ndarray  # (BOOTSTRAPS, POINTS + 1)
    qini: np.ndarray  # (BOOTSTRAPS,)
    policy: np.ndarray  # (BOOTSTRAPS,)

    @property
    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """The 90 % interval of the gain over treating anybody, at each share."""
        return np.quantile(self.over, LOW, axis=0), np.quantile(self.over, HIGH, axis=0)


def banded(
    several: Sequence[Ranked], cluster: np.ndarray, cost: float, rng: np.random.Generator
) -> Banded:
    """Return the mean curve of several rankings of the same rows, with bootstraps by cluster."""
    names, place = np.unique(cluster, return_inverse=True)
    orders = [ranking.order(-each.place) for each in several]

    def drawn(weight: np.ndarray) -> Course:
        pairs = zip(orders, several, strict=True)
        return averaged([course(order, one, cost, weight) for order, one in pairs])

    again = []
    for _ in range(BOOTSTRAPS):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        again.append(drawn(times[place].astype(np.float64)))
    over, qini, policy = (
        np.array([getattr(each, name) for each in again]) for name in ("over", "qini", "policy")
    )
    return Banded(drawn(np.ones(len(place))), over, qini, policy)


def averaged(several: Sequence[Course]) -> Course:
    """Return the mean of curves."""
    parts = zip(*several, strict=True)
    gain, over, *rest = (np.mean(np.array(part), axis=0) for part in parts)
    return Course(gain, over, *(float(each) for each in rest))


def plain(several: Sequence[Ranked], case: Case, arm: int) -> float:
    """Return the mean Qini coefficient of rankings by plain means of an arm and the control."""
    mine = np.isin(case.asked.arm, (0, arm))
    value, treated = case.of.value[mine], case.asked.arm[mine] == arm
    return float(
        np.mean([ranking.plain_qini(-each.place[mine], value, treated) for each in several])
    )


def left_out(several: Sequence[Ranked], case: Case, arm: int, cost: float) -> int:
    """Return how many of those left out by a policy had the outcome, in the arm of the fewest and
    the repeat of the fewest: the interval of its gain rests on them.
    """
    came = case.of.value != 0
    return min(
        int((came & (each.guess <= cost) & (case.asked.arm == a)).sum())
        for each in several
        for a in (0, arm)
    )
