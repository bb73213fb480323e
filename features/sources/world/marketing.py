"""Marketing's records: leads and their attributes, touches and the lots of outreach."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import company, contacts, qualify
from features.sources.world import touches as touching
from features.sources.world.chance import HOUR, NEVER, SECOND, WEEK, delays
from features.sources.world.rows import Block, Words

if TYPE_CHECKING:
    from features.sources.world.division import Division
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

# mean hours until an event is known, by the tool that writes it down
FORM, WEBSITE, MAILS, LOT, REVIEW = 0.1, 0.3, 3.0, 0.02, 1.0
# what is said by those who are given up for a reason
OBJECTIONS = {
    "no_need": "need",
    "no_budget": "budget",
    "bad_fit": "product_gap",
    "competitor": "competitor",
}
CONCERNS = (*OBJECTIONS.values(), "other")
HEARD = 0.4  # share of those who say it
VENDOR_KNOWS = 0.93  # share of leads whose company a data vendor can describe


def records(division: Division, told: Story, who: Entities) -> list[Block]:
    """Return everything that marketing writes down."""
    return [
        *_arrivals(division, told, who),
        *_given_up(division, told, who),
        _lots(division, told, who),
        *_touches(division, told, who),
    ]


def _arrivals(division: Division, told: Story, who: Entities) -> list[Block]:
    rng, leads, accounts = division.stream("lead records"), told.leads, told.accounts
    everyone = np.arange(len(leads.created))
    lag = delays(rng, len(everyone), FORM)
    keys = who.of_lead(everyone, "person", "campaign", "rep")
    origin = told.campaigns.channel[leads.campaign]
    is_known = (leads.account >= 0) & (rng.random(len(everyone)) < VENDOR_KNOWS)
    known, account = np.flatnonzero(is_known), leads.account[is_known]
    described = [
        ("origin", everyone, _words(company.CHANNELS, origin)),
        ("seniority", everyone, _words(contacts.SENIORITIES, leads.seniority)),
        ("industry", known, _words(company.INDUSTRIES, accounts.industry[account])),
        ("region", known, _words(company.REGIONS, accounts.region[account])),
        ("employees", known, accounts.employees[account]),
    ]
    created = Block(kind="lead", name="created", time=leads.created, lag=lag, keys=keys)
    return [
        created,
        *(
            Block(
                kind="attribute",
                name=name,
                time=leads.created[lead],
                lag=lag[lead],
                keys=who.of_lead(lead),
                text=value if isinstance(value, Words) else None,
                number=None if isinstance(value, Words) else value,
            )
            for name, lead, value in described
        ),
    ]


def _given_up(division: Division, told: Story, who: Entities) -> list[Block]:
    rng, leads = division.stream("disqualified records"), told.leads
    lead = np.flatnonzero(told.became.disqualified != NEVER)
    time = told.became.disqualified[lead]
    reason = rng.integers(0, len(qualify.REASONS) - 1, len(lead))
    reason[leads.fit[lead] < -1.0] = qualify.REASONS.index("bad_fit")
    is_last = time // WEEK - leads.week[lead] == division.config.lead_weeks - 1
    reason[is_last] = qualify.REASONS.index("no_response")
    # some say why before they are given up
    concern = np.array([CONCERNS.index(OBJECTIONS.get(name, "other")) for name in qualify.REASONS])
    heard = (rng.random(len(lead)) < HEARD) & (reason != qualify.REASONS.index("no_response"))
    said = time - ((time - leads.created[lead]) * rng.uniform(0.05, 0.6, len(lead))).astype(
        np.int64
    )
    return [
        Block(
            kind="lead",
            name="disqualified",
            time=time,
            lag=delays(rng, len(lead), 2.0),
            keys=who.of_lead(lead, "rep"),
            text=_words(qualify.REASONS, reason),
        ),
        Block(
            kind="objection",
            name=Words(vocabulary=CONCERNS, codes=concern[reason[heard]]),
            time=said[heard],
            lag=delays(rng, int(heard.sum()), 2.0),
            keys=who.of_lead(lead[heard], "rep"),
        ),
    ]


def handed_over(division: Division, told: Story, who: Entities) -> list[Block]:
    """Return what marketing and sales say of a lead in each other's tools."""
    rng, said = division.stream("handover records"), told.handover
    facts = (
        ("marketing_qualified", said.qualified, LOT),
        ("sales_accepted", said.accepted, REVIEW),
        ("sales_rejected", said.rejected, REVIEW),
    )
    blocks = []
    for name, time, mean_hours in facts:
        lead = np.flatnonzero(time != NEVER)
        lag = delays(rng, len(lead), mean_hours)
        keys = who.of_lead(lead)
        blocks.append(Block(kind="lead", name=name, time=time[lead], lag=lag, keys=keys))
    return blocks


def _lots(division: Division, told: Story, who: Entities) -> Block:
    rng, lots = division.stream("lot records"), told.lots
    lead = np.flatnonzero(lots.drawn != NEVER)
    return Block(
        kind="intervention",
        name="outreach",
        time=lots.drawn[lead],
        lag=delays(rng, len(lead), LOT),
        keys=who.of_lead(lead),
        number=lots.ppm[lead],
        text=_words(("control", "treated"), lots.is_treated[lead].astype(np.int64)),
    )


def _touches(division: Division, told: Story, who: Entities) -> list[Block]:
    rng, seen = division.stream("touch records"), told.deal_touches
    of_deals = replace(seen, row=told.deals.lead[seen.row])
    return [_touch(rng, who, touched) for touched in (told.lead_touches, of_deals)]


def _touch(rng: np.random.Generator, who: Entities, touched: touching.Touches) -> Block:
    count = len(touched.row)
    is_mail = touched.name <= touching.REPLIED
    lag = np.where(is_mail, delays(rng, count, MAILS), delays(rng, count, WEBSITE))
    on_site = 1 + np.exp(rng.normal(*touching.LOG_SECONDS, count)).astype(np.int64)
    is_reply = touched.name == touching.REPLIED
    has_number = is_reply | np.isin(touched.name, (touching.WEB, touching.PRICING))
    keys = who.of_lead(touched.row, "campaign") | {"person": who.key("person", touched.contact)}
    return Block(
        kind="touch",
        name=Words(vocabulary=touching.NAMES, codes=touched.name),
        time=touched.time,
        # a mail tool reports within the day
        lag=np.minimum(lag, 24 * HOUR),
        keys=keys,
        number=np.where(is_reply, (touched.time - touched.cause) // SECOND, on_site),
        has_number=has_number,
    )


def _words(vocabulary: dict[str, float] | tuple[str, ...], codes: np.ndarray) -> Words:
    return Words(vocabulary=tuple(vocabulary), codes=codes)
