"""The generator: a configuration in, the events of a company and the truth behind them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from features.sources.world import entities, marketing, mistakes, rows, sales, story, truth

if TYPE_CHECKING:
    import pandas as pd

    from features.sources.world.config import WorldConfig


@dataclass(frozen=True, kw_only=True)
class World:
    """A synthetic company: what its tools recorded, and what nobody there can know."""

    events: pa.Table  # columns of log.CANDIDATE, in the order in which they became known
    truth: dict[str, pd.DataFrame]  # see `truth.tables`


def generate(config: WorldConfig) -> World:
    """Make the world of a configuration; equal values give equal tables."""
    told = story.story(config)
    who = entities.entities(config, told)
    blocks = [*marketing.records(config, told, who), *sales.records(config, told, who)]
    good, corrections = mistakes.misread(config, rows.table(blocks, config.start_us))
    faults = mistakes.broken(config, good)
    events = rows.in_order(pa.concat_tables([good, corrections, *faults.values()]))
    return World(events=events, truth=truth.tables(config, told, who, corrections, faults))
