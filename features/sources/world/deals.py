"""Deals: opened for qualified leads, each with an amount, a champion or none, and an engagement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import NEVER, WEEK, sigmoid, walk
from features.sources.world.contacts import IS_SENIOR

if TYPE_CHECKING:
    from features.sources.world.company import Accounts
    from features.sources.world.division import Division
    from features.sources.world.people import Leads
    from features.sources.world.qualify import Outcomes

PRODUCTS = {"starter": -0.7, "team": 0.0, "enterprise": 0.8}  # on the log amount
LOG_CENTS = 14.3  # of a team deal with 150 employees: about 16,000
ROUND_CENTS = 10_000  # a price list knows no small change
MEMORY, NOISE = 0.92, 0.25  # of the weekly engagement


@dataclass(frozen=True, kw_only=True)
class Deals:
    """Deals in the order of their creation; arrays of one entry per deal."""

    lead: np.ndarray
    created: np.ndarray  # microseconds
    week: np.ndarray  # in which it was created
    product: np.ndarray  # position in PRODUCTS
    cents: np.ndarray  # expected amount
    has_champion: np.ndarray  # hidden
    thrift: np.ndarray  # hidden: how much the buyer looks at the price
    engagement: np.ndarray  # hidden: one row per deal, one column per week of its life


def deals(division: Division, accounts: Accounts, leads: Leads, became: Outcomes) -> Deals:
    """Open a deal for every qualified lead."""
    rng = division.stream("deals")
    lead = np.argsort(became.qualified, kind="stable")
    lead = lead[became.qualified[lead] != NEVER]
    created = became.qualified[lead]
    interest = leads.interest[lead, created // WEEK - leads.week[lead]]
    senior = IS_SENIOR[leads.seniority[lead]]
    has_champion = rng.random(len(lead)) < sigmoid(-0.5 + 0.5 * senior + 0.4 * interest)
    level = 0.5 * interest + 0.4 * leads.fit[lead] + 0.8 * has_champion - 0.8
    level += rng.normal(0.0, 0.7, len(lead))
    employees = accounts.employees[leads.account[lead]]
    product = _products(division, employees)
    return Deals(
        lead=lead,
        created=created,
        week=created // WEEK,
        product=product,
        cents=_cents(division, employees, product),
        has_champion=has_champion,
        thrift=rng.normal(0.0, 1.0, len(lead)),
        engagement=walk(
            division.stream("engagement"),
            level,
            division.config.deal_weeks,
            memory=MEMORY,
            noise=NOISE,
        ),
    )


def _products(division: Division, employees: np.ndarray) -> np.ndarray:
    rng = division.stream("products")
    tier = np.log10(employees) - 1.2 + rng.normal(0.0, 0.6, len(employees))
    return np.clip(tier.round().astype(np.int64), 0, len(PRODUCTS) - 1)


def _cents(division: Division, employees: np.ndarray, product: np.ndarray) -> np.ndarray:
    rng = division.stream("amounts")
    log = LOG_CENTS + np.array(list(PRODUCTS.values()))[product]
    log += 0.45 * np.log(employees / 150) + rng.normal(0.0, 0.5, len(employees))
    return np.asarray((1 + np.exp(log).astype(np.int64) // ROUND_CENTS) * ROUND_CENTS)
