"""Usage: sessions in the product during trials, and the requests to support that they cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import support
from features.sources.world.chance import HOUR, WEEK, moments

if TYPE_CHECKING:
    from features.sources.world.company import Accounts
    from features.sources.world.division import Division
    from features.sources.world.people import Leads

SESSIONS_PER_WEEK = 5.5  # at drive 0
TICKETS_PER_SESSION = 0.03
LATEST_START = 4  # weeks after the account's first lead
LOG_SECONDS = (6.6, 0.8)  # mean and spread of the log of a session's active seconds
NO_TRIAL = -1


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Sessions in trials and what was asked about them."""

    account: np.ndarray  # of each session
    time: np.ndarray  # of each session, microseconds
    tickets: support.Tickets  # requests to which sessions led
    trial_week: np.ndarray  # per account: first week of its trial, or NO_TRIAL
    weekly: np.ndarray  # sessions, one row per account and one column per week


def usage(division: Division, accounts: Accounts, leads: Leads) -> Usage:
    """Draw the trials and their sessions."""
    rng = division.stream("usage")
    trial_week, drive = _trials(rng, division, accounts, leads)
    week = trial_week[:, None] + np.arange(division.config.trial_weeks)
    runs = (trial_week[:, None] != NO_TRIAL) & (week < division.config.weeks)
    often = rng.poisson(SESSIONS_PER_WEEK * np.exp(0.5 * np.minimum(drive, 2.5)), week.T.shape).T
    account, step = np.nonzero(often * runs)
    again = often[account, step]
    account, week = np.repeat(account, again), np.repeat(week[account, step], again)
    weekly = np.bincount(
        account * division.config.weeks + week, minlength=len(drive) * division.config.weeks
    )
    time = moments(rng, week)
    asks = rng.random(len(account)) < TICKETS_PER_SESSION
    asks &= time + HOUR < division.config.weeks * WEEK
    return Usage(
        account=account,
        time=time,
        tickets=support.tickets(division.stream("tickets"), account[asks], time[asks] + HOUR // 2),
        trial_week=trial_week,
        weekly=weekly.reshape(len(drive), division.config.weeks),
    )


def of_leads(use: Usage, leads: Leads) -> np.ndarray:
    """Return the sessions of each lead's account in the week before each week of its life."""
    before = leads.week[:, None] + np.arange(leads.interest.shape[1]) - 1
    inside = leads.inside & (before >= 0) & (leads.account[:, None] >= 0)
    column = np.clip(before, 0, use.weekly.shape[1] - 1)
    return np.where(inside, use.weekly[leads.account[:, None], column], 0)


def _trials(
    rng: np.random.Generator, division: Division, accounts: Accounts, leads: Leads
) -> tuple[np.ndarray, np.ndarray]:
    """Draw who tries the product and from which week: the more who are interested, the likelier."""
    count = len(accounts.fit)
    known = leads.account >= 0
    first = np.full(count, division.config.weeks)
    np.minimum.at(first, leads.account[known], leads.week[known])
    warmest = np.full(count, -1.0)
    np.maximum.at(warmest, leads.account[known], leads.interest[known, 0])
    drive = 0.4 * accounts.fit + 0.5 * warmest + rng.normal(0.0, 0.6, count)
    start = first + rng.integers(0, LATEST_START + 1, count)
    tries = np.zeros(count, dtype=bool)
    tries[np.argsort(-drive)[: round(division.config.trial_share * count)]] = True
    tries &= first < division.config.weeks
    return np.where(tries, start, NO_TRIAL), drive
