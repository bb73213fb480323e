"""What a walk found is judged alike for all, and the page says it, also where we lose."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from jobs.backtest import deals, page, results
from jobs.backtest.comparison import Verdict
from jobs.backtest.page import Dossier
from jobs.backtest.walk import Key, Plan, origins, walk
from serving.forecast import tested
from serving.forecast.recalibration import QUANTILE_NAMES

FIRST, WEEK, EVERY = datetime(2022, 1, 3, tzinfo=UTC), timedelta(days=7), 4
WON, VALUE = Key("all", "won"), Key("all", "value_cents")
NORTH, SOUTH = Key("team=north", "won"), Key("team=south", "won")
EVERYTHING = (WON, NORTH, SOUTH, VALUE)
HORIZONS = (1, 4, 8)
ORIGINS = origins(FIRST, FIRST + 39 * EVERY * WEEK, EVERY * WEEK)


def _paths(rng: np.random.Generator, rate: float, draws: int) -> dict[Key, np.ndarray]:
    """Return what two teams win in all up to each horizon, under luck that they share."""
    luck = np.exp(rng.normal(0.0, 0.15, (draws, 1, 1)))
    weekly = rng.poisson(rate * luck * np.array([0.6, 0.4]), (draws, HORIZONS[-1], 2))
    won = weekly.cumsum(axis=1)[:, np.array(HORIZONS) - 1].astype(float)
    both = won.sum(axis=2)
    return {WON: both, NORTH: won[..., 0], SOUTH: won[..., 1], VALUE: both * 1_234_500}


class Synthetic:
    """A forecaster of a company that it knows, but for a factor on the rate."""

    def __init__(self, name: str, factor: float, wide: float = 0.0) -> None:
        self.name, self.factor, self.wide = name, factor, wide

    def forecast(self, origin: datetime) -> dict[Key, np.ndarray]:
        rng = np.random.default_rng(ORIGINS.index(origin) + len(self.name) * 1000)
        rate = 12.0 * self.factor * np.exp(rng.normal(0.0, self.wide))
        return _paths(rng, rate, 400)


def _path() -> np.ndarray:
    """Return what the teams win in each week, float64 [weeks, 2]; luck changes every eighth."""
    rng, weeks = np.random.default_rng(11), len(ORIGINS) * EVERY + HORIZONS[-1]
    luck = np.exp(rng.normal(0.0, 0.15, weeks // 8 + 1)).repeat(8)[:weeks, None]
    return rng.poisson(12.0 * luck * np.array([0.6, 0.4])).astype(float)


def _truth(origin: datetime, keys: tuple[Key, ...]) -> dict[Key, np.ndarray]:
    first = ORIGINS.index(origin) * EVERY
    teams = _path()[first : first + HORIZONS[-1]].cumsum(axis=0)[np.array(HORIZONS) - 1].T
    both = teams.sum(axis=0)
    came = {WON: both, NORTH: teams[0], SOUTH: teams[1], VALUE: both * 1_234_500}
    return {key: came[key] for key in keys}


def synthetic(ours: float = 1.0, keys: tuple[Key, ...] = EVERYTHING) -> Dossier:
    """Return a backtest of a company, ours knowing its rate but for a factor."""
    plan = Plan(run="1f3a", funnel="deals", origins=ORIGINS, horizons=HORIZONS, seed=1)
    every = [
        *(Synthetic("ours", ours), Synthetic("stage_weighted", 1.25)),
        *(Synthetic("seasonal_naive", 1.0, 0.3), Synthetic("historic_mean", 1.02)),
    ]
    tables = walk(plan, every, lambda origin: _truth(origin, keys), tested.SCHEMA.empty_table())
    rows = pd.concat([table.to_pandas() for table in tables], ignore_index=True)
    rng = np.random.default_rng(4)
    chance = rng.beta(2, 4, 300)
    stage = rng.choice(np.array(["discovery", "proposal"], object), 300)
    return Dossier(
        funnel="deals",
        run="1f3a",
        as_of="2026-01-05 00:00:00",
        step="week",
        every=EVERY,
        rows=rows,
        judged=results.judged(rows, EVERY),
        against=results.against(np.random.default_rng(2), rows, EVERY),
        absent={"rep_commit": "the log has no chances of reps"},
        recalibration=["how often 90 % intervals hold is not yet known: 8 past origins"],
        deals=deals.judged(stage, chance, rng.random(300) < chance),
    )


@pytest.fixture(scope="module")
def found() -> Dossier:
    return synthetic()


@pytest.fixture(scope="module")
def html(found: Dossier) -> str:
    return page.render(found)


def _one(found: Dossier, forecaster: str, horizon: int = results.POOLED) -> results.Judged:
    what = (forecaster, "all", "won", horizon)
    return next(
        each
        for each in found.judged
        if (each.forecaster, each.series, each.measure, each.horizon) == what
    )


def test_every_forecaster_is_judged_by_horizon_and_over_all(found: Dossier) -> None:
    """Four forecasters, four series and measures, three horizons and all; ours first."""
    assert len(found.judged) == 4 * 4 * 4
    assert [each.forecaster for each in found.judged[:16]] == ["ours"] * 16
    ours = _one(found, "ours", 4)
    rows = found.rows.query("forecaster == 'ours' and series == 'all' and measure == 'won'")
    chosen = rows[rows["horizon"] == 4]
    assert ours.crps == pytest.approx(chosen["crps"].mean())
    assert ours.wape == pytest.approx(
        (chosen["truth"] - chosen["p50"]).abs().sum() / chosen["truth"].sum()
    )
    assert ours.width[-1] == pytest.approx((chosen["p95"] - chosen["p05"]).mean())


def test_a_planted_bias_is_found_and_told_to_be_worse(found: Dossier) -> None:
    assert _one(found, "stage_weighted").bias == pytest.approx(0.25, abs=0.06)
    assert abs(_one(found, "ours").bias or 0.0) < 0.06
    told = {each.forecaster: each for each in found.against if each.measure == "won"}
    every = {
        each.forecaster: each.found.verdict
        for each in found.against
        if (each.series, each.measure, each.horizon) == ("all", "won", results.POOLED)
    }
    assert set(told) == set(every) == {"stage_weighted", "seasonal_naive", "historic_mean"}
    assert every["stage_weighted"] == Verdict.BETTER
    assert every["historic_mean"] == Verdict.NOT_TOLD_APART


def test_intervals_hold_as_said_and_the_error_allows_for_overlap(found: Dossier) -> None:
    """40 origins of three horizons say less than 120 independent intervals."""
    ninety = _one(found, "ours").coverage[-1]
    assert (ninety.intervals, ninety.origins) == (120, 40)
    assert abs(ninety.share - 0.9) < 2 * ninety.error
    assert ninety.effective < 100
    assert ninety.error > ninety.plain_error


def test_origins_that_lie_apart_say_more(found: Dossier) -> None:
    """Eight origins hold, eight miss, and so on: as if they shared steps, and as if none did."""
    chosen = found.rows.query("forecaster == 'ours' and series == 'all' and measure == 'won'")
    rows = chosen[chosen["horizon"] == 8].reset_index(drop=True)
    rows["truth"] = np.where(rows.index // 8 % 2, rows["p50"], rows["p95"] + 1)
    near, apart = (results.judged(rows, every)[0].coverage[0] for every in (1, 8))
    assert near.effective < 20 < 35 < apart.effective
    both = found.rows.query("series == 'all' and measure == 'won' and horizon == 8")
    told = [results.against(np.random.default_rng(1), both, every) for every in (2, 8)]
    assert [each[0].found.block for each in told] == [6, 3]


def test_quantiles_held_are_those_of_the_level() -> None:
    """The truth at the 92nd percentile: outside 80 %, inside 90 %."""
    shape = dict(zip(QUANTILE_NAMES, (1, 2, 3, 4, 5, 6, 8), strict=True))
    rows = pd.DataFrame(
        [{"origin": FIRST, "series": "all", "measure": "won", "horizon": 1, **shape}]
    )
    rows["truth"] = 7
    assert [results.held(rows, level).item() for level in (0.5, 0.8, 0.9)] == [0.0, 0.0, 1.0]


def test_two_are_compared_where_both_said_something(found: Dossier) -> None:
    """A forecaster that was silent at most origins is compared on the others."""
    is_late = (found.rows["forecaster"] == "historic_mean") & (
        found.rows["origin"] < FIRST + 30 * EVERY * WEEK
    )
    made = results.against(np.random.default_rng(1), found.rows[~is_late], EVERY)
    counts = {each.forecaster: each.found.origins for each in made}
    assert counts == {"stage_weighted": 40, "seasonal_naive": 40, "historic_mean": 10}


def test_the_page_needs_nothing_else_and_says_the_verdicts(html: str) -> None:
    assert not re.findall(r'(?:src|href)="http', html)
    assert "<script" not in html
    assert html.count("<svg") == 2 * 4
    assert "better than" in html and "not told apart from" in html
    assert "commit of the reps" in html and "no chances of reps" in html
    assert "team=north" in html
    assert "is not yet known: 8 past origins." in html


def test_the_page_says_where_we_lose() -> None:
    html = page.render(synthetic(ours=0.6, keys=(WON,)))
    assert re.search(r'class="verdict bad"><b>Won:</b>[^<]*worse than [^<]*historic mean', html)
    assert '<tr class="alarm">' in html


def test_too_few_origins_are_said(found: Dossier) -> None:
    is_early = found.rows["origin"] < FIRST + 6 * EVERY * WEEK
    rows = found.rows[is_early & (found.rows["measure"] == "won")]
    few = replace(
        found,
        rows=rows,
        judged=results.judged(rows, EVERY),
        against=results.against(np.random.default_rng(2), rows, EVERY),
        deals=None,
    )
    html = page.render(few)
    assert "6 origins are too few" in html
    assert "Single deals" not in html
    assert html == page.render(few), "equal numbers, equal bytes"
