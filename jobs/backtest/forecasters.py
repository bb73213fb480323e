"""The simple forecasts as forecasters of the walk. Pure, but for what is told of an origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from jobs.backtest import baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from cluster.errors import Refusal
    from jobs.backtest.known import Known
    from jobs.backtest.walk import Draws, Key


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """One of baselines.NAMES, told what was known at each origin."""

    name: str
    known: Callable[[datetime], Mapping[Key, Known]]
    horizons: tuple[int, ...]
    seed: int
    absent: dict[tuple[Key, int], Refusal] = field(default_factory=dict)  # the latest, by horizon

    def forecast(self, origin: datetime) -> Draws:
        """Return its draws of each series; NaN where it cannot say anything, which it notes."""
        return {key: self._drawn(origin, key, known) for key, known in self.known(origin).items()}

    def _drawn(self, origin: datetime, key: Key, known: Known) -> np.ndarray:
        text = f"{self.seed}|{self.name}|{origin.isoformat()}|{key.series}|{key.measure}"
        rng = np.random.default_rng(int.from_bytes(blake2b(text.encode(), digest_size=8).digest()))
        draws, absent = baselines.forecast(rng, known, self.name, self.horizons)
        self.absent.update({(key, horizon): why for horizon, why in absent.items()})
        return draws
