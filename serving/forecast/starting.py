"""The start: the units open at T, as a simulation takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from serving.forecast import amounts, standing
from serving.forecast.given import Start

if TYPE_CHECKING:
    from serving.forecast.learning import Learnt
    from serving.forecast.units import Course


def start(course: Course, learnt: Learnt) -> Start:
    """Return the units open at T, the one that is known longest first."""
    funnel = course.funnel
    state, entered = standing.states(course.moves, course.at, funnel.won_state)
    unit = np.flatnonzero((state >= 0) & (state < funnel.won_state))
    unit = unit[np.argsort(_known_since(course)[unit], kind="stable")]
    stage, now = state[unit], np.full(len(unit), course.at)
    group = learnt.groups.of_unit[unit]
    return Start(
        name=_names(course)[unit],
        stage=stage,
        stayed=(course.at - entered[unit]) // funnel.step,
        stratum=learnt.strata.at(unit, now),
        group=group,
        desk=learnt.groups.desk_of[group],
        part=(stage < funnel.first_deal).astype(np.int64),
        cents=amounts.deals(course).cents[unit],
        tired=amounts.contacts_felt(course)[unit],
    )


def _known_since(course: Course) -> np.ndarray:
    """Return when anything of each unit first stood; every unit asked about has something."""
    begins = np.minimum(course.moves.begins[:-1], max(len(course.moves.holds) - 1, 0))
    if not len(course.moves.holds):
        return np.zeros(len(begins), np.int64)
    return np.asarray(np.minimum.reduceat(course.moves.holds, begins))


def _names(course: Course) -> np.ndarray:
    """Return 63-bit hashes of the units; the top bit is kept for what does not exist yet."""
    leads = len(course.keys.leads)
    words = [f"{'lead' if n < leads else 'deal'} {key}" for n, key in enumerate(course.names)]
    hashed = pd.util.hash_array(np.array(words, object), categorize=False)
    return np.asarray(hashed >> np.uint64(1), np.uint64)
