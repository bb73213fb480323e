"""Records of others: intent that a vendor reports, and the metrics of the campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from features.sources.world import company, intent, metrics
from features.sources.world.chance import DAY, delays
from features.sources.world.rows import Block, Words

if TYPE_CHECKING:
    from features.sources.world.division import Division
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

VENDOR, PLATFORM = 20.0, 6.0  # mean hours until it is known
SLOWEST = 2 * DAY


def records(division: Division, told: Story, who: Entities) -> list[Block]:
    """Return what vendors and platforms report; the metrics are in the first part alone."""
    signals = [_intent(division, told, who)]
    return [*signals, *_metrics(division, told, who)] if division.part == 0 else signals


def _intent(division: Division, told: Story, who: Entities) -> Block:
    found = told.intent
    lag = delays(division.stream("intent records"), len(found.account), VENDOR)
    return Block(
        kind="intent",
        name=Words(vocabulary=intent.SIGNS, codes=found.sign),
        time=found.time,
        lag=lag.clip(max=SLOWEST),
        keys={"account": who.key("account", found.account)},
        number=found.strength,
        text=Words(vocabulary=intent.TOPICS, codes=found.topic),
    )


def _metrics(division: Division, told: Story, who: Entities) -> list[Block]:
    found = metrics.metrics(division.config, told.campaigns, told.market)
    values = {
        "impressions": found.impressions,
        "clicks": found.clicks,
        "spend": found.cents,
    }
    lag = delays(division.stream("metric records"), len(found.campaign), PLATFORM)
    brought = np.arange(len(told.campaigns.channel))
    created = Block(
        kind="campaign",
        name="created",
        time=np.zeros(len(brought), dtype=np.int64),
        lag=delays(division.stream("campaign records"), len(brought), PLATFORM),
        keys={"campaign": who.key("campaign", brought)},
        text=Words(vocabulary=list(company.CHANNELS), codes=told.campaigns.channel),
    )
    return [
        created,
        *(
            Block(
                kind="metric",
                name=name,
                time=found.time,
                lag=lag,
                keys={"campaign": who.key("campaign", found.campaign)},
                number=number,
            )
            for name, number in values.items()
        ),
    ]
