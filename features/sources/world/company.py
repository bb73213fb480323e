"""Who there is: accounts with a hidden fit, campaigns with a hidden quality, and the market."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import stream

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig
    from features.sources.world.division import Division

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
# how a channel's log share moves over the period, times the channel drift
LEANINGS = {
    "organic": -0.5,
    "paid_search": 1.0,
    "social": 0.5,
    "referral": -0.5,
    "webinar": 0.5,
    "list": -1.0,
}
CAMPAIGNS_PER_CHANNEL = 3
# of records of a company that is recorded already; the first of them is no such record
VARIANTS = ("first", "legal_form", "typo", "subsidiary")
SMALLEST, LARGEST = 5, 20_000  # employees
YEAR_END_DIP = -0.3  # on log hazards
SUMMER_DIP = -0.12
QUARTER_END_PUSH = 0.25


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Records of companies that may buy; arrays of one entry per record."""

    industry: np.ndarray  # position in INDUSTRIES
    region: np.ndarray  # position in REGIONS
    employees: np.ndarray
    fit: np.ndarray  # hidden, mean 0 and spread 1
    pull: np.ndarray  # share of the leads
    company: np.ndarray  # hidden: position of the first record of the same company
    variant: np.ndarray  # hidden: position in VARIANTS


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
    drift: np.ndarray  # on log hazards: slow, in one direction
    shift: np.ndarray  # on log hazards: at once, from one week on
    mix: np.ndarray  # share of the leads by campaign: one row per week

    @property
    def mood(self) -> np.ndarray:
        """All that moves every hazard, per week."""
        return np.asarray(self.shock + self.season + self.drift + self.shift)


def accounts(division: Division) -> Accounts:
    """Draw the accounts; some are second records of a company."""
    rng, count = division.stream("accounts"), len(division.accounts)
    industry = rng.integers(0, len(INDUSTRIES), count)
    region = rng.integers(0, len(REGIONS), count)
    size = rng.normal(0.0, 1.0, count)
    employees = np.clip(np.exp(5.0 + 1.3 * size), SMALLEST, LARGEST).astype(np.int64)
    # a mid-sized company fits best
    fit = np.array(list(INDUSTRIES.values()))[industry] + np.array(list(REGIONS.values()))[region]
    fit += 0.45 * size - 0.2 * size**2 + rng.normal(0.0, 0.4, count)
    fit = (fit - fit.mean()) / max(float(fit.std()), 1e-9)
    pull = np.exp(rng.normal(0.0, 0.7, count) + 0.15 * size)
    company, variant = _records(division)
    return Accounts(
        industry=industry[company],
        region=region[company],
        employees=employees[company],
        fit=fit[company],
        pull=pull / pull.sum(),
        company=company,
        variant=variant,
    )


def campaigns(config: WorldConfig) -> Campaigns:
    """Draw the campaigns, the same number for every channel."""
    rng = stream(config.seed, "campaigns")
    channel = np.repeat(np.arange(len(CHANNELS)), CAMPAIGNS_PER_CHANNEL)
    quality = np.array(list(CHANNELS.values()))[channel] + rng.normal(0.0, 0.2, len(channel))
    weight = rng.gamma(4.0, 1.0, len(channel))
    return Campaigns(channel=channel, quality=quality, weight=weight / weight.sum())


def market(config: WorldConfig, brought: Campaigns) -> Market:
    """Draw the weekly shock; compute the season and the drift of hazards and of channels."""
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
        drift=config.hazard_drift * np.linspace(0.0, 1.0, config.weeks),
        shift=config.hazard_shift * (np.arange(config.weeks) >= config.shift_week),
        mix=_mix(config, brought),
    )


def _mix(config: WorldConfig, brought: Campaigns) -> np.ndarray:
    leaning = np.array(list(LEANINGS.values()))[brought.channel]
    past = np.linspace(-0.5, 0.5, config.weeks)[:, None]
    mix = brought.weight * np.exp(config.channel_drift * leaning * past)
    return np.asarray(mix / mix.sum(axis=1, keepdims=True))


def _records(division: Division) -> tuple[np.ndarray, np.ndarray]:
    """Draw which company each record describes, and how a second record differs."""
    rng, own = division.stream("account records"), np.arange(len(division.accounts))
    earlier = (rng.random(len(own)) * own).astype(np.int64)
    is_second = (rng.random(len(own)) < division.config.duplicates) & (own > 0)
    is_second &= ~is_second[earlier]
    variant = np.where(is_second, rng.integers(1, len(VARIANTS), len(own)), 0)
    return np.where(is_second, earlier, own), variant
