"""Intervals from past misses: the planted worlds of moonshot M7, and what may not be known yet.

A quarter has 66 deals, each won with a chance of 30 % and worth lognormal amounts; a shock that all
of a quarter share shifts the log odds. With this n p (1 - p) the usual simulation of independent
deals covers what was measured there.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cluster.errors import Refusal
from serving.forecast import recalibration, stretch
from serving.forecast.recalibration import LEVELS, QUANTILES, Past, Recalibration

DEALS, CHANCE, TEAMS = 66, 0.30, 3
AMOUNTS = np.rint(np.exp(np.random.default_rng(1).normal(13.0, 0.5, DEALS)))
TEAM = np.arange(DEALS) % TEAMS
NINETY = LEVELS.index(0.9)
RECOVERED = 10  # origins after a shift at which coverage is back


def _quarters(rng: np.random.Generator, count: int, sd: float, shift: float = 0.0) -> np.ndarray:
    """Return what teams win, float64 [count, TEAMS], under shocks of this sd and a shift."""
    logit = np.log(CHANCE / (1 - CHANCE)) + shift + sd * rng.normal(size=(count, 1))
    is_won = rng.random((count, DEALS)) < 1 / (1 + np.exp(-logit))
    return np.asarray((is_won * AMOUNTS) @ np.eye(TEAMS)[TEAM])


@cache
def _draws(sd: float) -> np.ndarray:
    """Return the draws of a forecast that knows everything but the luck."""
    return _quarters(np.random.default_rng(2), 20_000, sd)


def _totals(draws: np.ndarray) -> np.ndarray:
    return np.asarray(draws.sum(axis=1))


def _bounds(sd: float) -> np.ndarray:
    return stretch.quantiles(_totals(_draws(sd))[:, None])[0]


def _past(truth: np.ndarray, bounds: np.ndarray) -> Past:
    """Return a forecast of the same quantiles at each origin, one step ahead, and what came."""
    count = len(truth)
    return Past(
        origin=np.arange(count),
        horizon=np.array([1]),
        quantiles=np.broadcast_to(bounds, (count, 1, len(QUANTILES))),
        truth=truth[:, None],
    )


def _learnt(past: Past) -> Recalibration:
    return recalibration.learnt(past, now=int(past.origin[-1]) + 1, every=1)


def _covers(bounds: np.ndarray, truth: np.ndarray) -> float:
    return float(((bounds[0] <= truth) & (truth <= bounds[-1])).mean())


@pytest.mark.parametrize(("sd", "measured"), [(0.0, 0.887), (0.3, 0.743), (0.5, 0.583)])
def test_independent_draws_cover_what_was_measured_and_shared_shocks_cover(
    sd: float, measured: float
) -> None:
    """4,000 quarters: within 2.5 points of M7, and 90 % within two standard errors."""
    truth = _totals(_quarters(np.random.default_rng(5), 4000, sd))
    independent, shared = _covers(_bounds(0.0), truth), _covers(_bounds(sd), truth)
    assert independent == pytest.approx(measured, abs=0.025)
    assert abs(shared - 0.9) < 2 * np.sqrt(0.09 / 4000)


def test_eight_origins_are_impossible_and_below_twelve_nothing_is_changed() -> None:
    """The rank of 90 % among 8 is the 9th; we ask for 12; the raw draws stay, bit by bit."""
    assert recalibration.rank(8, 0.9) > 8
    draws = _totals(_draws(0.0))[:, None]
    for count in (8, 11):
        truth = _totals(_quarters(np.random.default_rng(6), count, 0.5))
        found = _learnt(_past(truth, _bounds(0.0)))
        assert not found.is_known(0.9)[0]
        assert found.factor[0, NINETY] == 1.0
        assert isinstance(found.pooled[NINETY], Refusal)
        assert f"is not yet known: {count} past origins, 12 are asked" in recalibration.said(
            found, 0.9
        )
    none = _learnt(_past(truth[:5], _bounds(0.0)))
    assert (stretch.total(none, draws + 0.25) == draws + 0.25).all()


@pytest.mark.parametrize(("count", "expected"), [(12, 12 / 13), (20, 19 / 21)])
def test_twelve_and_twenty_origins_cover(count: int, expected: float) -> None:
    """800 companies whose independent draws cover 58 %, one quarter after their last origin."""
    rng, bounds, held = np.random.default_rng(7), _bounds(0.0), 0
    half = bounds - bounds[3]
    for _ in range(800):
        truth = _totals(_quarters(rng, count + 1, 0.5))
        factor = _learnt(_past(truth[:count], bounds)).factor[0, NINETY]
        held += bool(factor * half[0] <= truth[-1] - bounds[3] <= factor * half[-1])
    assert held / 800 == pytest.approx(expected, abs=0.03), "92.1 % and 92.8 % with this seed"


def test_the_coverage_that_is_published_is_of_what_was_said_then() -> None:
    """The first twelve as the model gave them, the others recalibrated by those before."""
    truth = _totals(_quarters(np.random.default_rng(8), 60, 0.5))
    found = _learnt(_past(truth, _bounds(0.0)))
    coverage = found.pooled[NINETY]
    assert not isinstance(coverage, Refusal)
    bounds = _bounds(0.0)
    raw = (bounds[0] <= truth) & (truth <= bounds[-1])
    assert (found.held[:12, 0, NINETY] == raw[:12]).all()
    assert coverage.held == found.held[:, 0, NINETY].sum()
    assert raw[12:].mean() < 0.75 < found.held[12:, 0, NINETY].mean()
    assert recalibration.said(found, 0.9) == f"{coverage}; recalibrated"


def test_no_truth_is_looked_at_before_its_steps_have_passed() -> None:
    """Six steps ahead, every step: the last five truths change nothing, nor does any later one."""
    rng = np.random.default_rng(9)
    truth, bounds = _totals(_quarters(rng, 40, 0.5)), _bounds(0.0)
    far = _past(truth, bounds)
    far = Past(origin=far.origin, horizon=np.array([6]), quantiles=far.quantiles, truth=far.truth)
    lied = far.truth.copy()
    lied[35:] *= 100.0
    other = Past(origin=far.origin, horizon=far.horizon, quantiles=far.quantiles, truth=lied)
    first, second = (recalibration.learnt(each, now=40, every=1) for each in (far, other))
    assert (first.factor == second.factor).all()
    assert first.origins.tolist() == [35]
    later = recalibration.learnt(other, now=46, every=1)
    assert (later.factor > first.factor).all()


def test_a_past_interval_is_judged_by_what_was_known_at_its_origin() -> None:
    """From the 13th origin on it takes twice the half-width; six steps ahead that is seen at the
    19th, one step ahead at the next.
    """
    bounds = np.array([0.0, 10, 20, 30, 40, 50, 60])
    truth = np.where(np.arange(40) < 12, 60.0, 90.0)[:, None]
    near = _past(truth[:, 0], bounds)
    far = Past(origin=near.origin, horizon=np.array([6]), quantiles=near.quantiles, truth=truth)
    held = recalibration.learnt(far, now=46, every=1).held[:, 0, NINETY]
    assert held[:12].all()
    assert not held[12:18].any()
    assert held[18:].all()
    soon = recalibration.learnt(near, now=40, every=1).held[:, 0, NINETY]
    assert soon[12:14].tolist() == [0.0, 1.0]


def _recovery(shift: float, worlds: int) -> np.ndarray:
    """Return the share of worlds, by origin after a shift half-way through one, whose interval
    held.
    """
    rng, bounds = np.random.default_rng(10), _bounds(0.5)
    held = []
    for _ in range(worlds):
        steps = [(30, 0.0), (1, shift / 2), (24, shift)]
        truth = np.concatenate([_totals(_quarters(rng, n, 0.5, by)) for n, by in steps])
        held.append(_learnt(_past(truth, bounds)).held[30:, 0, NINETY])
    return np.asarray(np.mean(held, axis=0))


def test_coverage_recovers_after_a_shift_in_the_middle_of_a_quarter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log odds rise by 1, two sd of the shocks: half of the intervals hold, and 89 % RECOVERED
    origins later, 90 % within two standard errors; the mutant, whose level stands still, is not
    back in 24.
    """
    worlds = 250
    enough = 0.9 - 2 * np.sqrt(0.09 / worlds)
    adaptive = _recovery(1.0, worlds)
    monkeypatch.setattr(recalibration, "STEP", 0.0)
    still = _recovery(1.0, worlds)
    assert adaptive[1] < 0.6, "the shift hurts"
    assert adaptive[RECOVERED] >= enough, f"{np.round(adaptive, 2)}"
    assert adaptive[RECOVERED:].mean() >= enough
    assert still[RECOVERED:].max() < enough


@pytest.mark.parametrize("side", [0, -1])
def test_draws_take_the_recalibrated_quantiles_in_their_order(side: int) -> None:
    truth = _totals(_quarters(np.random.default_rng(11), 20, 0.5))
    found = _learnt(_past(truth, _bounds(0.0)))
    before = _totals(_draws(0.0))[:, None]
    after = stretch.total(found, before)
    bounds, moved = stretch.quantiles(before)[0], stretch.quantiles(after)[0]
    wanted = bounds[3] + found.factor[0, NINETY] * (bounds[side] - bounds[3])
    assert moved[side] == pytest.approx(wanted, rel=1e-6)
    assert moved[3] == bounds[3]
    order = np.argsort(before[:, 0], kind="stable")
    assert (np.diff(after[order, 0]) >= 0).all()


def _factors(*factor: float) -> Recalibration:
    """Return what multiplies the half-widths of every level of a horizon by one factor."""
    return Recalibration(
        horizon=np.arange(len(factor)) + 1,
        factor=np.repeat(np.array(factor)[:, None], len(LEVELS), axis=1),
        held=np.zeros((0, len(factor), len(LEVELS))),
        origins=np.full(len(factor), 20),
        coverage=(),
        pooled=(),
    )


def test_draws_beyond_the_widest_bound_go_on_as_far() -> None:
    draws = np.arange(101.0)[:, None]
    after = stretch.total(_factors(2.0), draws)
    assert after[-1, 0] == 50 + 2 * 50
    assert after[0, 0] == 0, "and nothing below 0"


def test_the_order_stays_where_wide_intervals_are_narrowed_and_narrow_ones_widened() -> None:
    found = _factors(1.0)
    found.factor[0] = 3.0, 1.0, 0.5
    after = stretch.total(found, 1000.0 + np.arange(101.0)[:, None])[:, 0]
    assert (np.diff(after) >= 0).all()
    assert after[75] == 1050 + 3 * 25


@pytest.mark.parametrize("factor", [0.5, 2.5])
def test_parts_are_whole_numbers_from_0_and_add_up(factor: float) -> None:
    """Also where a draw had nothing to share out."""
    rng = np.random.default_rng(12)
    before = rng.poisson([0.2, 2.0, 0.5], (2000, 1, 3)).astype(float)
    sums = before.sum(axis=2)
    after = stretch.total(_factors(factor), sums)
    shared = stretch.parts(before, after)
    assert (shared.sum(axis=2) == after).all()
    assert (shared >= 0).all()
    assert (shared == np.rint(shared)).all()
    assert (stretch.parts(before, sums) == before).all()
    assert (sums == 0).any() and (shared[after > 0].sum(axis=1) > 0).all()
    assert (stretch.parts(np.zeros((2, 1, 3)), np.full((2, 1), 6.0)) == 2.0).all()


def test_what_is_won_in_all_never_falls_with_the_horizon() -> None:
    """Though the second horizon is narrowed and the first widened."""
    rng = np.random.default_rng(13)
    draws = rng.poisson(5.0, (2000, 3)).astype(float).cumsum(axis=1)
    after = stretch.total(_factors(3.0, 0.5, 1.0), draws)
    assert (np.diff(after, axis=1) >= 0).all()
    assert (after[:, 0] != draws[:, 0]).any()


def test_parts_cover_as_their_total_does() -> None:
    """Teams, whose forecasts lacked the shock that all share, cover too with the total's map: 2,000
    quarters after 60 origins of 30 companies.
    """
    rng, before = np.random.default_rng(14), _draws(0.0)[:4000]
    truth, shares = _quarters(rng, 2000, 0.5), []
    for _ in range(30):
        found = _learnt(_past(_totals(_quarters(rng, 60, 0.5)), _bounds(0.0)))
        after = stretch.parts(before[:, None], stretch.total(found, _totals(before)[:, None]))
        shares.append((_teams(after[:, 0], truth), _sum(after[:, 0], truth)))
    raw, (mapped, total) = _teams(before, truth), np.mean(shares, axis=0)
    assert raw < 0.8
    assert mapped == pytest.approx(0.9, abs=0.03)
    assert total == pytest.approx(0.9, abs=0.03)


def _teams(draws: np.ndarray, truth: np.ndarray) -> float:
    found = [_covers(stretch.quantiles(draws[:, [i]])[0], truth[:, i]) for i in range(TEAMS)]
    return float(np.mean(found))


def _sum(draws: np.ndarray, truth: np.ndarray) -> float:
    return _covers(stretch.quantiles(_totals(draws)[:, None])[0], _totals(truth))


def test_a_side_without_width_has_a_tenth_of_the_whole() -> None:
    """Draws of which half are 100 and half lie above: 40 below is 0.4 of 100, not 80 of 0.5."""
    past = _past(np.array([60.0]), np.array([100.0, 100, 100, 100, 600, 900, 1100]))
    assert recalibration.scores(past)[0, 0].tolist() == pytest.approx([0.8, 0.5, 0.4])


def test_an_interval_without_width_is_no_division_by_nought() -> None:
    """Nothing was ever forecast, and something came: scores stay finite, draws stay."""
    found = _learnt(_past(np.full(20, 3.0), np.zeros(len(QUANTILES))))
    assert np.isfinite(found.factor).all()
    assert (stretch.total(found, np.zeros((50, 1))) == 0).all()
