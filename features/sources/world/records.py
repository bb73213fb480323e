"""Records: the story as the company's tools wrote it down, each with its own delay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import company, course, effort, people, qualify
from features.sources.world import touches as touching
from features.sources.world.chance import DAY, HOUR, NEVER, SECOND, WEEK, delays, stream
from features.sources.world.rows import Block, Words

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

# mean hours until an event is known, by the tool that writes it down
FORM, WEBSITE, MAILS, PRODUCT, DESK, BY_HAND = 0.1, 0.3, 3.0, 1.0, 0.5, 2.0
LATE = 0.15  # share of CRM rows that are entered up to two days late
ATTRIBUTE_KNOWN = 0.93  # share of leads whose company a data vendor knows
SUBJECTS = ("login", "billing", "question", "defect")
LOSSES = ("price", "competitor", "no_decision", "timing")


def blocks(config: WorldConfig, told: Story, who: Entities) -> list[Block]:
    """Return every event of the story."""
    return [
        *_arrivals(config, told, who),
        *_ends(config, told, who),
        *_touches(config, told, who),
        *_usage(config, told, who),
        _lots(config, told, who),
        *_efforts(config, told, who),
        *_deals(config, told, who),
    ]


def _arrivals(config: WorldConfig, told: Story, who: Entities) -> list[Block]:
    rng, leads = stream(config.seed, "lag of leads"), told.leads
    all_leads = np.arange(len(leads.created))
    lag = delays(rng, len(all_leads), FORM)
    keys = who.of_lead(all_leads, "person", "campaign", "rep")
    created = Block(kind="lead", name="created", time=leads.created, lag=lag, keys=keys)
    origin = told.campaigns.channel[leads.campaign]
    texts = [
        _attribute(told, who, "origin", all_leads, lag, _words(company.CHANNELS, origin)),
        _attribute(told, who, "seniority", all_leads, lag, _words(people.SENIORITIES, leads.seniority)),
    ]
    known = np.flatnonzero((leads.account >= 0) & (rng.random(len(lag)) < ATTRIBUTE_KNOWN))
    account = leads.account[known]
    industry = _words(company.INDUSTRIES, told.accounts.industry[account])
    return [created, *texts]
