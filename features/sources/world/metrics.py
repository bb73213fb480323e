"""Metrics: what the platforms report about every campaign and week, for the whole company."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.sources.world.chance import DAY, WEEK, stream

if TYPE_CHECKING:
    from features.sources.world.company import Campaigns, Market
    from features.sources.world.config import WorldConfig

CLICKS_PER_LEAD, IMPRESSIONS_PER_CLICK = 25.0, 40.0
CENTS_PER_CLICK = {
    "organic": 12,
    "paid_search": 260,
    "social": 140,
    "referral": 60,
    "webinar": 190,
    "list": 35,
}


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Reports; arrays of one entry per campaign and week."""

    campaign: np.ndarray
    time: np.ndarray  # microseconds: the end of the week
    impressions: np.ndarray
    clicks: np.ndarray
    cents: np.ndarray


def metrics(config: WorldConfig, campaigns: Campaigns, market: Market) -> Metrics:
    """Draw the reports: clicks follow the leads that the campaign is expected to bring."""
    rng = stream(config.seed, "metrics")
    expected = config.sized(config.leads) * market.arrivals[:, None] * market.mix
    clicks = rng.poisson(expected * CLICKS_PER_LEAD)
    price = np.array(list(CENTS_PER_CLICK.values()))[campaigns.channel]
    cents = clicks * price * rng.uniform(0.85, 1.15, clicks.shape)
    week, campaign = np.nonzero(clicks > 0)
    return Metrics(
        campaign=campaign,
        # the report of a week is about all of it: its last second
        time=(week + 1) * WEEK - DAY // 86_400,
        impressions=rng.poisson(clicks * IMPRESSIONS_PER_CLICK)[week, campaign],
        clicks=clicks[week, campaign],
        cents=cents.round().astype(np.int64)[week, campaign],
    )
