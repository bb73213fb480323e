"""Leads: people who become known, each with a hidden interest that comes and goes by the week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import WEEK, moments, stream, walk

if TYPE_CHECKING:
    from features.sources.world.company import Accounts, Campaigns, Market
    from features.sources.world.config import WorldConfig

SENIORITIES = {"student": -1.2, "staff": -0.3, "manager": 0.25, "director": 0.6, "executive": 0.4}
SENIORITY_SHARES = (0.08, 0.40, 0.30, 0.15, 0.07)
IS_SENIOR = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
WITHOUT_ACCOUNT = 0.02  # share of leads whose company nobody knows
RETURNING = 0.04  # share of leads whose person was a lead before
MEMORY, NOISE = 0.94, 0.2  # of the weekly interest
COOLING = 0.03  # interest lost per week
CURIOSITY, CURIOUS_WEEKS = 0.7, 1.5  # extra drive to look around at first, and how long it lasts


@dataclass(frozen=True, kw_only=True)
class Leads:
    """Leads in the order of their creation; arrays of one entry per lead."""

    account: np.ndarray  # -1 without one
    person: np.ndarray
    campaign: np.ndarray
    rep: np.ndarray
    seniority: np.ndarray  # position in SENIORITIES
    created: np.ndarray  # microseconds
    week: np.ndarray  # in which it was created
    fit: np.ndarray  # hidden: of the account, 0 without one
    interest: np.ndarray  # hidden: one row per lead, one column per week of its life
    inside: np.ndarray  # whether that week of its life lies in the period


def leads(config: WorldConfig, accounts: Accounts, campaigns: Campaigns, market: Market) -> Leads:
    """Draw the leads and the path of their interest."""
    rng, count = stream(config.seed, "leads"), config.sized(config.leads)
    created = np.sort(moments(rng, rng.choice(config.weeks, count, p=market.arrivals)))
    week = created // WEEK
    account = rng.choice(len(accounts.pull), count, p=accounts.pull)
    account[rng.random(count) < WITHOUT_ACCOUNT] = -1
    seniority = rng.choice(len(SENIORITIES), count, p=SENIORITY_SHARES)
    person = _persons(config, count)
    campaign = rng.choice(len(campaigns.weight), count, p=campaigns.weight)
    rep = rng.integers(0, config.sized(config.reps), count)
    account, seniority = account[person], seniority[person]
    level = campaigns.quality[campaign] + np.array(list(SENIORITIES.values()))[seniority]
    return Leads(
        account=account,
        person=person,
        campaign=campaign,
        rep=rep,
        seniority=seniority,
        created=created,
        week=week,
        fit=np.where(account >= 0, accounts.fit[account], 0.0),
        interest=_interest(config, level),
        inside=week[:, None] + np.arange(config.lead_weeks) < config.weeks,
    )


def drive(leads: Leads) -> np.ndarray:
    """Return what drives the touches of leads: interest, and curiosity that fades with age."""
    age = np.arange(leads.interest.shape[1])
    return np.asarray(leads.interest + CURIOSITY * np.exp(-age / CURIOUS_WEEKS))


def _interest(config: WorldConfig, level: np.ndarray) -> np.ndarray:
    own = stream(config.seed, "person").normal(0.0, 0.75, len(level))
    path = walk(
        stream(config.seed, "interest"), level + own, config.lead_weeks, memory=MEMORY, noise=NOISE
    )
    return np.asarray(path - COOLING * np.arange(config.lead_weeks))


def _persons(config: WorldConfig, count: int) -> np.ndarray:
    """Number persons by their first lead; some leads are an earlier person who comes back."""
    rng, own = stream(config.seed, "returning"), np.arange(count)
    earlier = (rng.random(count) * own).astype(np.int64)
    is_back = (rng.random(count) < RETURNING) & (own > 0)
    # one step back is enough only where the earlier lead is its person's first
    return np.where(is_back & ~is_back[earlier], earlier, own)
