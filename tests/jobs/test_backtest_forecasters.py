"""Simple forecasts walk as forecasters, and what we said in the past comes back to recalibrate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from jobs.backtest import baselines
from jobs.backtest.forecasters import Baseline
from jobs.backtest.known import UNIT_COLUMNS, Known
from jobs.backtest.walk import Key, Plan, origins, walk
from serving.forecast import recalibration, tested

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST, WEEK, HORIZONS = datetime(2025, 1, 6, tzinfo=UTC), timedelta(days=7), (1, 6)
ORIGINS = origins(FIRST, FIRST + 29 * WEEK, WEEK)
WON = Key("all", "won")
WEEKLY = np.random.default_rng(1).poisson(8.0, 30 + 60 + 6).astype(float)
NOBODY = pd.DataFrame({name: pd.Series(dtype=float) for name in UNIT_COLUMNS})


def _known(origin: datetime) -> Mapping[Key, Known]:
    now = 60 + ORIGINS.index(origin)
    return {
        WON: Known(
            won=WEEKLY[:now],
            units=NOBODY,
            period=13,
            year=52,
            into=now % 13,
            is_count=True,
        )
    }


def _truth(origin: datetime) -> Mapping[Key, np.ndarray]:
    now = 60 + ORIGINS.index(origin)
    return {WON: np.array([WEEKLY[now : now + h].sum() for h in HORIZONS])}


def _walked(*every: Baseline) -> pa.Table:
    plan = Plan(run="r", funnel="deals", origins=ORIGINS, horizons=HORIZONS, seed=1)
    return pa.concat_tables([*walk(plan, every, _truth, tested.SCHEMA.empty_table())])


def _baseline(name: str, seed: int = 1) -> Baseline:
    return Baseline(name=name, known=_known, horizons=HORIZONS, seed=seed)


def test_every_baseline_walks_and_says_why_it_is_silent() -> None:
    every = [_baseline(name) for name in baselines.NAMES]
    rows = _walked(*every).to_pandas()
    counts = rows["forecaster"].value_counts().to_dict()
    said = {each.name: {horizon for _, horizon in each.absent} for each in every}
    assert said == {name: set() for name in baselines.NAMES} | {
        "rep_commit": {1, 6},
        "stage_weighted": {1, 6},
    }
    assert counts == dict.fromkeys(("same_point", "seasonal_naive", "historic_mean"), 60)
    assert rows.groupby("forecaster")["crps"].mean().max() < 8.0


def test_the_same_seed_gives_the_same_rows_whoever_walks_beside() -> None:
    alone = _walked(_baseline("historic_mean"))
    beside = _walked(_baseline("same_point"), _baseline("historic_mean")).to_pandas()
    again = beside[beside["forecaster"] == "historic_mean"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.to_pandas(), again)
    assert not alone.equals(_walked(_baseline("historic_mean", seed=2)))


def test_each_origin_has_draws_of_its_own() -> None:
    """Though the same were known."""
    known = _known(ORIGINS[0])
    still = Baseline(name="historic_mean", known=lambda _: known, horizons=HORIZONS, seed=1)
    first, second, again = (still.forecast(ORIGINS[i])[WON] for i in (0, 1, 0))
    assert (first != second).any()
    assert (first == again).all()


def test_past_forecasts_recalibrate_the_next() -> None:
    """Rows in any order; an outcome is known when its steps have passed."""
    rows = _walked(_baseline("historic_mean")).to_pandas()
    ours = rows.assign(forecaster="ours").sample(frac=1.0, random_state=1)
    found, first = tested.past(pd.concat([rows, ours]), WON.series, WON.measure, WEEK)
    assert first == FIRST
    assert found.origin.tolist() == list(range(30))
    assert found.horizon.tolist() == list(HORIZONS)
    assert found.truth[3].tolist() == _truth(ORIGINS[3])[WON].tolist()
    assert (np.diff(found.quantiles, axis=2) >= 0).all()
    learnt = recalibration.learnt(found, now=30, every=1)
    assert learnt.origins.tolist() == [30, 25]
    assert learnt.is_known(0.9).all()
