"""Weekly hazards and rates with their uncertainty: counts in, a posterior out, a sample per draw.

- A deal's week leads to one of the destinations (another stage, won, lost, or the stage it is in),
  with a Dirichlet posterior per stage and band of weeks in stage: counts + PSEUDO_WEEKS x the
  pooled rates of the stage.
- A lead's week leads to qualified, disqualified or stay, likewise by band of weeks since creation.
- Leads, and deals that come without a lead, arrive as a Poisson whose rate has a gamma posterior;
  when weekly counts vary more than Poisson, the rate also varies from week to week, and the
  posterior is widened by the same ratio.
- Log amounts are normal with the standard normal-inverse-gamma posterior.
- A shock common to all deals of a week moves the log odds of going forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cluster.errors import Refusal
from serving.forecast.stages import (
    BANDS,
    DESTINATIONS,
    LEAD_OUTCOMES,
    LOST,
    STAGES,
    WEEK_MICROSECONDS,
    bands,
)

if TYPE_CHECKING:
    import pandas as pd

    from serving.forecast.history import History

PSEUDO_WEEKS = 20.0  # weight of the pooled rates, in weeks of one deal
ARRIVAL_WEEKS = 26  # arrivals are counted over at most this many weeks before T
LEAST_DEAL_WEEKS = 30
LEAST_AMOUNTS = 2
LEAST_WON = 20  # from so many on, new deals are worth what won deals were, else what all deals were
_SEED_WORD = 2**64


class Parameters(NamedTuple):
    """What the kernel needs, one row per draw."""

    deals: np.ndarray  # float64 [draws, stage, band, destination], sums to 1 over destinations
    leads: np.ndarray  # float64 [draws, band, outcome], sums to 1 over outcomes
    arrivals: np.ndarray  # float64 [draws, 2], leads and lead-less deals per week
    amounts: np.ndarray  # float64 [draws, 2], mean and sd of log cents
    arrival_variance: np.ndarray  # float64 [2], variance of the weekly factor on each rate
    shock_sd: float  # sd of the weekly shock on the log odds of going forward
    contacted: float  # share of lead-weeks that were contacted in the history


@dataclass(frozen=True, kw_only=True, eq=False)
class Hazards:
    """The posterior: Dirichlet weights for deals and leads, shaped as Parameters of one draw."""

    deals: np.ndarray
    leads: np.ndarray
    arrival_shape: np.ndarray  # [2]
    arrival_weeks: np.ndarray  # [2]: rate ~ Gamma(shape) / weeks
    arrival_variance: np.ndarray  # [2]
    amount_mean: float  # of log cents
    amount_sd: float
    amount_count: int
    shock_sd: float
    contacted: float


def fit(past: History) -> Hazards | Refusal:
    """Estimate everything from the history; a Refusal says what there is too little of."""
    amounts = _amounts(past.deals)
    weeks = min(ARRIVAL_WEEKS, (past.at - past.first) // WEEK_MICROSECONDS)
    refusal = _too_little(len(past.deal_weeks), len(amounts), weeks)
    if refusal is not None:
        return refusal
    shape, exposure, variance = _arrivals(past, weeks)
    deals = _deal_weights(past.deal_weeks)
    return Hazards(
        deals=deals,
        leads=_lead_weights(past.lead_weeks),
        arrival_shape=shape,
        arrival_weeks=exposure,
        arrival_variance=variance,
        amount_mean=float(amounts.mean()),
        amount_sd=float(amounts.std(ddof=1)),
        amount_count=len(amounts),
        shock_sd=shock_sd(past.deal_weeks, _shares(deals)),
        contacted=float(past.lead_weeks["contacted"].mean()) if len(past.lead_weeks) else 0.0,
    )


def sample(hazards: Hazards, seed: int, first_draw: int, draws: int) -> Parameters:
    """Draw parameters, each draw with a generator of its own: how they are cut changes nothing."""
    parts = [_one(hazards, seed, draw) for draw in range(first_draw, first_draw + draws)]
    deals, leads, arrivals, amounts = (np.stack(part) for part in zip(*parts, strict=True))
    return Parameters(
        deals=deals,
        leads=leads,
        arrivals=arrivals,
        amounts=amounts,
        arrival_variance=hazards.arrival_variance,
        shock_sd=hazards.shock_sd,
        contacted=hazards.contacted,
    )


def mean(hazards: Hazards) -> Parameters:
    """Return the posterior means as one draw without shocks: the centre, not a forecast."""
    return Parameters(
        deals=_shares(hazards.deals)[None],
        leads=_shares(hazards.leads)[None],
        arrivals=(hazards.arrival_shape / hazards.arrival_weeks)[None],
        amounts=np.array([[hazards.amount_mean, hazards.amount_sd]]),
        arrival_variance=np.zeros(2),
        shock_sd=0.0,
        contacted=hazards.contacted,
    )


def shock_sd(deal_weeks: pd.DataFrame, rates: np.ndarray) -> float:
    """Estimate the sd of the common weekly shock on the log odds of going forward.

    Per calendar week with O forward moves, expected E and binomial variance V: Var(O - E) is about
    V + sd^2 V^2, because a shift z of the log odds moves E by z V. Hence sd^2 = sum((O - E)^2 - V)
    / sum(V^2), not below 0.
    """
    cells = _codes(deal_weeks["stage"], STAGES), bands(deal_weeks["weeks_in_stage"].to_numpy())
    expected = _forward(rates)[cells]
    moved = deal_weeks["outcome"].isin(("won", "advance")).to_numpy(float)
    week = deal_weeks["week_start"].to_numpy() // WEEK_MICROSECONDS
    index = np.unique(week, return_inverse=True)[1]
    residual = np.bincount(index, moved - expected)
    variance = np.bincount(index, expected * (1.0 - expected))
    excess = float((residual**2 - variance).sum() / max((variance**2).sum(), 1e-12))
    return float(np.sqrt(max(0.0, excess)))


def _too_little(deal_weeks: int, amounts: int, weeks: int) -> Refusal | None:
    needs = (
        (LEAST_DEAL_WEEKS, deal_weeks, "whole weeks of deals"),
        (LEAST_AMOUNTS, amounts, "deals with an amount"),
        (1, weeks, "whole weeks of history"),
    )
    for least, found, what in needs:
        if found < least:
            rule = f"a forecast needs at least {least} {what}"
            return Refusal(rule=rule, value=str(found), remedy="ingest a longer history")
    return None


def _deal_weights(deal_weeks: pd.DataFrame) -> np.ndarray:
    counts = np.zeros((len(STAGES), BANDS, len(DESTINATIONS)))
    stage = _codes(deal_weeks["stage"], STAGES)
    destination = _codes(deal_weeks["destination"], DESTINATIONS)
    np.add.at(counts, (stage, bands(deal_weeks["weeks_in_stage"].to_numpy()), destination), 1.0)
    # one week of no knowledge keeps a stage without history proper: half stay, the rest spread
    blank = np.full((len(STAGES), len(DESTINATIONS)), 0.1)
    blank[np.arange(len(STAGES)), np.arange(len(STAGES))] = 0.5
    pooled = _shares(counts.sum(axis=1) + blank)
    return counts + PSEUDO_WEEKS * pooled[:, None, :]


def _lead_weights(lead_weeks: pd.DataFrame) -> np.ndarray:
    counts = np.zeros((BANDS, len(LEAD_OUTCOMES)))
    outcome = _codes(lead_weeks["outcome"], LEAD_OUTCOMES)
    np.add.at(counts, (bands(lead_weeks["week"].to_numpy(np.int64)), outcome), 1.0)
    pooled = _shares(counts.sum(axis=0) + np.array([0.8, 0.1, 0.1]))
    return counts + PSEUDO_WEEKS * pooled


def _arrivals(past: History, weeks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shape, exposure and weekly variance, for leads and for deals without a lead."""
    alone = past.deals[~past.deals["lead"].isin(past.leads["lead"])]
    counts = np.stack([_per_week(frame["born"], past.at, weeks) for frame in (past.leads, alone)])
    average = counts.mean(axis=1)
    spread = counts.var(axis=1, ddof=1) if weeks > 1 else average
    inflation = np.maximum(1.0, spread / np.maximum(average, 1e-12))
    variance = np.maximum(0.0, spread - average) / np.maximum(average, 1e-12) ** 2
    return counts.sum(axis=1) / inflation, weeks / inflation, variance


def _per_week(born: pd.Series, at: int, weeks: int) -> np.ndarray:
    ago = (at - born.to_numpy(np.int64)) // WEEK_MICROSECONDS
    return np.bincount(ago[ago < weeks], minlength=weeks).astype(float)


def _amounts(deals: pd.DataFrame) -> np.ndarray:
    cents = deals["cents"].where(deals["end_cents"] < 0, deals["end_cents"])
    won = cents[(cents > 0) & (deals["how"] == "won")]
    chosen = won if len(won) >= LEAST_WON else cents[cents > 0]
    return np.asarray(np.log(chosen.to_numpy(float)))


def _one(
    hazards: Hazards, seed: int, draw: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.Generator(np.random.Philox(key=np.array([seed % _SEED_WORD, draw], np.uint64)))
    arrivals = rng.standard_gamma(hazards.arrival_shape) / hazards.arrival_weeks
    deals = _shares(rng.standard_gamma(hazards.deals))
    leads = _shares(rng.standard_gamma(hazards.leads))
    free = hazards.amount_count - 1
    sd = hazards.amount_sd * np.sqrt(free / rng.chisquare(free))
    centre = hazards.amount_mean + sd / np.sqrt(hazards.amount_count) * rng.standard_normal()
    return deals, leads, arrivals, np.array([centre, sd])


def _shares(weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _forward(rates: np.ndarray) -> np.ndarray:
    """Return per stage and band the chance of going forward within a week."""
    ahead = np.arange(len(DESTINATIONS)) > np.arange(len(STAGES))[:, None]
    ahead[:, LOST] = False
    return np.asarray((rates * ahead[:, None, :]).sum(axis=-1))


def _codes(names: pd.Series, vocabulary: tuple[str, ...]) -> np.ndarray:
    return np.array(names.map({name: code for code, name in enumerate(vocabulary)}), np.int64)
