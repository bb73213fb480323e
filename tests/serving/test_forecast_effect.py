"""The effect of outreach: a planted one is found, a naive comparison misses it, too little is
refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cluster.errors import Refusal
from features.log import NEVER
from serving.forecast import effect
from serving.forecast.history import History
from serving.forecast.scenario import Grade
from serving.forecast.stages import WEEK_MICROSECONDS

AT = 200 * WEEK_MICROSECONDS


def past(n: int, hazard_ratio: float, seed: int = 4, logged: int | None = None) -> History:
    """Return leads of which the keen qualify sooner and were contacted more often.

    `logged` replaces the true propensity in the log.
    """
    rng = np.random.default_rng(seed)
    keen = rng.random(n) < 0.4
    chance = np.where(keen, 0.8, 0.2)
    treated = rng.random(n) < chance
    rate = np.where(keen, 0.08, 0.02) * np.where(treated, hazard_ratio, 1.0)
    weeks = rng.exponential(1.0 / rate)
    drawn = rng.integers(100, 150, n) * WEEK_MICROSECONDS
    ends = drawn + (weeks * WEEK_MICROSECONDS).astype(np.int64)
    lead = [f"lead{i}" for i in range(n)]
    events = pd.DataFrame(
        {
            "kind": "intervention",
            "lead": lead,
            "account": [f"account{i // 2}" for i in range(n)],
            "time": drawn,
            "text": np.where(treated, "treated", "control"),
            "number": (chance * effect.PPM).astype(np.int64) if logged is None else logged,
        }
    )
    known = ends < AT
    lives = {"born": drawn - 1, "died": np.where(known, ends, NEVER)}
    leads = pd.DataFrame({"lead": lead, **lives, "how": np.where(known, "qualified", "")})
    empty = pd.DataFrame()
    tables = {"stages": empty, "deals": empty, "deal_weeks": empty, "lead_weeks": empty}
    return History(at=AT, first=0, events=events, leads=leads, **tables)


def found(history: History) -> effect.Estimate:
    """Return the estimate, which must not be a refusal."""
    estimate = effect.estimate(history)
    assert isinstance(estimate, effect.Estimate)
    return estimate


@pytest.mark.parametrize("planted", [1.0, 1.8])
def test_a_planted_effect_is_within_its_interval_as_often_as_stated(planted: float) -> None:
    intervals = [found(past(1000, planted, seed)).interval for seed in range(64)]
    covered = sum(low <= planted <= high for low, high in intervals)
    assert covered >= 58 - 3 * 2.4, "90 % of 64, less three standard errors"


def test_without_the_logged_propensity_the_estimate_is_wrong() -> None:
    right, naive = found(past(8000, 1.5)), found(past(8000, 1.5, logged=500_000))
    assert abs(math.log(right.hazard_ratio / 1.5)) < 3 * right.log_sd
    assert abs(math.log(naive.hazard_ratio / 1.5)) > 3 * naive.log_sd


def test_the_estimate_becomes_a_randomised_effect_and_says_its_numbers() -> None:
    estimate = found(past(2000, 1.5))
    assert estimate.as_effect().grade is Grade.RANDOMISED
    assert sum(estimate.leads) == 2000
    assert str(estimate).startswith(f"hazard ratio {estimate.hazard_ratio:.2f}, 90 % interval")


def test_too_few_qualified_leads_are_refused() -> None:
    refusal = effect.estimate(past(60, 1.0))
    assert isinstance(refusal, Refusal) and not refusal
    assert "at least 10 qualified leads in each arm" in str(refusal)


def test_certain_lots_do_not_count() -> None:
    assert isinstance(effect.estimate(past(2000, 1.5, logged=effect.PPM)), Refusal)
