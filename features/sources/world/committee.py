"""The buying committee: who takes part in a deal besides the person who was the lead.

Every member has a true role; what the rep writes down misses some champions and sees false ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import contacts
from features.sources.world.chance import WEEK

if TYPE_CHECKING:
    from features.sources.world.contacts import Contacts
    from features.sources.world.deals import Deals
    from features.sources.world.division import Division
    from features.sources.world.people import Leads

ROLES = ("champion", "economic_buyer", "technical_evaluator", "user", "procurement")
CHAMPION, BUYER = 0, 1
OTHERS, MOST = 1.2, 3  # mean and greatest number of members beside the lead's person
KNOWN_SHARE = 0.4  # of the others who are a contact of the account already, where there is one
JOIN_WEEKS = 5.0
SEEN, IMAGINED = 0.65, 0.05  # share of champions written down as such, and of others


@dataclass(frozen=True, kw_only=True)
class Committee:
    """Members in the order of their deals; of each deal the lead's contact comes first."""

    deal: np.ndarray
    contact: np.ndarray
    role: np.ndarray  # hidden: position in ROLES
    recorded: np.ndarray  # position in ROLES that the rep wrote down
    joined: np.ndarray  # microseconds
    first: np.ndarray  # per deal: place of its first member
    size: np.ndarray  # per deal: members

    def acting(self, rng: np.random.Generator, deal: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Draw the contact who acts for each deal: a member who has joined by then."""
        place = self.first[deal] + (rng.random(len(deal)) * self.size[deal]).astype(np.int64)
        place = np.where(self.joined[place] <= time, place, self.first[deal])
        return np.asarray(self.contact[place])


def committee(division: Division, leads: Leads, opened: Deals) -> tuple[Committee, Contacts]:
    """Draw the members of all deals; returns them and the contacts who are new."""
    rng, own = division.stream("committee"), leads.contact[opened.lead]
    others = np.minimum(rng.poisson(OTHERS, len(own)), MOST)
    deal = np.repeat(np.arange(len(own)), others)
    found = _known(rng, leads, opened.lead[deal], opened.created[deal])
    is_new = found < 0
    first_new = len(leads.contacts.person)
    fresh = contacts.new(rng, leads.account[opened.lead[deal[is_new]]], first_new)
    found[is_new] = fresh.person
    joined = opened.created[deal] + (rng.random(len(deal)) * JOIN_WEEKS * WEEK).astype(np.int64)
    # nobody sits in a committee twice
    once = np.unique(deal * (first_new + len(deal)) + found, return_index=True)[1]
    deal = np.concatenate([np.arange(len(own)), deal[once]])
    order = np.argsort(deal, kind="stable")
    size = np.bincount(deal, minlength=len(own))
    first = np.cumsum(size) - size
    contact = np.concatenate([own, found[once]])[order]
    senior = contacts.IS_SENIOR[leads.contacts.joined(fresh).seniority[contact]]
    role = _roles(rng, opened.has_champion, (first, size), senior)
    return Committee(
        deal=deal[order],
        contact=contact,
        role=role,
        recorded=_recorded(rng, role),
        joined=np.concatenate([opened.created, joined[once]])[order],
        first=first,
        size=size,
    ), fresh


def _known(
    rng: np.random.Generator, leads: Leads, lead: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """Draw a contact of the same account who was known `before`, or -1."""
    order = np.argsort(leads.account, kind="stable")
    accounts = leads.account[order]
    low = np.searchsorted(accounts, leads.account[lead], side="left")
    high = np.searchsorted(accounts, leads.account[lead], side="right")
    other = order[low + (rng.random(len(lead)) * (high - low)).astype(np.int64)]
    person = leads.contacts.person[leads.contact]
    fits = (leads.created[other] < before) & (person[other] != person[lead])
    fits &= rng.random(len(lead)) < KNOWN_SHARE
    return np.where(fits, leads.contact[other], -1)


def _roles(
    rng: np.random.Generator,
    has_champion: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
    senior: np.ndarray,
) -> np.ndarray:
    first, size = places
    role = rng.integers(BUYER + 1, len(ROLES), len(senior))
    role[(senior > 0) & (rng.random(len(senior)) < 0.7)] = BUYER
    place = first + ((size > 1) & (rng.random(len(size)) < 0.4))
    role[place[has_champion]] = CHAMPION
    return role


def _recorded(rng: np.random.Generator, role: np.ndarray) -> np.ndarray:
    luck, instead = rng.random(len(role)), rng.integers(BUYER, len(ROLES), len(role))
    missed = (role == CHAMPION) & (luck > SEEN)
    imagined = (role != CHAMPION) & (luck < IMAGINED)
    return np.select([missed, imagined], [instead, np.full_like(role, CHAMPION)], role)
