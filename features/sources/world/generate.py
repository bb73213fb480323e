"""The generator: a configuration in, the events of a company and the truth behind them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from features.sources.world import (
    aftersale,
    arrival,
    corrections,
    crm,
    entities,
    faults,
    identity,
    marketing,
    rows,
    sales,
    signals,
    story,
    truth,
)
from features.sources.world.division import division, parts

if TYPE_CHECKING:
    import pandas as pd

    from features.sources.world.config import WorldConfig
    from features.sources.world.division import Division
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

PART_ROWS = 10_000_000  # numbers for the rows of each part, more than it ever has


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the tools of one part of a company recorded."""

    events: pa.Table  # columns of log.CANDIDATE, in the order in which they arrived
    people: pa.Table  # columns of identity.PEOPLE: who the `person` keys of the events are


@dataclass(frozen=True, kw_only=True)
class World:
    """A synthetic company: what its tools recorded, and what nobody there can know."""

    events: pa.Table  # as in Part
    people: pa.Table  # as in Part
    truth: dict[str, pd.DataFrame]  # see `truth.tables`


def generate_part(config: WorldConfig, part: int) -> Part:
    """Make one part of the world of a configuration; WrongUse when it has no such part.

    Equal values give equal tables, and all parts together are one company.
    """
    return _recorded(_happened(config, part))[0]


def told_part(config: WorldConfig, part: int) -> World:
    """Make one part of the world and the truth about it; WrongUse when it has no such part."""
    happened = _happened(config, part)
    recorded, planted = _recorded(happened)
    return World(
        events=recorded.events,
        people=recorded.people,
        truth=truth.tables(happened.division, happened.told, happened.who, planted),
    )


def generate(config: WorldConfig) -> World:
    """Make the whole world of a configuration, in memory, and the truth about it."""
    made = [told_part(config, part) for part in range(parts(config))]
    return World(
        events=pa.concat_tables([one.events for one in made]),
        people=pa.concat_tables([one.people for one in made]),
        truth=truth.joined([one.truth for one in made]),
    )


@dataclass(frozen=True, kw_only=True)
class _Happened:
    """What happened in a division, before anybody wrote it down."""

    division: Division
    told: Story
    who: Entities


def _happened(config: WorldConfig, part: int) -> _Happened:
    share = division(config, part)
    told = story.story(share)
    return _Happened(division=share, told=told, who=entities.entities(share, told))


def _recorded(happened: _Happened) -> tuple[Part, truth.Planted]:
    share, told, who = happened.division, happened.told, happened.who
    config, firms = share.config, identity.firms(share, told.accounts)
    blocks = [
        *marketing.records(share, told, who),
        *sales.records(share, told, who),
        *crm.records(share, told, who, firms),
        *aftersale.records(share, told, who),
        *signals.records(share, told, who),
        # last, so that they shift neither the keys nor the lags of other rows
        *marketing.handed_over(share, told, who),
    ]
    recorded, late = arrival.late(share, rows.table(blocks, config.start_us, share.part))
    good, right, misread = corrections.misread(share, recorded)
    wanted = round(config.faults * good.num_rows)
    spoilt, broken = faults.broken(share.stream("faults"), good, wanted)
    arrived = arrival.arrived(
        share, pa.concat_tables([good, right, spoilt]), share.part * PART_ROWS
    )
    people = identity.people(share, told.contacts, told.accounts, firms.domain, who.names["person"])
    planted = truth.Planted(corrections=misread, faults=broken, late=late, arrivals=arrived.order)
    return Part(events=arrived.rows, people=people), planted
