"""Marketing's records: leads and their attributes, touches, trials and the lots of outreach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import company, people, qualify, usage
from features.sources.world import touches as touching
from features.sources.world.chance import HOUR, NEVER, WEEK, delays, stream
from features.sources.world.rows import Block, Words

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

# mean hours until an event is known, by the tool that writes it down
FORM, WEBSITE, MAILS, PRODUCT, DESK, LOT = 0.1, 0.3, 3.0, 1.0, 0.5, 0.02
VENDOR_KNOWS = 0.93  # share of leads whose company a data vendor can describe
SUBJECTS = ("login", "billing", "question", "defect")


def records(config: WorldConfig, told: Story, who: Entities) -> list[Block]:
    """Return everything that marketing and the product write down."""
    return [
        *_arrivals(config, told, who),
        _given_up(config, told, who),
        _lots(config, told, who),
        *_touches(config, told, who),
        *_trials(config, told, who),
    ]


def _arrivals(config: WorldConfig, told: Story, who: Entities) -> list[Block]:
    rng, leads, accounts = stream(config.seed, "lead records"), told.leads, told.accounts
    everyone = np.arange(len(leads.created))
    lag = delays(rng, len(everyone), FORM)
    keys = who.of_lead(everyone, "person", "campaign", "rep")
    origin = told.campaigns.channel[leads.campaign]
    is_known = (leads.account >= 0) & (rng.random(len(everyone)) < VENDOR_KNOWS)
    known, account = np.flatnonzero(is_known), leads.account[is_known]
    described = [
        ("origin", everyone, _words(company.CHANNELS, origin)),
        ("seniority", everyone, _words(people.SENIORITIES, leads.seniority)),
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


def _given_up(config: WorldConfig, told: Story, who: Entities) -> Block:
    rng, leads = stream(config.seed, "disqualified records"), told.leads
    lead = np.flatnonzero(told.became.disqualified != NEVER)
    time = told.became.disqualified[lead]
    reason = rng.integers(0, len(qualify.REASONS) - 1, len(lead))
    reason[leads.fit[lead] < -1.0] = qualify.REASONS.index("bad_fit")
    is_last = time // WEEK - leads.week[lead] == config.lead_weeks - 1
    reason[is_last] = qualify.REASONS.index("no_response")
    return Block(
        kind="lead",
        name="disqualified",
        time=time,
        lag=delays(rng, len(lead), 2.0),
        keys=who.of_lead(lead, "rep"),
        text=_words(qualify.REASONS, reason),
    )


def _lots(config: WorldConfig, told: Story, who: Entities) -> Block:
    rng, lots = stream(config.seed, "lot records"), told.lots
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


def _touches(config: WorldConfig, told: Story, who: Entities) -> list[Block]:
    rng, seen = stream(config.seed, "touch records"), told.deal_touches
    of_deals = touching.Touches(row=told.deals.lead[seen.row], name=seen.name, time=seen.time)
    return [_touch(rng, who, touched) for touched in (told.lead_touches, of_deals)]


def _touch(rng: np.random.Generator, who: Entities, touched: touching.Touches) -> Block:
    count = len(touched.row)
    is_mail = touched.name <= touching.REPLIED
    lag = np.where(is_mail, delays(rng, count, MAILS), delays(rng, count, WEBSITE))
    return Block(
        kind="touch",
        name=Words(vocabulary=touching.NAMES, codes=touched.name),
        time=touched.time,
        # a mail tool reports within the day
        lag=np.minimum(lag, 24 * HOUR),
        keys=who.of_lead(touched.row, "person", "campaign"),
        number=1 + np.exp(rng.normal(*touching.LOG_SECONDS, count)).astype(np.int64),
        has_number=np.isin(touched.name, (touching.WEB, touching.PRICING)),
    )


def _trials(config: WorldConfig, told: Story, who: Entities) -> list[Block]:
    rng, used = stream(config.seed, "usage records"), told.usage
    ticket = used.ticket[used.time[used.ticket] + HOUR < config.weeks * WEEK]
    count = len(used.account)
    session = Block(
        kind="usage",
        name="session",
        time=used.time,
        lag=delays(rng, count, PRODUCT),
        keys={"account": who.key("account", used.account)},
        number=1 + np.exp(rng.normal(*usage.LOG_SECONDS, count)).astype(np.int64),
    )
    asked = Block(
        kind="support",
        name="ticket",
        time=used.time[ticket] + HOUR // 2,
        lag=delays(rng, len(ticket), DESK),
        keys={"account": who.key("account", used.account[ticket])},
        text=_words(SUBJECTS, rng.integers(0, len(SUBJECTS), len(ticket))),
    )
    return [session, asked]


def _words(vocabulary: dict[str, float] | tuple[str, ...], codes: np.ndarray) -> Words:
    return Words(vocabulary=tuple(vocabulary), codes=codes)
