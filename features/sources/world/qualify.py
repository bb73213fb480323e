"""What becomes of a lead: weekly competing hazards of qualification and disqualification.

The hazard of a week is 1 - exp(-exp(log hazard)); whichever of the two comes first in time counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import touches
from features.sources.world.chance import HOUR, NEVER, OFFICE, moments
from features.sources.world.contacts import IS_SENIOR

if TYPE_CHECKING:
    from features.sources.world.company import Market
    from features.sources.world.division import Division
    from features.sources.world.people import Leads
    from features.sources.world.touches import Touches

QUALIFY, DISQUALIFY = -4.5, -2.75  # log hazards of an average lead
REASONS = ("no_need", "no_budget", "bad_fit", "competitor", "no_response")


@dataclass(frozen=True, kw_only=True)
class Hazards:
    """Log hazards, one row per lead and one column per week of its life."""

    qualify: np.ndarray
    disqualify: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The luck of every lead in every week of its life, the same whatever the hazards are."""

    qualify: np.ndarray
    disqualify: np.ndarray
    when_qualified: np.ndarray  # microseconds
    when_disqualified: np.ndarray  # microseconds


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of the leads, in microseconds; at most one of the two is not NEVER."""

    qualified: np.ndarray
    disqualified: np.ndarray

    @property
    def ended(self) -> np.ndarray:
        """When the lead stopped being open."""
        return np.asarray(np.minimum(self.qualified, self.disqualified))


def hazards(leads: Leads, touched: Touches, sessions: np.ndarray, market: Market) -> Hazards:
    """Compute the hazards before any outreach; `sessions` are those of the week before."""
    steps = leads.interest.shape[1]
    week = np.minimum(leads.week[:, None] + np.arange(steps), len(market.shock) - 1)
    pricing = touches.counts(touched, touches.PRICING, leads.week, steps)
    recent = np.zeros_like(pricing)
    recent[:, 1:] += pricing[:, :-1]
    recent[:, 2:] += pricing[:, :-2]
    recent = np.minimum(recent, 4)
    fit, age = leads.fit[:, None], np.arange(steps)
    qualify = QUALIFY + 0.9 * leads.interest + 0.7 * fit + 0.3 * recent - 0.02 * age
    qualify += 0.2 * np.log1p(sessions) + 0.3 * IS_SENIOR[leads.seniority][:, None]
    qualify += market.mood[week]
    disqualify = DISQUALIFY - 0.5 * leads.interest - 0.35 * fit - 0.25 * recent + 0.02 * age
    # nobody sells to a person without a company
    return Hazards(
        qualify=np.where(leads.account[:, None] >= 0, qualify, -np.inf), disqualify=disqualify
    )


def draws(division: Division, leads: Leads) -> Draws:
    """Draw the luck of all leads."""
    shape = leads.interest.shape
    week = leads.week[:, None] + np.arange(shape[1])
    when = division.stream("moment of qualification")
    then = division.stream("moment of disqualification")
    return Draws(
        qualify=division.stream("qualification").random(shape),
        disqualify=division.stream("disqualification").random(shape),
        when_qualified=moments(when, week, OFFICE),
        when_disqualified=moments(then, week, OFFICE),
    )


def outcomes(leads: Leads, hazard: Hazards, luck: Draws, earliest: np.ndarray) -> Outcomes:
    """Return what becomes of the leads; nothing happens within an hour of `earliest`."""
    is_qualified = luck.qualify < chance(hazard.qualify)
    is_disqualified = luck.disqualify < chance(hazard.disqualify)
    is_disqualified[:, -1] = True
    qualified = _first(leads, is_qualified, luck.when_qualified, earliest)
    disqualified = _first(leads, is_disqualified, luck.when_disqualified, earliest)
    return Outcomes(
        qualified=np.where(qualified <= disqualified, qualified, NEVER),
        disqualified=np.where(disqualified < qualified, disqualified, NEVER),
    )


def chance(log_hazard: np.ndarray) -> np.ndarray:
    """Return the probability of an event within the week."""
    return np.asarray(-np.expm1(-np.exp(log_hazard)))


def risk(hazard: Hazards, runs: np.ndarray) -> np.ndarray:
    """Return each lead's probability to qualify, and to do so first, in the weeks where `runs`."""
    qualify = np.where(runs, chance(hazard.qualify), 0.0)
    disqualify = np.where(runs, chance(hazard.disqualify), 0.0)
    stays = np.cumprod((1.0 - qualify) * (1.0 - disqualify), axis=1)
    before = np.concatenate([np.ones((len(stays), 1)), stays[:, :-1]], axis=1)
    # where both happen in one week, either is first in half of the cases
    return np.asarray((before * qualify * (1.0 - disqualify / 2)).sum(axis=1))


def _first(leads: Leads, happens: np.ndarray, when: np.ndarray, earliest: np.ndarray) -> np.ndarray:
    time = np.where(happens & leads.inside, when, NEVER)
    time[time < earliest[:, None] + HOUR] = NEVER
    return np.asarray(time.min(axis=1))
