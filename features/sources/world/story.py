"""The story: everything that happened, run once through all concerns in the order of cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import (
    appointments,
    committee,
    company,
    consent,
    course,
    customers,
    deals,
    effort,
    handover,
    intent,
    outreach,
    people,
    qualify,
    support,
)
from features.sources.world import touches as touching
from features.sources.world import usage as using
from features.sources.world.chance import NEVER, WEEK

if TYPE_CHECKING:
    from features.sources.world.contacts import Contacts
    from features.sources.world.division import Division


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What is true of one division as far as leads and what became of them."""

    accounts: company.Accounts
    campaigns: company.Campaigns
    market: company.Market
    leads: people.Leads
    usage: using.Usage
    lots: outreach.Outreach
    hazards: qualify.Hazards  # before outreach
    became: qualify.Outcomes
    consent: consent.Consent  # of all contacts
    lead_touches: touching.Touches
    handover: handover.Handover


@dataclass(frozen=True, kw_only=True)
class Story(Beginning):
    """All that is true of one division."""

    contacts: Contacts  # of the leads, and then the other members of committees
    intent: intent.Intent
    deals: deals.Deals
    recent: np.ndarray  # requests to support before each week of a deal's life: (deals, weeks)
    course: course.Course
    committee: committee.Committee
    customers: customers.Customers
    deal_touches: touching.Touches
    effort: effort.Effort
    appointments: appointments.Appointments


def story(division: Division) -> Story:
    """Draw one division of the company."""
    began = _beginning(division)
    leads, became, end = began.leads, began.became, division.config.weeks * WEEK
    opened = deals.deals(division, began.accounts, leads, became)
    recent = _recent(division, began.usage, leads, opened)
    strain = np.log(division.config.ticket_effect) * recent
    ran = course.course(division, opened, began.market, strain)
    members, fresh = committee.committee(division, leads, opened)
    given = began.consent.joined(_consent_of_members(division, members, fresh))
    seen = touching.draw(
        division.stream("deal touches"), opened.engagement, opened.week, members.acting
    )
    done = _effort(division, (leads, became), began.lots, (opened, ran))
    calendar, done = _calendar(division, done, leads, opened)
    return Story(
        **vars(began) | {"consent": given},
        contacts=leads.contacts.joined(fresh),
        intent=intent.intent(division, began.accounts, leads),
        deals=opened,
        recent=recent,
        course=ran,
        committee=members,
        customers=customers.customers(division, leads, opened, ran),
        deal_touches=_within(seen, opened.created, np.minimum(ran.closed, end), given),
        effort=done,
        appointments=calendar,
    )


def _beginning(division: Division) -> Beginning:
    config, end = division.config, division.config.weeks * WEEK
    accounts, campaigns = company.accounts(division), company.campaigns(config)
    market = company.market(config, campaigns)
    leads = people.leads(division, accounts, campaigns, market)
    used = using.usage(division, accounts, leads)
    given = _consent_of_leads(division, campaigns, leads)
    touched = touching.draw(
        division.stream("touches"),
        people.drive(leads),
        leads.week,
        lambda _, row, __: leads.contact[row],
    )
    touched = _within(touched, leads.created, np.full(len(leads.created), end), given)
    hazard = qualify.hazards(leads, touched, using.of_leads(used, leads), market)
    luck = qualify.draws(division, leads)
    untreated = qualify.outcomes(leads, hazard, luck, leads.created)
    lots = outreach.outreach(division, leads, touched, untreated.ended)
    hazard_then = outreach.affected(division, hazard, lots.is_treated)
    became = qualify.outcomes(leads, hazard_then, luck, lots.latest_cause(leads.created))
    until = np.minimum(became.ended, end)
    touched = _within(touched, leads.created, until, given)
    return Beginning(
        accounts=accounts,
        campaigns=campaigns,
        market=market,
        leads=leads,
        usage=used,
        lots=lots,
        hazards=hazard,
        became=became,
        consent=given,
        lead_touches=touched,
        handover=handover.handover(division, leads, touched, until),
    )


def _within(
    touched: touching.Touches, since: np.ndarray, until: np.ndarray, given: consent.Consent
) -> touching.Touches:
    # nobody answers a mail from before they were known
    lives = (touched.cause > since[touched.row]) & (touched.time < until[touched.row])
    return consent.allowed(touched.where(lives), given)


def _consent_of_leads(
    division: Division, campaigns: company.Campaigns, leads: people.Leads
) -> consent.Consent:
    channel = campaigns.channel[leads.campaign]
    return consent.consent(
        division.stream("consent"),
        np.where(leads.contacts.is_made, leads.created, NEVER),
        np.array(list(consent.GRANTS.values()))[channel],
        weekly=division.config.withdrawals * np.exp(consent.ANNOYANCE * leads.interest[:, 0]),
        end=division.config.weeks * WEEK,
    )


def _consent_of_members(
    division: Division, members: committee.Committee, fresh: Contacts
) -> consent.Consent:
    count, end = len(fresh.person), division.config.weeks * WEEK
    since = np.full(count, NEVER)
    is_new = members.contact >= len(division.leads)
    since[members.contact[is_new] - len(division.leads)] = members.joined[is_new]
    return consent.consent(
        division.stream("consent of members"),
        np.where(since < end, since, NEVER),
        np.full(count, consent.MEMBER_GRANTS),
        weekly=np.full(count, division.config.withdrawals),
        end=end,
    )


def _recent(
    division: Division, used: using.Usage, leads: people.Leads, opened: deals.Deals
) -> np.ndarray:
    weeks = division.config.weeks
    load = support.recent(used.tickets, len(division.accounts), weeks)
    week = np.minimum(opened.week[:, None] + np.arange(opened.engagement.shape[1]), weeks - 1)
    return np.asarray(load[leads.account[opened.lead][:, None], week])


def _calendar(
    division: Division, done: effort.Effort, leads: people.Leads, opened: deals.Deals
) -> tuple[appointments.Appointments, effort.Effort]:
    since, drive = (
        leads.created[done.row * ~done.is_deal],
        leads.interest[done.row * ~done.is_deal, 0],
    )
    deal = done.row[done.is_deal]
    since[done.is_deal], drive[done.is_deal] = opened.created[deal], opened.engagement[deal, 0]
    return appointments.appointments(division.stream("appointments"), done, since, drive)


def _effort(
    division: Division,
    of_leads: tuple[people.Leads, qualify.Outcomes],
    lots: outreach.Outreach,
    of_deals: tuple[deals.Deals, course.Course],
) -> effort.Effort:
    (leads, became), (opened, ran) = of_leads, of_deals
    rng, end = division.stream("effort"), division.config.weeks * WEEK
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
    return effort.done(wished, division.config.rep_capacity)


def _alive(work: effort.Effort, since: np.ndarray, until: np.ndarray) -> effort.Effort:
    return work.where((work.time > since[work.row]) & (work.time < until[work.row]))
