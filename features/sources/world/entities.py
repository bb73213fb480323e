"""Entities by position: the keys under which leads, accounts and deals appear in events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from features.sources.world.committee import MOST
from features.sources.world.deals import PRODUCTS
from features.sources.world.rows import NOBODY, Words

if TYPE_CHECKING:
    from features.sources.world.contacts import Contacts
    from features.sources.world.deals import Deals
    from features.sources.world.division import Division
    from features.sources.world.people import Leads
    from features.sources.world.story import Story


@dataclass(frozen=True, kw_only=True)
class Entities:
    """Keys of all entities of a division, and who belongs to whom."""

    names: dict[str, pa.Array]  # column of the envelope -> keys by position
    leads: Leads
    deals: Deals
    contacts: Contacts

    def key(self, column: str, position: np.ndarray) -> Words:
        """Return the keys at some positions of one column."""
        return Words(vocabulary=self.names[column], codes=position)

    def of_lead(self, lead: np.ndarray, *others: str) -> dict[str, Words]:
        """Return the keys of an event of a lead: lead, account and some `others`.

        Without an account the person is named as well, so that all events of a lead share a shard.
        """
        account, contact = self.leads.account[lead], self.leads.contact[lead]
        named = contact if "person" in others else np.where(account == NOBODY, contact, NOBODY)
        keys = {"lead": lead, "account": account, "person": named}
        keys |= {c: getattr(self.leads, c)[lead] for c in others if c != "person"}
        return {column: self.key(column, position) for column, position in keys.items()}

    def of_contact(self, contact: np.ndarray) -> dict[str, Words]:
        """Return the keys of an event of a contact: person and account."""
        account = self.contacts.account[contact]
        return {"account": self.key("account", account), "person": self.key("person", contact)}

    def of_deal(self, deal: np.ndarray, *others: str) -> dict[str, Words]:
        """Return the keys of an event of a deal: opportunity, account and some `others`."""
        lead = self.deals.lead[deal]
        known = {
            "opportunity": deal,
            "account": self.leads.account[lead],
            "lead": lead,
            "rep": self.leads.rep[lead],
            "product": self.deals.product[deal],
        }
        return {c: self.key(c, known[c]) for c in ("opportunity", "account", *others)}


def entities(division: Division, told: Story) -> Entities:
    """Name everything there is; a number is never given twice in the whole company."""
    first = division.leads.start
    names = {
        "account": numbered("account", division.accounts.start, len(told.accounts.fit)),
        # a lead brings its own contact and at most so many members of a committee
        "person": numbered("contact", first * (1 + MOST), len(told.contacts.person)),
        "lead": numbered("lead", first, len(told.leads.contact)),
        # a deal comes from a lead, and there are no more of them
        "opportunity": numbered("deal", first, len(told.deals.lead)),
        "campaign": numbered("campaign", 0, len(told.campaigns.weight)),
        "product": pa.array(list(PRODUCTS)),
        "rep": numbered("rep", division.reps.start, len(division.reps)),
    }
    return Entities(names=names, leads=told.leads, deals=told.deals, contacts=told.contacts)


def numbered(word: str, first: int, count: int) -> pa.Array:
    """Return "word-00012" and so on."""
    return pa.array([f"{word}-{place:05d}" for place in range(first, first + count)], pa.string())
