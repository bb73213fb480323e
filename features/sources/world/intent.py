"""Intent: what a data vendor notices of companies that read about our kind of product elsewhere.

Companies research before one of their people becomes a lead, so a signal foretells leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import moments

if TYPE_CHECKING:
    from features.sources.world.company import Accounts
    from features.sources.world.division import Division
    from features.sources.world.people import Leads

SIGNS = ("topic_surge", "research", "review_visit", "comparison")
TOPICS = ("pricing", "integration", "migration", "security")
BASE, RESEARCHING = 0.005, 0.12  # signals per week, and in the weeks of research
RESEARCH_WEEKS = 4  # before a lead
PPM = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Intent:
    """Signals; arrays of one entry per signal."""

    account: np.ndarray
    time: np.ndarray  # microseconds
    strength: np.ndarray  # in millionths
    sign: np.ndarray  # position in SIGNS
    topic: np.ndarray  # position in TOPICS


def intent(division: Division, accounts: Accounts, leads: Leads) -> Intent:
    """Draw the signals of all accounts."""
    rng, count = division.stream("intent"), len(accounts.fit)
    researching = np.zeros((count, division.config.weeks), dtype=bool)
    known = np.flatnonzero(leads.account >= 0)
    for before in range(1, RESEARCH_WEEKS + 1):
        week = leads.week[known] - before
        researching[leads.account[known][week >= 0], week[week >= 0]] = True
    rate = np.where(researching, RESEARCHING, BASE) * np.exp(0.3 * accounts.fit)[:, None]
    account, week = np.nonzero(rng.random(rate.shape) < rate)
    strength = 0.35 + 0.3 * researching[account, week] + rng.normal(0.0, 0.15, len(account))
    return Intent(
        account=account,
        time=moments(rng, week),
        strength=(np.clip(strength, 0.01, 1.0) * PPM).round().astype(np.int64),
        sign=rng.integers(0, len(SIGNS), len(account)),
        topic=rng.integers(0, len(TOPICS), len(account)),
    )
