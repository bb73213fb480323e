"""Divisions: a large company is made in parts, each with accounts, leads and reps of its own.

How many there are depends on the size of the company alone, and a part on nothing but its number,
so that the company is the same however many parts are made at once. The market and the campaigns
are those of the whole company.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import WrongUse
from features.sources.world import chance

if TYPE_CHECKING:
    import numpy as np

    from features.sources.world.config import WorldConfig

LEADS_PER_PART = 8_000  # about 400,000 events


@dataclass(frozen=True, kw_only=True)
class Division:
    """One part of the company; the ranges are positions in the whole company."""

    config: WorldConfig
    part: int
    accounts: range
    leads: range
    reps: range

    @property
    def end_us(self) -> int:
        """End of the period in microseconds since 1970, when the exports are taken."""
        return self.config.start_us + self.config.weeks * chance.WEEK

    def stream(self, concern: str) -> np.random.Generator:
        """Return the generator of one concern."""
        return chance.stream(self.config.seed, concern, self.part)


def parts(config: WorldConfig) -> int:
    """Return how many parts the company has."""
    return -(-config.sized(config.leads) // LEADS_PER_PART)


def division(config: WorldConfig, part: int) -> Division:
    """Return one part of the company; WrongUse when there is no such part."""
    count = parts(config)
    if not 0 <= part < count:
        raise WrongUse(f"0 <= part < {count} must hold in this world, got {part}")

    def share(total: int) -> range:
        total = max(total, count)
        return range(total * part // count, total * (part + 1) // count)

    return Division(
        config=config,
        part=part,
        accounts=share(config.sized(config.accounts)),
        leads=share(config.sized(config.leads)),
        reps=share(config.sized(config.reps)),
    )
