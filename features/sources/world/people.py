"""Leads: people who become known, each with a hidden interest that comes and goes by the week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import contacts
from features.sources.world.chance import WEEK, moments, walk

if TYPE_CHECKING:
    from features.sources.world.company import Accounts, Campaigns, Market
    from features.sources.world.contacts import Contacts
    from features.sources.world.division import Division

MEMORY, NOISE = 0.94, 0.2  # of the weekly interest
COOLING = 0.03  # interest lost per week
CURIOSITY, CURIOUS_WEEKS = 0.7, 1.5  # extra drive to look around at first, and how long it lasts


@dataclass(frozen=True, kw_only=True)
class Leads:
    """Leads in the order of their creation; arrays of one entry per lead."""

    contacts: Contacts
    contact: np.ndarray
    account: np.ndarray  # -1 without one
    campaign: np.ndarray
    rep: np.ndarray
    seniority: np.ndarray  # position in SENIORITIES
    created: np.ndarray  # microseconds
    week: np.ndarray  # in which it was created
    fit: np.ndarray  # hidden: of the account, 0 without one
    interest: np.ndarray  # hidden: one row per lead, one column per week of its life
    inside: np.ndarray  # whether that week of its life lies in the period


def leads(division: Division, accounts: Accounts, campaigns: Campaigns, market: Market) -> Leads:
    """Draw the leads and the path of their interest."""
    rng, count, config = division.stream("leads"), len(division.leads), division.config
    created = np.sort(moments(rng, rng.choice(config.weeks, count, p=market.arrivals)))
    week = created // WEEK
    known, contact = contacts.of_leads(division, accounts)
    account, seniority = known.account[contact], known.seniority[contact]
    campaign = _campaigns(rng, market.mix, week)
    level = campaigns.quality[campaign] + np.array(list(contacts.SENIORITIES.values()))[seniority]
    level += division.stream("person").normal(0.0, 0.75, count)[known.person[contact]]
    return Leads(
        contacts=known,
        contact=contact,
        account=account,
        campaign=campaign,
        rep=rng.integers(0, len(division.reps), count),
        seniority=seniority,
        created=created,
        week=week,
        fit=np.where(account >= 0, accounts.fit[account], 0.0),
        interest=_interest(division, level),
        inside=week[:, None] + np.arange(config.lead_weeks) < config.weeks,
    )


def drive(leads: Leads) -> np.ndarray:
    """Return what drives the touches of leads: interest, and curiosity that fades with age."""
    age = np.arange(leads.interest.shape[1])
    return np.asarray(leads.interest + CURIOSITY * np.exp(-age / CURIOUS_WEEKS))


def _campaigns(rng: np.random.Generator, mix: np.ndarray, week: np.ndarray) -> np.ndarray:
    """Draw the campaign of each lead from the shares of its week."""
    # guards the last campaign against a sum of shares a rounding error below one
    bounds = np.cumsum(mix, axis=1)[week, :-1]
    return np.asarray((rng.random(len(week))[:, None] >= bounds).sum(axis=1))


def _interest(division: Division, level: np.ndarray) -> np.ndarray:
    weeks = division.config.lead_weeks
    path = walk(division.stream("interest"), level, weeks, memory=MEMORY, noise=NOISE)
    return np.asarray(path - COOLING * np.arange(weeks))
