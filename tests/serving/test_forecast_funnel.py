"""The kernel: same luck in every arm, any chunks, a finite capacity, and the answer of the Markov
chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.forecast import experiment, funnel, hazards, scenario, start, tables
from serving.forecast.funnel import Outcome, Span
from serving.forecast.hazards import Hazards, Parameters
from serving.forecast.stages import BANDS, LOST, STAGES, WON, bands
from serving.forecast.start import Start

WEEKS = 12
NO_EFFECT = {"hazard_ratio": 1.0, "sd": 0.0, "grade": "assumption"}
NO_LEVER = scenario.levers(scenario.Scenario(name="baseline"))


def cohort(n_leads: int, n_deals: int) -> Start:
    """Return open leads and deals of mixed ages."""
    rng = np.random.default_rng(3)
    leads, deals = np.zeros(n_leads, start.LEAD), np.zeros(n_deals, start.DEAL)
    leads["name"], deals["name"] = rng.integers(0, 2**63, n_leads), rng.integers(0, 2**63, n_deals)
    leads["weeks"], deals["weeks"] = rng.integers(0, 20, n_leads), rng.integers(0, 9, n_deals)
    deals["stage"], deals["cents"] = rng.integers(0, WON, n_deals), rng.integers(1, 10**6, n_deals)
    deals["ends"] = -1
    return Start(leads, deals)


def rates() -> np.ndarray:
    """Return weekly chances [stage, band, destination] that change with the band."""
    chances = np.zeros((len(STAGES), BANDS, LOST + 1))
    for stage in range(len(STAGES)):
        chances[stage, :, stage + 1] += 0.2 - 0.02 * np.arange(BANDS)
        chances[stage, :, max(0, stage - 1)] += 0.03
        chances[stage, :, LOST] = 0.05
        chances[stage, :, stage] += 1.0 - chances[stage].sum(axis=-1)
    return chances


def posterior() -> Hazards:
    """Return a posterior with arrivals, shocks and everything else that draws numbers."""
    return Hazards(
        deals=rates() * 200.0,
        leads=np.tile([450.0, 20.0, 30.0], (BANDS, 1)),
        arrival_shape=np.array([300.0, 30.0]),
        arrival_weeks=np.array([26.0, 26.0]),
        arrival_variance=np.array([0.1, 0.0]),
        amount_mean=13.0,
        amount_sd=0.6,
        amount_count=40,
        shock_sd=0.3,
        contacted=0.2,
    )


def fixed(draws: int, leads: tuple[float, float] = (0.0, 0.0)) -> Parameters:
    """Return the same certain rates for every draw: no arrivals and no shocks."""
    chance = np.tile([1.0 - sum(leads), *leads], (draws, BANDS, 1))
    deals = np.tile(rates(), (draws, 1, 1, 1))
    nothing = np.zeros((draws, 2))
    return Parameters(deals, chance, nothing, nothing, np.zeros(2), 0.0, 0.0)


def outreach(**changes: object) -> scenario.Scenario:
    """Return a scenario with one lever."""
    effect = {"hazard_ratio": 2.0, "sd": 0.1, "grade": "assumption"}
    lever = {
        "kind": "outreach",
        "audience": "all_leads",
        "start_week": 2,
        "rate_per_week": 0.3,
        "capacity_per_week": 25,
        "effect": effect,
        "cost_per_contact_cents": 100,
    }
    return scenario.Scenario.model_validate({"name": "lever", "levers": [lever | changes]})


def simulate(
    pulled: scenario.Scenario, chunk: int = 40, draws: int = 40, began: Start | None = None
) -> tuple[Outcome, Outcome]:
    """Return baseline and lever."""
    asked = experiment.Experiment(
        start=cohort(150, 30) if began is None else began,
        hazards=posterior(),
        arms=(NO_LEVER, scenario.levers(pulled)),
        seed=5,
        draws=draws,
        weeks=WEEKS,
    )
    spans = experiment.spans(asked, chunk)
    before, after = experiment.joined([experiment.run(asked, span) for span in spans])
    return before, after


def equal(one: Outcome, other: Outcome) -> bool:
    """Are won counts and cents the same in every draw and week?"""
    return np.array_equal(one.won, other.won) and np.array_equal(one.cents, other.cents)


def test_a_hazard_ratio_of_one_changes_not_a_bit() -> None:
    baseline, lever = simulate(outreach(effect=NO_EFFECT))
    assert lever.contacts.sum() > 0
    assert equal(baseline, lever)


def test_luck_that_differed_between_arms_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tables.tabulate

    def partial(rates: Parameters, levers: scenario.Levers, span: Span) -> tables.Tables:
        return honest(rates, levers, span._replace(seed=span.seed + levers.rate.size))

    monkeypatch.setattr(tables, "tabulate", partial)
    baseline, lever = simulate(outreach(effect=NO_EFFECT))
    assert not equal(baseline, lever)


@pytest.mark.parametrize("chunk", [1, 10, 13])
def test_the_result_does_not_depend_on_chunks(chunk: int) -> None:
    whole, cut = simulate(outreach()), simulate(outreach(), chunk)
    assert all(
        np.array_equal(a, b)
        for x, y in zip(whole, cut, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_luck_that_depended_on_the_chunk_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, (whole, _) = hazards.sample, simulate(outreach())
    monkeypatch.setattr(
        hazards, "sample", lambda found, seed, first, draws: honest(found, seed, 0, draws)
    )
    assert equal(whole, simulate(outreach())[0])
    assert not equal(whole, simulate(outreach(), chunk=10)[0])


def test_a_lever_changes_nothing_before_its_start_and_no_open_deal() -> None:
    baseline, lever = simulate(outreach(start_week=4), draws=200)
    assert np.array_equal(baseline.won[:, :4], lever.won[:, :4])
    assert np.array_equal(baseline.won[..., 0], lever.won[..., 0]), (
        "open deals are out of its reach"
    )
    assert lever.won.sum() > baseline.won.sum()


@pytest.mark.parametrize("capacity", [0, 1, 7])
def test_capacity_is_never_exceeded(capacity: int) -> None:
    _, lever = simulate(outreach(capacity_per_week=capacity, rate_per_week=1.0))
    assert lever.contacts.max() == capacity
    assert (lever.contacts[:, 2:] == capacity).all(), (
        "with so many leads waiting it is used in full"
    )
    assert lever.contacts[:, :2].sum() == 0


def test_open_leads_alone_are_reached_if_the_audience_says_so() -> None:
    few = cohort(3, 5)
    _, lever = simulate(outreach(audience="open_leads", rate_per_week=1.0), began=few)
    assert 0 < lever.contacts.max() <= 3


def test_the_longest_waiting_lead_is_contacted_first() -> None:
    state = funnel.init(cohort(4, 0), np.zeros((1, 2), np.int64), 1)
    state.queue[0, :3], state.queue_ends[0] = (2, 0, 3), (0, 3)
    state.leads["begins"][2] = -1
    assert funnel._serve(state, 0, 1, 9) == 1
    assert state.contact_ends[:, 0].tolist() == [9, 0, 9, 0], (
        "a closed lead in front costs no capacity"
    )


def analytic_wins(began: Start, weeks: int) -> float:
    """Return the expected number of wins of the open deals by propagating the chain."""
    last, chances, wins = 40, rates(), 0.0
    mass = np.zeros((len(STAGES), last))
    np.add.at(mass, (began.deals["stage"], began.deals["weeks"]), 1.0)
    for _ in range(weeks):
        flow = mass[:, :, None] * chances[:, bands(np.arange(last))]
        wins += flow[..., WON].sum()
        stays = np.einsum("swd->sw", flow * np.eye(len(STAGES), LOST + 1)[:, None])
        mass = np.zeros_like(mass)
        mass[:, 1:] = stays[:, :-1]
        mass[:, 0] = flow[..., :WON].sum(axis=(0, 1)) - stays.sum(axis=1)
    return wins


def test_a_closed_cohort_wins_as_often_as_the_markov_chain_says() -> None:
    began, draws = cohort(0, 50), 2000
    span = Span(1, 0, draws, WEEKS)
    outcome = funnel.simulate(began, tables.tabulate(fixed(draws), NO_LEVER, span), NO_LEVER, span)
    wins = outcome.won.sum(axis=(1, 2))
    error = wins.std() / np.sqrt(draws)
    assert wins.mean() == pytest.approx(analytic_wins(began, WEEKS), abs=4 * error)


def test_leads_become_deals_half_of_them_in_the_same_week() -> None:
    began, draws, qualify, win = cohort(200, 0), 500, 0.06, 0.1
    parameters = fixed(draws, leads=(qualify, 0.04))
    parameters.deals[:, 0], parameters.deals[:, 0, :, 0] = 0.0, 1.0 - win
    parameters.deals[:, 0, :, WON] = win
    span = Span(1, 0, draws, WEEKS)
    tabulated = tables.tabulate(parameters, NO_LEVER, span)
    wins = funnel.simulate(began, tabulated, NO_LEVER, span).won.sum(axis=(1, 2))
    leads, deals, expected = 200.0, 0.0, 0.0
    for _ in range(WEEKS):
        fresh, leads = leads * qualify, leads * 0.9
        won = (deals + fresh / 2) * win
        expected, deals = expected + won, deals + fresh - won
    assert wins.mean() == pytest.approx(expected, abs=4 * wins.std() / np.sqrt(draws))


def test_deals_of_known_amount_are_worth_it() -> None:
    began, draws = cohort(0, 1), 50
    span = Span(1, 0, draws, WEEKS)
    outcome = funnel.simulate(began, tables.tabulate(fixed(draws), NO_LEVER, span), NO_LEVER, span)
    assert np.array_equal(outcome.cents, outcome.won * began.deals["cents"][0])


def test_a_contact_multiplies_the_rate_of_qualification() -> None:
    one = np.array([0.05]), np.array([0.08])
    before, after = (tables.raised(*one, np.array([ratio]))[0] for ratio in (1.0, 3.0))
    assert before == pytest.approx([0.05, 0.08])
    rate = [-np.log1p(-sum(x)) * x / sum(x) for x in (before, after)]
    assert rate[1] / rate[0] == pytest.approx([3.0, 1.0])


def test_a_contact_is_measured_against_the_mix_that_history_holds() -> None:
    parameters, lever = fixed(1, leads=(0.05, 0.05)), scenario.levers(outreach(
        effect={"hazard_ratio": 2.0, "sd": 0.0, "grade": "assumption"}))  # fmt: skip
    span = Span(1, 0, 1, WEEKS)
    for share, ratio in ((0.0, 2.0), (0.5, 2.0 / 1.5), (1.0, 1.0)):
        table = tables.tabulate(parameters._replace(contacted=share), lever, span).leads[0, 0]
        rates_of = -np.log1p(-table.sum(axis=-1)) * table[:, 0] / table.sum(axis=-1)
        assert rates_of[1] / rates_of[0] == pytest.approx(ratio)


def test_a_shared_shock_widens_the_distribution() -> None:
    spread = []
    for shock in (0.0, 1.0):
        asked = replace(posterior(), shock_sd=shock)
        span = Span(1, 0, 300, WEEKS)
        tabulated = tables.tabulate(hazards.sample(asked, 1, 0, 300), NO_LEVER, span)
        wins = funnel.simulate(cohort(0, 150), tabulated, NO_LEVER, span).won[..., 0]
        spread.append(wins.sum(axis=1).std())
    assert spread[1] > 1.3 * spread[0]
