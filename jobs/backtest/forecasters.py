"""The simple forecasts as forecasters of the walk, and past forecasts as the recalibration asks for
them. Pure, but for what is told of an origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from jobs.backtest import baselines
from jobs.backtest.walk import OURS, QUANTILE_NAMES
from serving.forecast.recalibration import Past

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    import pandas as pd

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


def past(rows: pd.DataFrame, key: Key, step: timedelta) -> tuple[Past, datetime]:
    """Return our past forecasts of a series, from rows of BACKTEST of one run and funnel, and the
    first origin, from which their steps are counted.
    """
    chosen = rows[
        (rows["forecaster"] == OURS)
        & (rows["series"] == key.series)
        & (rows["measure"] == key.measure)
    ]
    table = chosen.pivot(index="origin", columns="horizon", values=["truth", *QUANTILE_NAMES])
    moments = table.sort_index().index
    said = [table[name].sort_index().to_numpy(float) for name in QUANTILE_NAMES]
    found = Past(
        origin=np.asarray((moments - moments[0]) // step, np.int64),
        horizon=np.asarray(table["truth"].columns, np.int64),
        quantiles=np.stack(said, axis=2),
        truth=table["truth"].sort_index().to_numpy(float),
    )
    return found, moments[0].to_pydatetime()
