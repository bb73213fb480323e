"""The story: everything that happened, run once through all concerns in the order of cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import company, course, deals, effort, outreach, people, qualify
from features.sources.world import touches as touching
from features.sources.world import usage as using
from features.sources.world.chance import WEEK, stream

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that is true of one world."""

    accounts: company.Accounts
    campaigns: company.Campaigns
    market: company.Market
    leads: people.Leads
    usage: using.Usage
    lots: outreach.Outreach
    hazards: qualify.Hazards  # before outreach
    became: qualify.Outcomes
    deals: deals.Deals
    course: course.Course
    lead_touches: touching.Touches
    deal_touches: touching.Touches
    effort: effort.Effort


def story(config: WorldConfig) -> Story:
    """Draw a world."""
    accounts, campaigns = company.accounts(config), company.campaigns(config)
    market = company.market(config)
    leads = people.leads(config, accounts, campaigns, market)
    used = using.usage(config, accounts, leads)
    touched = touching.draw(stream(config.seed, "touches"), people.drive(leads), leads.week)
    end = config.weeks * WEEK
    touched = _within(touched, leads.created, np.full(len(leads.created), end))
    hazard = qualify.hazards(leads, touched, using.of_leads(used, leads), market)
    luck = qualify.draws(config, leads)
    untreated = qualify.outcomes(leads, hazard, luck, leads.created)
    lots = outreach.outreach(config, leads, touched, untreated.ended)
    hazard_then = outreach.affected(config, hazard, lots.is_treated)
    became = qualify.outcomes(leads, hazard_then, luck, lots.latest_cause(leads.created))
    opened = deals.deals(config, accounts, leads, became)
    ran = course.course(config, opened, market)
    seen = touching.draw(stream(config.seed, "deal touches"), opened.engagement, opened.week)
    return Story(
        accounts=accounts,
        campaigns=campaigns,
        market=market,
        leads=leads,
        usage=used,
        lots=lots,
        hazards=hazard,
        became=became,
        deals=opened,
        course=ran,
        lead_touches=_within(touched, leads.created, np.minimum(became.ended, end)),
        deal_touches=_within(seen, opened.created, np.minimum(ran.closed, end)),
        effort=_effort(config, (leads, became), lots, (opened, ran)),
    )


def _within(touched: touching.Touches, since: np.ndarray, until: np.ndarray) -> touching.Touches:
    return touched.where((touched.time > since[touched.row]) & (touched.time < until[touched.row]))


def _effort(
    config: WorldConfig,
    of_leads: tuple[people.Leads, qualify.Outcomes],
    lots: outreach.Outreach,
    of_deals: tuple[deals.Deals, course.Course],
) -> effort.Effort:
    (leads, became), (opened, ran) = of_leads, of_deals
    rng, end = stream(config.seed, "effort"), config.weeks * WEEK
    on_leads = effort.joined(
        [
            effort.wishes(rng, leads.interest, leads.week, leads.rep, is_deal=False),
            effort.after_lot(rng, np.flatnonzero(lots.is_treated), lots.drawn, leads.rep),
        ]
    )
    on_deals = effort.wishes(
        rng, opened.engagement, opened.week, leads.rep[opened.lead], is_deal=True
    )
    wished = effort.joined(
        [
            _alive(on_leads, leads.created, np.minimum(became.ended, end)),
            _alive(on_deals, opened.created, np.minimum(ran.closed, end)),
        ]
    )
    return effort.done(wished, config.rep_capacity)


def _alive(work: effort.Effort, since: np.ndarray, until: np.ndarray) -> effort.Effort:
    return work.where((work.time > since[work.row]) & (work.time < until[work.row]))
