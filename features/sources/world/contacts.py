"""Contacts: the records of persons in the CRM, of which some describe a person recorded before.

A person who comes back is mostly recognised; sometimes a second record is made: with a typo, under
a nickname, with another address, or from the company that the person has moved to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.rows import NOBODY

if TYPE_CHECKING:
    from features.sources.world.company import Accounts
    from features.sources.world.division import Division

SENIORITIES = {"student": -1.2, "staff": -0.3, "manager": 0.25, "director": 0.6, "executive": 0.4}
SENIORITY_SHARES = (0.08, 0.40, 0.30, 0.15, 0.07)
IS_SENIOR = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
WITHOUT_ACCOUNT = 0.02  # share of leads whose company nobody knows
RETURNING = 0.04  # share of leads whose contact was a lead before
COPIES = ("first", "typo", "nickname", "other_email", "moved")
MOVED = COPIES.index("moved")


@dataclass(frozen=True, kw_only=True)
class Contacts:
    """Records of persons; arrays of one entry per record, the first ones at the leads' places."""

    person: np.ndarray  # hidden: position of the first record of the same person
    copy: np.ndarray  # hidden: position in COPIES
    account: np.ndarray  # NOBODY without one
    seniority: np.ndarray  # position in SENIORITIES
    is_made: np.ndarray  # false at the place of a lead whose contact was there already

    def joined(self, others: Contacts) -> Contacts:
        """Return these contacts and then the others."""
        return Contacts(
            **{
                name: np.concatenate([own, getattr(others, name)])
                for name, own in vars(self).items()
            }
        )


def of_leads(division: Division, accounts: Accounts) -> tuple[Contacts, np.ndarray]:
    """Draw a contact for every lead; returns the contacts and the contact of each lead."""
    rng, own = division.stream("contacts"), np.arange(len(division.leads))
    account = rng.choice(len(accounts.pull), len(own), p=accounts.pull)
    account[rng.random(len(own)) < WITHOUT_ACCOUNT] = NOBODY
    seniority = rng.choice(len(SENIORITIES), len(own), p=SENIORITY_SHARES)
    earlier, is_back, is_copy = _again(division, own)
    copy = np.where(is_copy, rng.integers(1, len(COPIES), len(own)), 0)
    person = np.where(is_copy, earlier, own)
    return Contacts(
        person=person,
        copy=copy,
        account=np.where(copy == MOVED, account, account[person]),
        seniority=seniority[person],
        is_made=~is_back,
    ), np.where(is_back, earlier, own)


def new(rng: np.random.Generator, account: np.ndarray, first: int) -> Contacts:
    """Return contacts of persons who were not recorded before; their places begin at `first`."""
    count = len(account)
    return Contacts(
        person=np.arange(first, first + count),
        copy=np.zeros(count, dtype=np.int64),
        account=account,
        seniority=rng.choice(len(SENIORITIES), count, p=SENIORITY_SHARES),
        is_made=np.ones(count, dtype=bool),
    )


def _again(division: Division, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw who was a lead before: the earlier lead, whether it is recognised, whether it is not."""
    rng = division.stream("returning")
    earlier = (rng.random(len(own)) * own).astype(np.int64)
    chance = rng.random(len(own))
    is_back = (chance < RETURNING) & (own > 0)
    is_copy = ~is_back & (chance < RETURNING + division.config.duplicates) & (own > 0)
    # one step back is enough only where the earlier lead is its person's first
    is_first = ~(is_back | is_copy)[earlier]
    return earlier, is_back & is_first, is_copy & is_first
