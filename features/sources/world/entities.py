"""Entities by position: the keys under which leads, accounts and deals appear in events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.deals import PRODUCTS
from features.sources.world.rows import NOBODY, Words

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig
    from features.sources.world.deals import Deals
    from features.sources.world.people import Leads
    from features.sources.world.story import Story


@dataclass(frozen=True, kw_only=True)
class Entities:
    """Keys of all entities, and who belongs to whom."""

    names: dict[str, list[str]]  # column of the envelope -> keys by position
    leads: Leads
    deals: Deals

    def key(self, column: str, position: np.ndarray) -> Words:
        """Return the keys at some positions of one column."""
        return Words(vocabulary=self.names[column], codes=position)

    def of_lead(self, lead: np.ndarray, *others: str) -> dict[str, Words]:
        """Return the keys of an event of a lead: lead, account and some `others`.

        Without an account the person is named as well, so that all events of a lead share a shard.
        """
        account, person = self.leads.account[lead], self.leads.person[lead]
        needed = np.where(account == NOBODY, person, NOBODY)
        keys = {"lead": lead, "account": account, "person": needed}
        keys |= {column: getattr(self.leads, column)[lead] for column in others}
        return {column: self.key(column, position) for column, position in keys.items()}

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


def entities(config: WorldConfig, told: Story) -> Entities:
    """Name everything there is."""
    names = {
        "account": _numbered("account", len(told.accounts.fit)),
        "person": _numbered("person", len(told.leads.person)),
        "lead": _numbered("lead", len(told.leads.person)),
        "opportunity": _numbered("deal", len(told.deals.lead)),
        "campaign": _numbered("campaign", len(told.campaigns.weight)),
        "product": list(PRODUCTS),
        "rep": _numbered("rep", config.sized(config.reps)),
    }
    return Entities(names=names, leads=told.leads, deals=told.deals)


def _numbered(word: str, count: int) -> list[str]:
    digits = len(str(count))
    return [f"{word}-{place:0{digits}d}" for place in range(count)]
