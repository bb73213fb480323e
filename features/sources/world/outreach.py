"""Outreach: a randomised intervention on young leads with a known propensity and a known effect.

The probability of treatment follows what marketing could see of the lead's first days, so that a
naive comparison of the arms is wrong and one that weights by the logged propensity is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import touches
from features.sources.world.chance import HOUR, NEVER, WEEK, sigmoid
from features.sources.world.contacts import IS_SENIOR
from features.sources.world.qualify import Hazards

if TYPE_CHECKING:
    from features.sources.world.division import Division
    from features.sources.world.people import Leads
    from features.sources.world.touches import Touches

STEP = 2  # the week of a lead's life in which the lot is drawn; a whole week lies before it
FIRST_HOUR, HOURS = 7.0, 3.0  # of the Monday on which it is drawn
PPM = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Outreach:
    """The lot of every lead; arrays of one entry per lead."""

    ppm: np.ndarray  # probability of treatment
    is_treated: np.ndarray  # false also where no lot was drawn
    drawn: np.ndarray  # microseconds, NEVER where no lot was drawn

    def latest_cause(self, created: np.ndarray) -> np.ndarray:
        """Return when the lot was drawn, or where there was none when the lead was `created`."""
        return np.asarray(np.where(self.drawn == NEVER, created, self.drawn))


def outreach(division: Division, leads: Leads, touched: Touches, ended: np.ndarray) -> Outreach:
    """Draw the lots of all leads with an account that have not `ended` (microseconds) by then."""
    rng = division.stream("outreach")
    pricing = touches.counts(touched, touches.PRICING, leads.week, STEP).sum(axis=1)
    clicked = touches.counts(touched, touches.CLICKED, leads.week, STEP).sum(axis=1)
    odds = -1.1 + 0.7 * np.minimum(pricing, 3) + 0.7 * np.minimum(clicked, 2)
    odds += 0.7 * IS_SENIOR[leads.seniority]
    chance = np.clip(
        sigmoid(odds), division.config.lowest_propensity, division.config.highest_propensity
    )
    ppm = np.round(chance * PPM).astype(np.int64)
    monday = (leads.week + STEP) * WEEK
    hour = FIRST_HOUR + HOURS * rng.random(len(ppm))
    is_drawn = (
        (leads.account >= 0) & (ended >= monday) & (leads.week + STEP < division.config.weeks)
    )
    return Outreach(
        ppm=ppm,
        is_treated=is_drawn & (rng.random(len(ppm)) * PPM < ppm),
        drawn=np.where(is_drawn, monday + (hour * HOUR).astype(np.int64), NEVER),
    )


def lasts(division: Division, steps: int) -> np.ndarray:
    """Return in which weeks of a lead's life outreach has its effect: shape (steps,)."""
    step = np.arange(steps)
    return (step >= STEP) & (step < STEP + division.config.effect_weeks)


def affected(division: Division, hazard: Hazards, is_treated: np.ndarray) -> Hazards:
    """Return the hazards when exactly the leads of `is_treated` get outreach."""
    weeks = lasts(division, hazard.qualify.shape[1])
    effect = np.log(division.config.effect) * (is_treated[:, None] & weeks)
    return Hazards(qualify=hazard.qualify + effect, disqualify=hazard.disqualify)
