"""What a walk found, judged: every forecaster alike, at each horizon and over all. Pure.

Forecasters are judged on what each said; two are compared on the origins and horizons of which both
said something. Of several horizons the score of an origin is their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cluster.errors import Refusal
from jobs.backtest import comparison, measures
from serving.forecast import covered
from serving.forecast.tested import OURS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.backtest.comparison import Compared
    from serving.forecast.covered import Coverage

POOLED = 0  # the horizon that means all of them
BOUNDS = {0.5: ("p25", "p75"), 0.8: ("p10", "p90"), 0.9: ("p05", "p95")}
_PINBALL = ("p05", "p25", "p50", "p75", "p95")
_WHAT = ["series", "measure", "horizon"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One forecaster on one series, measure and horizon."""

    forecaster: str
    series: str
    measure: str
    horizon: int  # POOLED: all
    origins: int
    wape: float | None  # of the median; None where all truths are 0
    bias: float | None  # of the mean; None likewise
    crps: float
    pinball: tuple[float, ...]  # at measures.QUANTILES
    coverage: tuple[Coverage, ...]  # at covered.LEVELS
    width: tuple[float, ...]  # of those intervals, mean


@dataclass(frozen=True, kw_only=True)
class Against:
    """Us against another forecaster, by CRPS."""

    forecaster: str
    series: str
    measure: str
    horizon: int  # POOLED: all
    found: Compared


def judged(rows: pd.DataFrame, every: int) -> list[Judged]:
    """Judge each forecaster on rows of tested.SCHEMA of one run and funnel, an origin every so many
    steps; ours first.
    """
    found = [
        _judged((name, *what), one, every)
        for what, group in _groups(rows)
        for name, one in group.groupby("forecaster")
    ]
    return sorted(found, key=lambda each: each.forecaster != OURS)


def against(rng: np.random.Generator, rows: pd.DataFrame, every: int) -> list[Against]:
    """Compare us with every other forecaster by CRPS, at each horizon and over all."""
    return [
        Against(forecaster=str(name), series=what[0], measure=what[1], horizon=what[2], found=found)
        for what, group in _groups(rows)
        for name in sorted(set(group["forecaster"]) - {OURS})
        for found in _compared(rng, group, name, every)
    ]


def held(rows: pd.DataFrame, level: float) -> np.ndarray:
    """Return whether intervals held the truth, float64 [origins, series and horizons], the oldest
    origin first; NaN where nothing was said.
    """
    low, high = (rows[name] for name in BOUNDS[level])
    row, origins = pd.factorize(rows["origin"], sort=True)
    column = rows.groupby(_WHAT).ngroup().to_numpy()
    found = np.full((len(origins), column.max() + 1), np.nan)
    found[row, column] = (low <= rows["truth"]) & (rows["truth"] <= high)
    return found


def _groups(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, str, int], pd.DataFrame]]:
    """Yield the rows of each series and measure: of all horizons if there are several, and of
    each.
    """
    for (series, measure), group in rows.groupby(["series", "measure"], sort=True):
        if group["horizon"].nunique() > 1:
            yield (series, measure, POOLED), group
        for horizon, one in group.groupby("horizon"):
            yield (series, measure, int(horizon)), one


def _judged(what: tuple[Any, ...], rows: pd.DataFrame, every: int) -> Judged:
    truth = rows["truth"].to_numpy(float)
    loss = measures.pinball(
        truth, rows[list(_PINBALL)].to_numpy(float), np.array(measures.QUANTILES)
    )
    return Judged(
        forecaster=str(what[0]),
        series=what[1],
        measure=what[2],
        horizon=what[3],
        origins=int(rows["origin"].nunique()),
        wape=measures.wape(truth, rows["p50"].to_numpy(float)),
        bias=measures.bias(truth, rows["mean"].to_numpy(float)),
        crps=float(rows["crps"].mean()),
        pinball=tuple(loss.mean(axis=0).tolist()),
        coverage=tuple(_coverage(rows, level, every) for level in covered.LEVELS),
        width=tuple(float((rows[high] - rows[low]).mean()) for low, high in BOUNDS.values()),
    )


def _coverage(rows: pd.DataFrame, level: float, every: int) -> Coverage:
    lap = covered.overlap(int(rows["horizon"].max()), every)
    found = covered.measured(held(rows, level), level, lap)
    if isinstance(found, Refusal):  # rows have a truth
        raise AssertionError(str(found))
    return found


def _compared(
    rng: np.random.Generator, group: pd.DataFrame, name: str, every: int
) -> Iterator[Compared]:
    scores = group.pivot(index=["origin", "horizon"], columns="forecaster", values="crps")
    if OURS not in scores:
        return
    both = scores[[OURS, name]].dropna().groupby("origin").mean().sort_index()
    lap = covered.overlap(int(group["horizon"].max()), every)
    yield comparison.compared(rng, both[OURS].to_numpy(), both[name].to_numpy(), lap)
