"""The walk forecasts each origin once, before it looks what came, and starts again where it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.backtest import measures
from jobs.backtest import walk as walking
from jobs.backtest.walk import Draws, Key, Plan, walk
from serving.forecast import tested

FIRST, WEEK = datetime(2025, 1, 6, tzinfo=UTC), timedelta(days=7)
ORIGINS = walking.origins(FIRST, FIRST + 4 * WEEK, WEEK)
HORIZONS = (1, 4)
WON, TEAM = Key("all", "won"), Key("team=north", "won")


def _plan() -> Plan:
    return Plan(run="r", funnel="deals", origins=ORIGINS, horizons=HORIZONS, seed=3)


class Counting:
    """A forecaster of Poisson counts that notes what it was asked."""

    def __init__(self, name: str, diary: list[tuple[str, datetime]], rate: float = 3.0) -> None:
        self.name, self.diary, self.rate = name, diary, rate

    def forecast(self, origin: datetime) -> Draws:
        self.diary.append((self.name, origin))
        rng = np.random.default_rng(ORIGINS.index(origin))
        made = rng.poisson(self.rate, (200, 2)).astype(float).cumsum(axis=1)
        return {WON: made, TEAM: np.column_stack([made[:, 0] // 2, np.full(200, np.nan)])}


class Steady:
    """A forecaster of one win, whatever comes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def forecast(self, origin: datetime) -> Draws:
        return {WON: np.ones((50, 2))}


class Truth:
    """What came; not known yet at the last origin's second horizon."""

    def __init__(self, diary: list[tuple[str, datetime]]) -> None:
        self.diary = diary

    def __call__(self, origin: datetime) -> dict[Key, np.ndarray]:
        self.diary.append(("truth", origin))
        came = np.array([2.0, np.nan if origin == ORIGINS[-1] else 9.0])
        return {WON: came, TEAM: came // 2}


def _walked(
    plan: Plan, done: pa.Table | None = None
) -> tuple[pa.Table, list[tuple[str, datetime]]]:
    diary: list[tuple[str, datetime]] = []
    forecasters = [Counting("ours", diary), Counting("historic_mean", diary, 5.0)]
    none = tested.SCHEMA.empty_table()
    parts = list(walk(plan, forecasters, Truth(diary), none if done is None else done))
    return pa.concat_tables([none, *parts]), diary


def test_each_origin_is_forecast_before_it_is_looked_what_came() -> None:
    _, diary = _walked(_plan())
    said = [(name, origin) for origin in ORIGINS for name in ("ours", "historic_mean", "truth")]
    assert diary == said


def test_rows_are_those_of_the_table_and_hold_the_measures() -> None:
    found, _ = _walked(_plan())
    assert found.schema.equals(tested.SCHEMA)
    one = found.filter(
        (pc.field("forecaster") == "ours") & (pc.field("series") == "all")
    ).to_pylist()[1]
    draws = Counting("ours", []).forecast(ORIGINS[0])[WON][:, 1]
    assert (one["horizon"], one["truth"], one["draws"]) == (4, 9.0, 200)
    assert one["mean"] == draws.mean()
    assert one["p05"] == np.sort(draws)[9]
    assert one["p90"] == np.sort(draws)[179]
    assert one["crps"] == measures.crps(draws[:, None], np.array([9.0]))[0]
    assert (draws < 9).mean() * 0.99 < one["pit"] < (draws <= 9).mean() * 1.01


def test_what_is_not_said_or_not_known_has_no_row() -> None:
    """Two forecasters, five origins, one series of two horizons and one of one; less the last."""
    found, _ = _walked(_plan())
    assert found.num_rows == 2 * (5 * 3 - 1)
    team = found.filter(pc.field("series") == "team=north")
    assert set(team["horizon"].to_pylist()) == {1}


def test_an_origin_that_is_there_is_not_forecast_again() -> None:
    """Whatever is missing is made as it would have been, and nothing else is asked."""
    whole, _ = _walked(_plan())
    is_there = (pc.field("origin") < ORIGINS[2]) | (
        (pc.field("origin") == ORIGINS[2]) & (pc.field("forecaster") == "ours")
    )
    done = whole.filter(is_there)
    rest, diary = _walked(_plan(), done)
    assert diary[:2] == [("historic_mean", ORIGINS[2]), ("truth", ORIGINS[2])]
    assert len(diary) == 2 + 2 * 3
    assert pa.concat_tables([done, rest]).equals(whole)
    assert _walked(_plan(), whole)[1] == []


@pytest.mark.parametrize("other", ["run", "funnel"])
def test_another_run_or_funnel_is_walked_anew(other: str) -> None:
    whole, diary = _walked(_plan())
    again, asked = _walked(replace(_plan(), **{other: "other"}), whole)
    assert asked == diary
    assert again.drop_columns(other).equals(whole.drop_columns(other))


def test_every_origin_has_lots_of_its_own_and_forecasters_share_them() -> None:
    """The same draws and the same truth: other lots break the ties at another origin."""
    found = {}
    for name in ("ours", "historic_mean"):
        steady = [Steady(name)]
        tables = walk(_plan(), steady, lambda _: {WON: np.ones(2)}, tested.SCHEMA.empty_table())
        found[name] = pa.concat_tables(list(tables))["pit"].to_pylist()
    assert len(set(found["ours"])) == 2 * len(ORIGINS)
    assert found["ours"] == found["historic_mean"]


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    plan = Plan(run="r", funnel="deals", origins=ORIGINS, horizons=(1,), seed=3)
    with pytest.raises(ValueError, match="has 1 horizons"):
        _walked(plan)


@pytest.mark.parametrize("horizons", [(), (0, 4), (4, 4)])
def test_horizons_are_different_numbers_from_1(horizons: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="different numbers"):
        Plan(run="r", funnel="deals", origins=ORIGINS, horizons=horizons, seed=3)


def test_origins_lie_apart_and_end_in_time() -> None:
    assert len(ORIGINS) == 5
    assert walking.origins(FIRST, FIRST - WEEK, WEEK) == ()
    with pytest.raises(ValueError, match="lie apart"):
        walking.origins(FIRST, FIRST + WEEK, timedelta(0))
