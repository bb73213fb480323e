"""Levers as the kernel takes them: who is listed, when, how often, and what a contact does.

A unit that is listed for a lever waits in the queue of its desk; all levers of a desk share its
capacity, and every contact takes one of it. Scores, routes and masks are worked out before: here
they are strata, groups and tables of yes and no.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serving.forecast.luck import OF_WORD

WAITING = 2**30  # in place of a step: listed and not yet reached
NEVER = 2**30 + 1  # closed, unsubscribed, or not among those the lever is for


class Levers(NamedTuple):
    """The levers, one element or row each; `decay` is of all."""

    stages: np.ndarray  # bool [levers, stages], in which a unit is listed and waits
    strata: np.ndarray  # bool [levers, strata]
    groups: np.ndarray  # bool [levers, groups]
    parts: np.ndarray  # bool [levers, 3], see given.PARTS
    first: np.ndarray  # int64, the first step that lists
    last: np.ndarray  # int64, the last; who waits then is still served
    rate: np.ndarray  # float64, chance of a unit to be listed in a step
    log_ratio: np.ndarray  # float64, on the log odds of going forward, against no contact
    log_ratio_sd: np.ndarray  # float64, of what is drawn once per draw
    contacted: np.ndarray  # float64, share of unit-steps in history under such a contact
    lasts: np.ndarray  # int64, steps that a contact is in force
    saturation: np.ndarray  # float64, a contact counts exp(-saturation x tired)
    unsubscribe: np.ndarray  # float64 u, a contact ends in 1 - exp(-u (1 + tired)) of cases so
    share: np.ndarray  # float64 [levers, strata, groups], of the rate: 0 to 1
    at_once: np.ndarray  # bool, contacted when it is listed, by a system without hours
    once: np.ndarray  # bool, listed once in a stay: when it has stalled, or the lever begins, and
    # it is not under such a contact still
    stalled: np.ndarray  # int64, whole steps in the stage before a unit is listed
    lost_log_ratio: np.ndarray  # float64, on the log odds of being lost, against no contact
    lost_log_ratio_sd: np.ndarray  # float64, of what is drawn once per draw
    worth: np.ndarray  # float64, factor on the value of what is won while a contact is in force
    tires: np.ndarray  # float64, what a contact adds to what is felt: 1, or 0
    decay: float  # share of what a unit feels of old contacts that is left after a step


def none(stages: int, strata: int, groups: int) -> Levers:
    """Return no levers at all: business as usual."""
    numbers, steps = np.zeros(0), np.zeros(0, np.int64)
    return Levers(
        stages=np.zeros((0, stages), bool),
        strata=np.zeros((0, strata), bool),
        groups=np.zeros((0, groups), bool),
        parts=np.zeros((0, 3), bool),
        first=steps,
        last=steps,
        rate=numbers,
        log_ratio=numbers,
        log_ratio_sd=numbers,
        contacted=numbers,
        lasts=steps,
        saturation=numbers,
        unsubscribe=numbers,
        share=np.zeros((0, strata, groups)),
        at_once=np.zeros(0, bool),
        once=np.zeros(0, bool),
        stalled=steps,
        lost_log_ratio=numbers,
        lost_log_ratio_sd=numbers,
        worth=numbers,
        tires=numbers,
        decay=1.0,
    )


def words(chance: np.ndarray) -> np.ndarray:
    """Return below which word something of such a chance happens."""
    return np.asarray(np.ceil(chance / OF_WORD - 0.5).astype(np.int64))


def plain(levers: Levers) -> np.ndarray:
    """Return which levers list alike all whom they are for, whenever they came: bool [levers]."""
    alike = (levers.share == 1.0).all(axis=(1, 2))
    return np.asarray(alike & (levers.stalled == 0) & ~levers.once)


def meant(levers: Levers) -> np.ndarray:
    """Return bool [levers, cells + 1], in which a lever lists; not those that closed."""
    (count, strata), stages = levers.strata.shape, levers.stages.shape[1]
    found = np.zeros((count, strata * stages + 1), bool)
    both = levers.strata[:, :, None] & levers.stages[:, None, :]
    found[:, :-1] = both.reshape(count, strata * stages)
    return found
