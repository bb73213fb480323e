"""Customers: won deals that use the product until they leave, sooner after trouble with support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import support
from features.sources.world.chance import NEVER, WEEK, moments
from features.sources.world.course import WON

if TYPE_CHECKING:
    from features.sources.world.course import Course
    from features.sources.world.deals import Deals
    from features.sources.world.division import Division
    from features.sources.world.people import Leads

SESSIONS_PER_WEEK = 0.3  # at engagement 0
TICKETS_PER_WEEK = 0.05
CHURN = -5.0  # weekly log hazard of an average customer
REASONS = ("support", "price", "not_used", "competitor")


@dataclass(frozen=True, kw_only=True)
class Customers:
    """Customers, one entry per won deal, and what they do."""

    deal: np.ndarray
    log_hazard: np.ndarray  # hidden: weekly, to leave without a recent request
    churned: np.ndarray  # microseconds, NEVER while it stays
    reason: np.ndarray  # position in REASONS
    tickets: support.Tickets
    session_account: np.ndarray  # of each session
    session_time: np.ndarray  # of each session, microseconds


def customers(division: Division, leads: Leads, opened: Deals, ran: Course) -> Customers:
    """Draw the life of every customer to the end of the period."""
    rng, weeks = division.stream("customers"), division.config.weeks
    deal = np.flatnonzero(ran.final.stage == WON)
    since, account = ran.closed[deal], leads.account[opened.lead[deal]]
    # the week of the win is not over, and the first one as a customer is the next
    runs = np.arange(weeks) > (since // WEEK)[:, None]
    row, week = np.nonzero(rng.poisson(TICKETS_PER_WEEK, runs.shape) * runs)
    asked = support.tickets(rng, row, moments(rng, week))
    recent = support.recent(asked, len(deal), weeks)
    drive = np.minimum(opened.engagement[deal].mean(axis=1), 2.5)
    calm = CHURN - 0.3 * drive
    log = calm[:, None] + np.log(division.config.ticket_effect) * recent
    leaves = runs & (rng.random(runs.shape) < -np.expm1(-np.exp(log)))
    when = np.where(leaves, moments(rng, np.tile(np.arange(weeks), (len(deal), 1))), NEVER)
    churned = when.min(axis=1, initial=NEVER)
    row, time = _sessions(rng, drive, runs)
    is_there, is_heard = time < churned[row], asked.opened < churned[asked.account]
    reason = rng.integers(1, len(REASONS), len(deal))
    reason[recent[np.arange(len(deal)), np.minimum(churned // WEEK, weeks - 1)] > 0] = 0
    heard = {name: values[is_heard] for name, values in vars(asked).items()}
    return Customers(
        deal=deal,
        log_hazard=calm,
        churned=churned,
        reason=reason,
        tickets=support.Tickets(**heard | {"account": account[heard["account"]]}),
        session_account=account[row[is_there]],
        session_time=time[is_there],
    )


def _sessions(
    rng: np.random.Generator, drive: np.ndarray, runs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    rate = SESSIONS_PER_WEEK * np.exp(0.5 * drive)[:, None] * runs
    row, week = np.nonzero(often := rng.poisson(rate))
    again = often[row, week]
    return np.repeat(row, again), moments(rng, np.repeat(week, again))
