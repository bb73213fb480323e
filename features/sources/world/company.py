"""Who there is: accounts with a hidden fit, campaigns with a hidden quality, and the market."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import stream

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig

# what we can see, and what it adds to the fit we cannot see
INDUSTRIES = {
    "software": 0.7,
    "finance": 0.5,
    "logistics": 0.2,
    "manufacturing": 0.1,
    "health": 0.0,
    "retail": -0.3,
    "education": -0.6,
    "public": -0.7,
}
REGIONS = {"dach": 0.25, "nordics": 0.2, "uk": 0.1, "france": -0.1, "iberia": -0.2, "usa": 0.0}
CHANNELS = {
    "organic": 0.35,
    "paid_search": 0.0,
    "social": -0.6,
    "referral": 1.0,
    "webinar": 0.45,
    "list": -1.0,
}
CAMPAIGNS_PER_CHANNEL = 3
SMALLEST, LARGEST = 5, 20_000  # employees
YEAR_END_DIP = -0.3  # on log hazards
SUMMER_DIP = -0.12
QUARTER_END_PUSH = 0.25


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Companies that may buy; arrays of one entry per account."""

    industry: np.ndarray  # position in INDUSTRIES
    region: np.ndarray  # position in REGIONS
    employees: np.ndarray
    fit: np.ndarray  # hidden, mean 0 and spread 1
    pull: np.ndarray  # share of the leads


@dataclass(frozen=True, kw_only=True)
class Campaigns:
    """Campaigns that bring leads; arrays of one entry per campaign."""

    channel: np.ndarray  # position in CHANNELS
    quality: np.ndarray  # hidden, added to the interest of its leads
    weight: np.ndarray  # share of the leads


@dataclass(frozen=True, kw_only=True)
class Market:
    """What all share in a week; arrays of one entry per week."""

    arrivals: np.ndarray  # share of the leads
    shock: np.ndarray  # on log hazards: random, unforeseeable
    season: np.ndarray  # on log hazards: the same every year
    push: np.ndarray  # on the log hazard of winning: the end of the quarter


def accounts(config: WorldConfig) -> Accounts:
    """Draw the accounts."""
    rng, count = stream(config.seed, "accounts"), config.sized(config.accounts)
    industry = rng.integers(0, len(INDUSTRIES), count)
    region = rng.integers(0, len(REGIONS), count)
    size = rng.normal(0.0, 1.0, count)
    employees = np.clip(np.exp(5.0 + 1.3 * size), SMALLEST, LARGEST).astype(np.int64)
    # a mid-sized company fits best
    fit = np.array(list(INDUSTRIES.values()))[industry] + np.array(list(REGIONS.values()))[region]
    fit += 0.45 * size - 0.2 * size**2 + rng.normal(0.0, 0.4, count)
    fit = (fit - fit.mean()) / max(float(fit.std()), 1e-9)
    pull = np.exp(rng.normal(0.0, 0.7, count) + 0.15 * size)
    return Accounts(
        industry=industry, region=region, employees=employees, fit=fit, pull=pull / pull.sum()
    )


def campaigns(config: WorldConfig) -> Campaigns:
    """Draw the campaigns, the same number for every channel."""
    rng = stream(config.seed, "campaigns")
    channel = np.repeat(np.arange(len(CHANNELS)), CAMPAIGNS_PER_CHANNEL)
    quality = np.array(list(CHANNELS.values()))[channel] + rng.normal(0.0, 0.2, len(channel))
    weight = rng.gamma(4.0, 1.0, len(channel))
    return Campaigns(channel=channel, quality=quality, weight=weight / weight.sum())


def market(config: WorldConfig) -> Market:
    """Draw the weekly shock and compute the season."""
    rng = stream(config.seed, "market")
    days = [config.start + timedelta(weeks=week) for week in range(config.weeks)]
    is_year_end = np.array([day.month == 12 and day.day >= 18 for day in days])
    is_summer = np.array([day.month == 8 for day in days])
    is_quarter_end = np.array([day.month % 3 == 0 and day.day >= 15 for day in days])
    season = YEAR_END_DIP * is_year_end + SUMMER_DIP * is_summer
    arrivals = np.exp(season + 0.003 * np.arange(config.weeks))
    return Market(
        arrivals=arrivals / arrivals.sum(),
        shock=rng.normal(0.0, config.market_shock_sd, config.weeks),
        season=season,
        push=QUARTER_END_PUSH * is_quarter_end,
    )
