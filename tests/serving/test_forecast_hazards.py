"""The posterior: chances that sum to one, shrinkage, chunk-free samples, and the common shock."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cluster.errors import Refusal
from features.log import NEVER
from serving.forecast import hazards
from serving.forecast.history import History
from serving.forecast.stages import BANDS, STAGES, WEEK_MICROSECONDS

AT = 100 * WEEK_MICROSECONDS


def deal_weeks(n: int, *, shock: float = 0.0) -> pd.DataFrame:
    """Return `n` weeks of deals in discovery; the log odds to advance move by `shock` in odd
    weeks."""
    rng = np.random.default_rng(1)
    week = rng.integers(0, 100, n)
    odds = -1.4 + shock * np.where(week % 2, 1.0, -1.0)
    is_ahead = rng.random(n) < 1.0 / (1.0 + np.exp(-odds))
    return pd.DataFrame(
        {
            "week_start": week * WEEK_MICROSECONDS,
            "stage": "discovery",
            "weeks_in_stage": rng.integers(0, 3, n),
            "destination": np.where(is_ahead, "evaluation", "discovery"),
            "outcome": np.where(is_ahead, "advance", "stay"),
        }
    )


def past(n_weeks: int = 2000, *, per_week: int = 4, shock: float = 0.0) -> History:
    """Return a history with deals of 100,000 cents and leads that arrive evenly."""
    born = np.repeat(np.arange(60, 100), per_week) * WEEK_MICROSECONDS + 1
    cents = (100_000 * np.exp(np.random.default_rng(2).normal(0, 0.5, born.size))).astype(np.int64)
    names = pd.Series([f"n{i}" for i in range(born.size)])
    lives = pd.DataFrame({"lead": names, "born": born, "died": NEVER, "how": ""})
    leads = {"week": [0, 0, 1, 20], "contacted": [True, False, False, False]}
    outcomes = ["stay", "qualified", "disqualified", "stay"]
    return History(
        at=AT,
        first=0,
        events=pd.DataFrame(),
        stages=pd.DataFrame(),
        deals=lives.assign(opportunity=names, cents=cents, end_cents=-1),
        deal_weeks=deal_weeks(n_weeks, shock=shock),
        leads=lives,
        lead_weeks=pd.DataFrame({**leads, "outcome": outcomes}),
    )


def fitted(history: History) -> hazards.Hazards:
    """Return the posterior, which must not be a refusal."""
    found = hazards.fit(history)
    assert isinstance(found, hazards.Hazards)
    return found


def test_chances_sum_to_one_in_every_cell_of_every_draw() -> None:
    drawn = hazards.sample(fitted(past()), 1, 0, 20)
    assert drawn.deals.shape == (20, len(STAGES), BANDS, 6)
    assert np.allclose(drawn.deals.sum(axis=-1), 1.0) and (drawn.deals >= 0.0).all()
    assert np.allclose(drawn.leads.sum(axis=-1), 1.0)


def test_a_cell_without_weeks_takes_the_rates_of_its_stage() -> None:
    shares = hazards.mean(fitted(past())).deals[0]
    ahead = (past().deal_weeks["outcome"] == "advance").mean()
    assert shares[0, BANDS - 1, 1] == pytest.approx(ahead, abs=1e-3)
    seen = past().deal_weeks.query("weeks_in_stage == 0")["outcome"] == "advance"
    assert shares[0, 0, 1] == pytest.approx(seen.mean(), abs=0.01)


def test_a_stage_without_history_stays_proper() -> None:
    assert hazards.mean(fitted(past())).deals[0, 2, 0].tolist() == [0.1, 0.1, 0.5, 0.1, 0.1, 0.1]


def test_samples_do_not_depend_on_how_draws_are_cut() -> None:
    found = fitted(past())
    whole, tail = hazards.sample(found, 7, 0, 10), hazards.sample(found, 7, 6, 4)
    for name in ("deals", "leads", "arrivals", "amounts"):
        assert np.array_equal(getattr(whole, name)[6:], getattr(tail, name))


def test_samples_spread_around_the_posterior_mean() -> None:
    found = fitted(past())
    drawn, centre = hazards.sample(found, 3, 0, 2000), hazards.mean(found)
    assert drawn.deals.mean(axis=0) == pytest.approx(centre.deals[0], abs=0.02)
    assert drawn.arrivals.mean(axis=0) == pytest.approx(centre.arrivals[0], rel=0.01, abs=0.01)
    assert drawn.amounts[:, 0].mean() == pytest.approx(centre.amounts[0, 0], abs=0.01)
    assert drawn.deals[:, 0, 0, 1].std() > 0.0


def test_leads_arrive_at_the_rate_of_the_last_weeks() -> None:
    found = hazards.mean(fitted(past(per_week=5)))
    assert found.arrivals[0].tolist() == [5.0, 0.0], "every deal came with a lead"
    assert found.contacted == 0.25


def test_independent_deals_show_next_to_no_common_shock() -> None:
    assert fitted(past(20_000)).shock_sd < 0.1


def test_a_planted_common_shock_is_found() -> None:
    assert fitted(past(20_000, shock=0.5)).shock_sd == pytest.approx(0.5, abs=0.1)


def test_too_little_history_is_refused_in_words() -> None:
    found = hazards.fit(past(12))
    assert isinstance(found, Refusal)
    assert str(found).startswith("a forecast needs at least 30 whole weeks of deals, got 12:")
