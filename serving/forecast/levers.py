"""Levers as the kernel takes them: who is listed, when, how often, and what a contact does.

A unit that is listed for a lever waits in the queue of its desk; all levers of a desk share its
capacity, and every contact takes one of it. Scores, routes and masks are worked out before: here
they are strata, groups and tables of yes and no.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
        decay=1.0,
    )
