"""The truth about identities: which records describe the same company or person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from features.sources.world import committee, company, contacts, crm
from features.sources.world.chance import NEVER

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig
    from features.sources.world.division import Division
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story


def tables(division: Division, told: Story, who: Entities) -> dict[str, pd.DataFrame]:
    """Return the tables true_accounts, true_persons, committee and consent."""
    config, given = division.config, told.consent
    made = np.flatnonzero(told.contacts.is_made)
    members = told.committee
    return {
        "true_accounts": _accounts(division, told, who),
        "true_persons": _persons(told, who, made),
        "committee": pd.DataFrame(
            {
                "opportunity": keys(who, "opportunity", members.deal),
                "record": keys(who, "person", members.contact),
                "role": np.array(committee.ROLES)[members.role],
                "recorded": np.array(committee.ROLES)[members.recorded],
            }
        ),
        "consent": pd.DataFrame(
            {
                "record": keys(who, "person", made),
                "granted": times(config, given.granted[made]),
                "withdrawn": times(config, given.withdrawn[made]),
                "objected": times(config, given.objected[made]),
            }
        ),
    }


def keys(who: Entities, column: str, places: np.ndarray) -> list[str]:
    """Return the keys at some positions."""
    found: list[str] = who.names[column].take(pa.array(places)).to_pylist()
    return found


def times(config: WorldConfig, time: np.ndarray) -> pd.Series:
    """Return moments of the world as times, NaT for NEVER."""
    known = pd.Series(np.where(time == NEVER, 0, config.start_us + time))
    return pd.to_datetime(known, unit="us", utc=True).where(time != NEVER)


def _accounts(division: Division, told: Story, who: Entities) -> pd.DataFrame:
    known = np.flatnonzero(crm.known_since(told) != NEVER)
    true = told.accounts.company[known] + division.accounts.start
    return pd.DataFrame(
        {
            "record": keys(who, "account", known),
            "true_account": [f"company-{place:05d}" for place in true],
            "variant": np.array(company.VARIANTS)[told.accounts.variant[known]],
        }
    )


def _persons(told: Story, who: Entities, made: np.ndarray) -> pd.DataFrame:
    own = keys(who, "person", told.contacts.person[made])
    return pd.DataFrame(
        {
            "record": keys(who, "person", made),
            # the number of the first record, in a series of its own
            "true_person": [f"human-{key.rpartition('-')[2]}" for key in own],
            "copy": np.array(contacts.COPIES)[told.contacts.copy[made]],
        }
    )
