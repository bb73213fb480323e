"""What a contact is worth: how much likelier a unit is won by the end, by its absorbing chain.

A unit of a stratum is in a stage for some steps, its age. In each step it stays or moves by the
chances learnt; a contact multiplies the odds of going forward, and of being lost, for some steps.
The chance to be won within r steps follows by going back from the end, with the contact in force
and without (J. Kemeny, J. Snell, "Finite Markov Chains", 1960, 3.3, with finitely many steps).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Worth(NamedTuple):
    """By steps that are left (0 to the horizon), stratum, stage and age: float64."""

    more: np.ndarray  # how much likelier a unit is won by the end, if contacted now
    within: np.ndarray  # its chance to be won while the contact is in force


def by_age(moves: np.ndarray, band_of: np.ndarray) -> np.ndarray:
    """Return chances [strata, stages, bands, stages + 2] as [strata, stages, ages, stages + 2]."""
    return np.asarray(moves[:, :, band_of])


def pushed(chances: np.ndarray, forward: float, lost: float) -> np.ndarray:
    """Return chances [strata, stages, ages, stages + 2] with the log odds of going forward and of
    being lost shifted; see laws.
    """
    stages = chances.shape[1]
    place = np.arange(stages + 2)
    factor = np.where(place > np.arange(stages)[:, None], np.exp(forward), 1.0)
    factor[:, stages + 1] = np.exp(lost)
    shifted = chances * factor[:, None, :]
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def winning(chances: np.ndarray, horizon: int) -> np.ndarray:
    """Return the chance to be won within so many steps: float64 [horizon + 1, strata, stages,
    ages].
    """
    found = np.zeros((horizon + 1, *chances.shape[:3]))
    for left in range(1, horizon + 1):
        found[left] = _before(chances, found[left - 1])
    return found


def worth(chances: np.ndarray, contacted: np.ndarray, *, horizon: int, lasts: int) -> Worth:
    """Return what a contact does that changes the chances for some steps, this one included."""
    usual = winning(chances, horizon)
    # with the contact in force for k more steps; within: won in those alone
    pushed_on, within = usual, np.zeros_like(usual)
    for _ in range(min(lasts, horizon)):
        before, there = np.zeros_like(usual), np.zeros_like(usual)
        for left in range(1, horizon + 1):
            before[left] = _before(contacted, pushed_on[left - 1])
            there[left] = _before(contacted, within[left - 1])
        pushed_on, within = before, there
    return Worth(pushed_on - usual, within)


def onward(chances: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return where units are a step later: mass is float64 [..., strata, stages, ages]."""
    stages = chances.shape[1]
    after = np.zeros_like(mass)
    stay = np.stack([chances[:, s, :, s] for s in range(stages)], axis=1)
    flow = np.einsum("...gsa,gsad->...gd", mass, chances[..., :stages])
    staying = mass * stay
    after[..., 0] = flow - staying.sum(axis=-1)
    after[..., 1:] += staying[..., :-1]
    after[..., -1] += staying[..., -1]
    return after


def _before(chances: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Return the chance to be won a step earlier, given that of all places a step later."""
    stages = chances.shape[1]
    fresh = later[:, :, 0]  # who moves is new in its stage
    found = chances[..., stages] + np.einsum("gsad,gd->gsa", chances[..., :stages], fresh)
    older = np.concatenate([later[:, :, 1:], later[:, :, -1:]], axis=2)
    stay = np.stack([chances[:, s, :, s] for s in range(stages)], axis=1)
    return np.asarray(found + stay * (older - fresh[:, :, None]))
