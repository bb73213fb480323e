"""The CRM's records: companies, contacts, what they consent to, and who sits in which committee."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import committee, identity
from features.sources.world.chance import NEVER, SECOND, WEEK, delays
from features.sources.world.rows import Block, Words

if TYPE_CHECKING:
    import pyarrow as pa

    from features.sources.world.division import Division
    from features.sources.world.entities import Entities
    from features.sources.world.identity import Firms
    from features.sources.world.story import Story

FORM, BY_HAND, PORTAL = 0.1, 2.0, 0.2  # mean hours until it is known
DOMAIN_MISSING = 0.3  # share of companies' second records without a domain


def records(division: Division, told: Story, who: Entities, firms: Firms) -> list[Block]:
    """Return what the CRM holds about companies and persons beside their leads and deals."""
    return [
        *_accounts(division, told, who, firms),
        *_contacts(division, told, who),
        _members(division, told, who),
        *_consent(division, told, who),
    ]


def known_since(told: Story) -> np.ndarray:
    """Return when each record of a company was made: with its first lead; NEVER without one."""
    since = np.full(len(told.accounts.fit), NEVER)
    known = told.leads.account >= 0
    np.minimum.at(since, told.leads.account[known], told.leads.created[known])
    return since


def _accounts(division: Division, told: Story, who: Entities, firms: Firms) -> list[Block]:
    rng, since = division.stream("account attributes"), known_since(told)
    account = np.flatnonzero(since != NEVER)
    is_second = told.accounts.variant[account] > 0
    with_domain = account[~is_second | (rng.random(len(account)) > DOMAIN_MISSING)]
    lag = delays(rng, len(since), FORM)

    def said(name: str, about: np.ndarray, words: pa.Array) -> Block:
        return Block(
            kind="attribute",
            name=name,
            time=since[about],
            lag=lag[about],
            keys={"account": who.key("account", about)},
            text=Words(vocabulary=words, codes=about),
        )

    created = Block(
        kind="account",
        name="created",
        time=since[account],
        lag=lag[account],
        keys={"account": who.key("account", account)},
    )
    return [
        created,
        said("name", account, firms.name),
        said("domain", with_domain, firms.domain),
        said("city", account, firms.city),
    ]


def _contacts(division: Division, told: Story, who: Entities) -> list[Block]:
    lead, time = np.flatnonzero(told.leads.contacts.is_made), told.leads.created
    lag = delays(division.stream("contact records"), len(lead), FORM)
    title = identity.titles(division.stream("job titles"), told.contacts.seniority)
    keys = who.of_contact(lead)
    created = Block(kind="person", name="created", time=time[lead], lag=lag, keys=keys)
    titled = Block(
        kind="attribute",
        name="job_title",
        time=time[lead],
        lag=lag,
        keys=keys,
        text=Words(vocabulary=identity.TITLES, codes=title[told.contacts.person[lead]]),
    )
    return [created, titled]


def _members(division: Division, told: Story, who: Entities) -> Block:
    members, end = told.committee, division.config.weeks * WEEK
    until = np.minimum(told.course.closed, end)[members.deal]
    place = np.flatnonzero(members.joined < until)
    person = {"person": who.key("person", members.contact[place])}
    return Block(
        kind="person",
        name="joined",
        # the deal is there first
        time=members.joined[place] + SECOND,
        lag=delays(division.stream("member records"), len(place), BY_HAND),
        keys=who.of_deal(members.deal[place]) | person,
        text=Words(vocabulary=committee.ROLES, codes=members.recorded[place]),
    )


def _consent(division: Division, told: Story, who: Entities) -> list[Block]:
    rng, given = division.stream("consent records"), told.consent
    facts = (
        ("granted", "all", given.granted),
        ("withdrawn", "all", given.withdrawn),
        ("withdrawn", "profiling", given.objected),
    )
    blocks = []
    for name, purpose, time in facts:
        contact = np.flatnonzero(time != NEVER)
        blocks.append(
            Block(
                kind="consent",
                name=name,
                time=time[contact],
                lag=delays(rng, len(contact), PORTAL),
                keys=who.of_contact(contact),
                text=purpose,
            )
        )
    return blocks
