"""How past forecasts of a funnel did, as `jobs.backtest` keeps it for whoever forecasts next.

Rows of the table `backtests` are frozen; the ref `backtests/<funnel>` names the run that counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from features import log
from serving.forecast import recalibration, stretch
from serving.forecast.covered import LEVELS
from serving.forecast.recalibration import QUANTILE_NAMES, Past

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import pandas as pd

    from serving.forecast.recalibration import Recalibration

TABLE = "backtests"
ALL = "all"  # the series of all units
OURS = "ours"  # the forecaster that the others are compared with
UNSCORED = "ours_without_scores"  # ours, had there been no scores
SCHEMA = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("funnel", pa.string(), nullable=False),
        pa.field("origin", log.MICROSECONDS, nullable=False),
        pa.field("forecaster", pa.string(), nullable=False),
        pa.field("series", pa.string(), nullable=False),  # all, segment=…, team=…, owner=…
        pa.field("measure", pa.string(), nullable=False),  # won, value_cents
        pa.field("horizon", pa.int64(), nullable=False),  # steps; all that is won up to it
        pa.field("draws", pa.int64(), nullable=False),
        *(
            pa.field(name, pa.float64(), nullable=False)
            for name in ("truth", "mean", *QUANTILE_NAMES, "crps", "pit")
        ),
    ]
)


def ref(funnel: str) -> str:
    """Return the name of the ref to the run that counts."""
    return f"backtests/{funnel}"


def past(rows: pd.DataFrame, series: str, measure: str, step: timedelta) -> tuple[Past, datetime]:
    """Return our past forecasts of a series, from rows of one run and funnel, and the first origin,
    from which their steps are counted.
    """
    chosen = rows[
        (rows["forecaster"] == OURS) & (rows["series"] == series) & (rows["measure"] == measure)
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


def said(
    rows: pd.DataFrame, measure: str, step: timedelta, now: datetime
) -> tuple[Recalibration, list[str]] | None:
    """Return what past forecasts of all units say about one made now, and in words; None where
    there are none.
    """
    mine = rows[(rows["forecaster"] == OURS) & (rows["measure"] == measure)]
    origins = sorted(mine["origin"].unique())
    if len(origins) < 2:
        return None
    found, first = past(rows, ALL, measure, step)
    every = max(1, int((origins[1] - origins[0]) / step))
    learnt = recalibration.learnt(found, int((now - first) // step), every)
    return learnt, [recalibration.said(learnt, level) for level in LEVELS]


class Held(NamedTuple):
    """What is forecast of all units up to one horizon, as the model says and recalibrated."""

    horizon: int  # steps
    is_known: bool  # are there origins enough to recalibrate 90 % intervals?
    said: tuple[int, int, int]  # p05, p50, p95 of what is won
    recalibrated: tuple[int, int, int]


def held(found: Recalibration, so_far: np.ndarray) -> list[Held]:
    """Return the forecast at each horizon of the past ones that is within reach, given draws of
    what is won up to each step, int64 [draws, steps].
    """
    near = found.horizon <= so_far.shape[1]
    draws = so_far[:, found.horizon[near] - 1]
    after = stretch.total(replace(found, factor=found.factor[near]), draws)
    known = found.is_known(LEVELS[-1])[near]
    return [
        Held(int(horizon), bool(known[h]), _interval(draws[:, h]), _interval(after[:, h]))
        for h, horizon in enumerate(found.horizon[near])
    ]


def _interval(draws: np.ndarray) -> tuple[int, int, int]:
    low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), method="inverted_cdf")
    return int(low), int(middle), int(high)
