"""The simple forecasts say what a hand says, look at nothing later, and know their own spread."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from cluster.errors import Refusal
from jobs.backtest import baselines
from jobs.backtest.known import Known

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD, YEAR = 13, 52


def _units(rows: list[tuple[int, int, float]]) -> pd.DataFrame:
    """Return units of amount 1 from (back, stage, won_in); won_in 0: not won."""
    frame = pd.DataFrame(rows, columns=["back", "stage", "won_in"])
    won_in = frame["won_in"].astype(float).replace(0.0, np.nan)
    return frame.assign(won_in=won_in, amount=1.0, won_amount=np.where(won_in.isna(), np.nan, 1.0))


def _known(won: list[float] | np.ndarray, units: pd.DataFrame | None = None, **more: int) -> Known:
    found = {"period": PERIOD, "year": YEAR, "into": 0, "is_count": True, **more}
    return Known(won=np.array(won, float), units=_units([]) if units is None else units, **found)


@cache
def _company(seed: int, steps: int, horizon: int) -> tuple[Known, float]:
    """Return a small company as known at an origin, and what is won in the steps after it.

    Units arrive, move on, are won or lost by chances that do not change; every fourth step one
    looks, and the rep says the chance of being won within the horizon of units expected to close.
    """
    rng, stage, ended, looks = np.random.default_rng(seed), np.zeros(0, int), np.zeros(0), []
    won = np.zeros(steps + horizon)
    for now in range(steps + horizon):
        is_open = ended == 0
        if (steps - now) % 4 == 0 and now <= steps and now > 20:
            looks.append((steps - now, np.flatnonzero(is_open), stage[is_open].copy()))
        lot = rng.random(len(stage))
        is_won = is_open & (lot < np.array([0.03, 0.12])[stage])
        is_lost = is_open & (lot > 0.92)
        won[now], ended = is_won.sum(), np.where(is_won, now + 1, np.where(is_lost, -1, ended))
        stage = np.where(is_open & (rng.random(len(stage)) < 0.2), 1, stage)
        stage = np.append(stage, np.zeros(rng.poisson(4.0), int))
        ended = np.append(ended, np.zeros(len(stage) - len(ended)))
    frames = [_look(*look, ended, steps) for look in looks]
    return _known(won[:steps], pd.concat(frames, ignore_index=True)), won[steps:].sum()


def _look(
    back: int, units: np.ndarray, stage: np.ndarray, ended: np.ndarray, steps: int
) -> pd.DataFrame:
    after = ended[units] - (steps - back)
    won_in = np.where((ended[units] > 0) & (after <= back), after, np.nan)
    chance = np.where(stage == 1, 0.35, 0.2)
    return pd.DataFrame(
        {
            "back": back,
            "stage": stage,
            "amount": 1.0,
            "won_in": won_in,
            "won_amount": np.where(np.isnan(won_in), np.nan, 1.0),
            "chance": chance,
            "closes_in": 1.0,
        }
    )


LOOKS = _units(
    [
        *((10, 0, 2), (10, 0, 0), (10, 0, 9), (10, 0, 0), (10, 1, 1), (10, 1, 0)),
        *((5, 0, 0), (5, 0, 0), (5, 1, 2), (5, 1, 4)),
        *[(0, 0, 0)] * 8,
        *[(0, 1, 0)] * 4,
    ]
)


def test_stage_weighted_is_shares_of_stages_and_what_was_not_open_yet() -> None:
    """Within 2 steps 1 of 6 and 2 of 4 were won; of 6 won each time 4 and 5 were not open."""
    rule = baselines.stage_weighted(_known([3.0] * 12, LOOKS), 2)
    assert rule(0) == pytest.approx(8 / 6 + 4 * 2 / 4 + 4.5)
    assert rule(5) == pytest.approx(2 / 4 + 2 / 2 + 4.0), "of what the first look had shown by then"
    assert rule(10) is None
    assert rule(7) is None, "nobody looked"
    just_known = baselines.stage_weighted(_known([3.0] * 12, LOOKS), 5)
    assert just_known(5) is not None
    assert just_known(6) is None


def test_a_look_before_the_history_does_not_count() -> None:
    older = pd.concat([LOOKS, _units([(40, 0, 1), (40, 1, 1)])])
    says = [baselines.stage_weighted(_known([3.0] * 12, units), 2)(0) for units in (LOOKS, older)]
    assert says[0] == says[1]


def test_a_stage_never_seen_has_the_share_of_all() -> None:
    units = pd.concat([LOOKS, _units([(0, 2, 0)])])
    more = baselines.stage_weighted(_known([3.0] * 12, units), 2)(0)
    assert more == pytest.approx(8 / 6 + 4 * 2 / 4 + 4.5 + 3 / 10)


PERIODS = [1.0, 1, 1, 1, 3, 1, 1, 3, 2, 1]  # two periods of 4, and half of the third


@pytest.mark.parametrize(("horizon", "says"), [(1, 1.0), (2, 3.0), (3, 5.0), (6, 9.0)])
def test_the_same_point_of_the_period(horizon: int, says: float) -> None:
    """Half was usual by now, so 3 make 6; what lies beyond the period is the mean of periods."""
    rule = baselines.same_point(_known(PERIODS, period=4, into=2), horizon)
    assert rule(0) == pytest.approx(says)


def test_at_the_start_of_a_period_the_mean_of_periods_is_taken() -> None:
    rule = baselines.same_point(_known(PERIODS, period=4, into=2), 4)
    assert rule(2) == pytest.approx(6.0)
    assert rule(6) == pytest.approx(4.0), "of the first period, the only one then"
    assert rule(9) is None


@pytest.mark.parametrize(("lag", "says"), [(4, 1 + 3 + 2 + 1 + 1), (2, 2 + 1 + 2 + 1 + 2)])
def test_seasonal_is_the_same_steps_before_again_and_again(lag: int, says: float) -> None:
    assert baselines.seasonal(_known(PERIODS), 5, lag)(0) == says


def test_the_season_is_a_year_then_a_period_then_an_equal_stretch() -> None:
    """The first of which the spread is known: told by where the draws lie."""
    rng = np.random.default_rng(1)
    for steps, middle in ((YEAR + 10, 5.0), (2 * PERIOD, 20.0), (10, 60.0)):
        won = np.zeros(steps)
        for lag, level in ((2, 30.0), (PERIOD, 10.0), (YEAR, 2.5)):
            if lag <= steps:
                won[steps - lag : steps - lag + 2] = level
        draws, absent = baselines.forecast(rng, _known(won), "seasonal_naive", [2])
        assert not absent
        assert np.median(draws) == pytest.approx(middle, abs=3.0)


def test_a_commit_is_what_reps_say_closes_within_the_horizon() -> None:
    given = LOOKS.assign(chance=0.5, closes_in=np.where(LOOKS["stage"] == 1, 2.0, 3.0))
    assert baselines.committed(_known([3.0] * 12, given), 2)(0) == pytest.approx(4 * 0.5)
    assert baselines.committed(_known([3.0] * 12, given), 3)(0) == pytest.approx(12 * 0.5)


def test_without_chances_there_is_no_commit_and_it_is_said() -> None:
    rng = np.random.default_rng(1)
    _, absent = baselines.forecast(rng, _known([3.0] * 60, LOOKS), "rep_commit", [2])
    assert "a log without them" in str(absent[2])


RULES = {
    "stage_weighted": baselines.stage_weighted,
    "same_point": baselines.same_point,
    "seasonal": lambda known, horizon: baselines.seasonal(known, horizon, PERIOD),
    "committed": baselines.committed,
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("back", [8, 20])
def test_a_rule_looks_at_nothing_after_its_moment(name: str, back: int) -> None:
    """Whatever is won later, however many are open later: what it says as of then stays."""
    rule: Callable[[Known, int], baselines.Rule] = RULES[name]
    known, _ = _company(3, 80, 4)
    won, units = known.won.copy(), known.units.copy()
    won[-back:] += 100.0
    is_later = units["back"] < back
    units.loc[is_later, ["stage", "chance"]] = 0
    units.loc[units["won_in"] > units["back"] - back, ["won_in", "won_amount"]] = np.nan
    said = rule(known, 4)(back)
    assert said is not None
    assert rule(_known(won, units), 4)(back) == said
    assert rule(_known(won + 1.0, units.assign(chance=1.0)), 4)(back) != said


def test_what_was_won_after_the_origin_cannot_be_given() -> None:
    with pytest.raises(ValueError, match="not known at it"):
        _known([3.0] * 12, _units([(0, 1, 1)]))
    with pytest.raises(ValueError, match="into < period"):
        _known([3.0] * 12, into=PERIOD)
    with pytest.raises(ValueError, match="won_in"):
        _known([3.0] * 12, LOOKS.drop(columns="won_in"))


@pytest.mark.parametrize("name", baselines.NAMES)
def test_intervals_hold_about_as_often_as_they_say_in_a_world_that_stays(name: str) -> None:
    """90 % intervals of 80 companies whose chances do not change: none is a straw man."""
    rng, held = np.random.default_rng(5), 0
    for seed in range(80):
        known, truth = _company(seed, 120, 6)
        draws, absent = baselines.forecast(rng, known, name, [6])
        assert not absent
        low, high = np.quantile(draws, (0.05, 0.95), method="inverted_cdf")
        held += int(low <= truth <= high)
    assert held >= 64, f"{name}: {held / 80:.1%}"


@pytest.mark.parametrize("is_count", [True, False])
def test_the_mean_has_the_spread_of_past_stretches(is_count: bool) -> None:
    """Negative binomial of counts, gamma of money: mean and variance as asked for."""
    won = np.random.default_rng(2).negative_binomial(2, 0.1, 400).astype(float)
    known = _known(won, is_count=is_count)
    draws, _ = baselines.forecast(np.random.default_rng(3), known, "historic_mean", [4])
    assert draws.mean() == pytest.approx(4 * won.mean(), rel=0.08)
    assert draws.var() == pytest.approx(4 * won.var(), rel=0.35)
    assert (draws == np.rint(draws)).all()
    assert (draws >= 0).all()


def test_luck_that_lasts_widens_the_mean() -> None:
    """Stretches of 13 that are all good or all bad, against the same steps in any order."""
    rng = np.random.default_rng(4)
    won = np.repeat(rng.poisson(20.0, 20), 13) + rng.poisson(5.0, 260).astype(float)
    spreads = [
        baselines.forecast(rng, _known(each), "historic_mean", [13])[0].std()
        for each in (won, rng.permutation(won))
    ]
    assert spreads[0] > 2 * spreads[1]
    short = baselines.forecast(rng, _known([4.0, 9, 1, 6, 3, 8, 2, 7] * 2), "historic_mean", [16])
    assert short[0].var() > 1.6 * 16 * 8, "the mean itself is not known better than that"


def test_the_spread_is_that_at_about_the_same_point() -> None:
    """Periods of one shape and of different sizes: half-way the rule is never off, at the start it
    is always.
    """
    won = np.repeat([10.0, 30.0, 20.0, 40.0, 10.0, 30.0], PERIOD)
    rng = np.random.default_rng(1)
    middle = baselines.forecast(rng, _known(won[:-7], into=6), "same_point", [4])[0]
    assert np.unique(middle).tolist() == [120.0]
    start = baselines.forecast(rng, _known(won), "same_point", [4])[0]
    assert start.std() > 20
    assert start.min() == 0.0


def test_even_counts_are_poisson_and_nothing_won_is_nothing() -> None:
    rng = np.random.default_rng(3)
    even, _ = baselines.forecast(rng, _known([5.0] * 40), "historic_mean", [4])
    assert even.var() == pytest.approx(20.0, rel=0.25)
    none, _ = baselines.forecast(rng, _known([0.0] * 40), "historic_mean", [4])
    assert not none.any()


@pytest.mark.parametrize("name", baselines.NAMES)
def test_a_short_history_is_refused_by_horizon(name: str) -> None:
    """One horizon may be said and another not; what is not said is NaN."""
    known, _ = _company(1, 40, 4)
    short = _known(known.won[-6:], known.units[known.units["back"] <= 6])
    draws, absent = baselines.forecast(np.random.default_rng(1), short, name, [5, 30])
    assert set(absent) == {5, 30}
    assert all(isinstance(why, Refusal) for why in absent.values())
    assert np.isnan(draws).all()
    assert draws.shape == (baselines.DRAWS, 2)
