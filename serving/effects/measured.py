"""What came of each row within a horizon, and how much each counts for those that are not known.

A row is followed from `since` until `until`. What came within a horizon h is known of rows that
were followed for h, and of those for whom it was settled before. They also stand for the others:
their weight is 1 / G(min(settled, h)-), where G is the Kaplan-Meier estimate of the chance to be
followed for so long (inverse probability of censoring: Robins and Rotnitzky 1992, AIDS
Epidemiology, 297-331; Bang and Tsiatis 2000, Biometrika 87, 329-343). It is estimated arm by arm,
because arms may have come at different times; by the features where they tell of it (staying.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from serving.effects.staying import Staying

LEAST_FOLLOWED = 0.05  # of an arm: a horizon that fewer were followed for is not told


class Measured(NamedTuple):
    """An outcome of every row; (n,) float64 each."""

    value: np.ndarray  # 0 where it is not known
    weight: np.ndarray  # mean 1 or nearly so; 0 where it is not known


def certain(value: np.ndarray) -> Measured:
    """Return an outcome that is known of every row."""
    return Measured(value.astype(np.float64), np.ones(len(value)))


def happened(first: np.ndarray, weight: np.ndarray, h: float) -> Measured:
    """Return whether something came within h; times (n,) from `since`, inf for never."""
    return Measured(((first <= h) & (weight > 0)).astype(np.float64), weight)


def gained(first: np.ndarray, weight: np.ndarray, h: float) -> Measured:
    """Return how long before h something came, 0 for those to whom it did not.

    The mean is the restricted mean time lost to that cause, the area below its cumulative
    incidence (Andersen 2013, Statist. Med. 32, 5278-5285).
    """
    return Measured(np.where(weight > 0, np.maximum(h - first, 0.0), 0.0), weight)


def weights(
    settled: np.ndarray,
    followed: np.ndarray,
    arm: np.ndarray,
    h: float,
    staying: Staying | None = None,
) -> np.ndarray:
    """Return the weight of each row for an outcome within h, (n,); 0 where it is not known.

    `settled` is when nothing more can change, inf for not within what was seen; `followed` how long
    a row was. By Kaplan and Meier arm by arm, unless it is told how rows stay.
    """
    seen = np.minimum(np.minimum(settled, h), followed)
    is_known = (settled <= followed) | (followed >= h)
    if staying is not None:
        return np.asarray(np.where(is_known, 1.0 / staying.at(seen), 0.0))
    found = np.zeros(len(seen))
    for each in np.unique(arm):
        mine = arm == each
        chance = survival(seen[mine], ~is_known[mine])
        found[mine] = np.where(is_known[mine], 1.0 / chance, 0.0)
    return found


def survival(time: np.ndarray, is_event: np.ndarray) -> np.ndarray:
    """Return at each time the chance that no event came before it: Kaplan and Meier 1958, left
    limits; (n,) float64, above 0 where somebody is left at that time.
    """
    order = np.argsort(time, kind="stable")
    at_risk = len(time) - np.searchsorted(time[order], time, side="left")
    moments, counts = np.unique(time[is_event], return_counts=True)
    risk = len(time) - np.searchsorted(time[order], moments, side="left")
    # who has an outcome and who is censored at one moment: the outcome came first
    stays = np.cumprod(1.0 - counts / np.maximum(risk, 1))
    before = np.searchsorted(moments, time, side="left")
    return np.where(at_risk > 0, np.append(1.0, stays)[before], 1.0)


def is_followed(followed: np.ndarray, arm: np.ndarray, h: float) -> bool:
    """Were enough rows of each arm followed for h?"""
    shares = [float((followed[arm == each] >= h).mean()) for each in np.unique(arm)]
    return min(shares, default=0.0) >= LEAST_FOLLOWED
