"""Cells: what contacts of each lever, in each segment, team and stratum, would cost and bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast import worth
from serving.forecast.crowds import NEW, OPEN
from serving.forecast.plans import SYSTEM, Cells

if TYPE_CHECKING:
    from serving.forecast.crowds import Blocs, Crowd
    from serving.forecast.levers import Levers


class Listed(NamedTuple):
    """Whom one lever would reach, if it reached all: float64 [steps, blocs, strata, stages,
    ages].
    """

    units: np.ndarray
    cents: np.ndarray


class Terms(NamedTuple):
    """What a lever costs and whose hours it takes."""

    cost: int  # cents of a contact
    desk_of: np.ndarray  # int64 [groups], or SYSTEM


def listed(
    levers: Levers, lever: int, crowd: Crowd, among: Blocs, *, chances: np.ndarray
) -> Listed:
    """Return whom a lever reaches in each step, where nobody else is served; chances are those by
    which the crowd walks. A unit under a contact is not listed again.
    """
    every = np.stack([crowd.units, crowd.cents], axis=1)  # [steps, 2, parts, blocs, ...]
    which = _which(levers, lever, crowd, among)
    steps, lasts = len(every), int(levers.lasts[lever])
    free, under = every[0], []  # those contacted in each of the last steps, as they walk on
    found = np.zeros_like(every)
    for step in range(steps):
        found[step] = free * which[step]
        under.append(found[step])
        if step + 1 == steps:
            break
        new = every[step + 1] - worth.onward(chances, every[step])
        under = [worth.onward(chances, each) for each in under]
        back = under.pop(0) if len(under) >= lasts else 0.0
        free = worth.onward(chances, free - found[step]) + new + back
    return Listed(*found.sum(axis=2).swapaxes(0, 1))


def _which(levers: Levers, lever: int, crowd: Crowd, among: Blocs) -> np.ndarray:
    """Return the chance to be listed of who is free: float64 [steps, parts, blocs, strata, stages,
    ages].
    """
    steps, ages = crowd.units.shape[0], crowd.units.shape[-1]
    step, age = np.arange(steps), np.arange(ages)
    is_time = (levers.first[lever] <= step) & (step <= levers.last[lever])
    stalled = min(int(levers.stalled[lever]), ages - 1)
    old = np.broadcast_to(age >= stalled, (steps, ages))
    if levers.once[lever]:  # when it begins all that are there, then who comes to be so old
        old = old & ((age == stalled) | (step[:, None] <= levers.first[lever]))
    by_age = (is_time[:, None] & old)[:, None, None, None, None, :]
    parts = levers.parts[lever][[OPEN, NEW + 1]][None, :, None, None, None, None]
    stages = levers.stages[lever][:, None]
    return np.asarray(by_age * parts * stages * _rates(levers, lever, among)[:, :, None, None])


def table(
    levers: Levers, reached: list[Listed], gains: np.ndarray, terms: list[Terms], among: Blocs
) -> Cells:
    """Return the cells in order of lever, bloc and stratum; gains are those of `gained`."""
    contacts = np.stack([each.units.sum(axis=(0, 3, 4)) for each in reached])
    cost = np.array([each.cost for each in terms], float)[:, None, None]
    first = np.unique(among.of_group, return_index=True)[1]
    desk = np.stack([each.desk_of[first] for each in terms])
    desk = np.where(levers.at_once[:, None], SYSTEM, desk)
    return Cells(
        gain=(gains - cost * contacts).ravel(),
        cost=(cost * contacts).ravel(),
        contacts=contacts.ravel(),
        desk=np.broadcast_to(desk[:, :, None], contacts.shape).ravel(),
    )


def gained(
    levers: Levers, lever: int, there: Listed, chances: np.ndarray, *, logs: tuple[float, float]
) -> np.ndarray:
    """Return the value that contacts of all whom a lever reaches would add, float64 [blocs,
    strata], for chances [strata, stages, ages, stages + 2] and the log ratios of a contact.
    """
    steps = there.units.shape[0]
    pushed = worth.pushed(chances, *logs)
    found = worth.worth(chances, pushed, horizon=steps, lasts=int(levers.lasts[lever]))
    discount = 1.0 - levers.worth[lever]
    value = (found.more - discount * found.within)[:0:-1]  # of all steps left, then fewer
    return np.asarray(np.einsum("tbgsa,tgsa->bg", there.cents, value, optimize=True))


def _rates(levers: Levers, lever: int, among: Blocs) -> np.ndarray:
    """Return the chance to be listed in a step, float64 [blocs, strata]."""
    first = np.unique(among.of_group, return_index=True)[1]
    is_for = levers.strata[lever][:, None] & levers.groups[lever][None, :]
    every = levers.rate[lever] * levers.share[lever] * is_for
    return np.asarray(every[:, first].T)
