"""The truth: what was planted, as DataFrames to test estimates against. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.sources.world import (
    company,
    contacts,
    course,
    crm,
    deals,
    identities,
    outreach,
    qualify,
    support,
)
from features.sources.world.chance import NEVER, WEEK
from features.sources.world.usage import NO_TRIAL

if TYPE_CHECKING:
    from features.sources.world.config import WorldConfig
    from features.sources.world.division import Division
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

HORIZON_WEEKS = 9  # about 60 days


@dataclass(frozen=True, kw_only=True)
class Planted:
    """The truth about single rows, see the functions that plant it."""

    corrections: pd.DataFrame
    faults: pd.DataFrame
    late: pd.DataFrame
    arrivals: pd.DataFrame


# tables about the whole company, the same in every part
SHARED = ("campaigns", "effect", "hazards", "market", "channel_mix")


def tables(
    division: Division, told: Story, who: Entities, planted: Planted
) -> dict[str, pd.DataFrame]:
    """Return the truth by name.

    accounts, campaigns, leads, opportunities: a row per entity with its hidden values and outcome;
    true_accounts, true_persons: a row per record with the company or person that it describes;
    committee: a row per member of a buying committee; consent: a row per contact; customers: a row
    per won deal; interventions: a row per lot; effect: a row per planted effect; hazards: a row per
    stage and move; market: a row per week; channel_mix: a row per week and channel; corrections,
    faults, late, arrivals: a row per planted row; fault_counts: a row per fault.
    """
    counts = planted.faults.groupby("fault", sort=False).size()
    return {
        "accounts": _accounts(told, who),
        "campaigns": _campaigns(told, who),
        "leads": _leads(division, told, who),
        "opportunities": _opportunities(division, told, who),
        **identities.tables(division, told, who),
        "customers": _customers(division, told, who),
        "interventions": _interventions(division, told, who),
        "effect": _effects(division.config),
        "hazards": _hazards(),
        "market": _market(division.config, told),
        "channel_mix": _mix(division.config, told),
        "corrections": planted.corrections,
        "faults": planted.faults,
        "late": planted.late,
        "arrivals": planted.arrivals,
        "fault_counts": counts.rename_axis("fault").reset_index(name="rows"),
    }


def joined(parts: list[dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Return the truth of all parts as one."""
    found = {
        name: pd.concat([part[name] for part in (parts[:1] if name in SHARED else parts)])
        for name in parts[0]
    }
    found["fault_counts"] = found["fault_counts"].groupby("fault", as_index=False, sort=False).sum()
    return {name: frame.reset_index(drop=True) for name, frame in found.items()}


def _accounts(told: Story, who: Entities) -> pd.DataFrame:
    accounts = told.accounts
    return pd.DataFrame(
        {
            "account": who.names["account"].to_pylist(),
            "industry": np.array(list(company.INDUSTRIES))[accounts.industry],
            "region": np.array(list(company.REGIONS))[accounts.region],
            "employees": accounts.employees,
            "fit": accounts.fit,
            "is_known": crm.known_since(told) != NEVER,
            "has_trial": told.usage.trial_week != NO_TRIAL,
        }
    )


def _campaigns(told: Story, who: Entities) -> pd.DataFrame:
    campaigns = told.campaigns
    return pd.DataFrame(
        {
            "campaign": who.names["campaign"].to_pylist(),
            "channel": np.array(list(company.CHANNELS))[campaigns.channel],
            "quality": campaigns.quality,
            "weight": campaigns.weight,
        }
    )


def _leads(division: Division, told: Story, who: Entities) -> pd.DataFrame:
    leads, hazard = told.leads, told.hazards.qualify
    # without outreach and without competition, along the path that the interest took
    chance = -np.expm1(-np.exp(hazard[:, :HORIZON_WEEKS]).sum(axis=1))
    return pd.DataFrame(
        {
            "lead": who.names["lead"].to_pylist(),
            "fit": leads.fit,
            "seniority": np.array(list(contacts.SENIORITIES))[leads.seniority],
            "interest_at_creation": leads.interest[:, 0],
            "log_hazard_at_creation": hazard[:, 0],
            "probability_60d": chance,
            "created": identities.times(division.config, leads.created),
            "qualified": identities.times(division.config, told.became.qualified),
            "disqualified": identities.times(division.config, told.became.disqualified),
            "marketing_qualified": identities.times(division.config, told.handover.qualified),
            "acceptance_probability": told.handover.chance,
            "sales_accepted": identities.times(division.config, told.handover.accepted),
            "sales_rejected": identities.times(division.config, told.handover.rejected),
        }
    )


def _opportunities(division: Division, told: Story, who: Entities) -> pd.DataFrame:
    opened, ran = told.deals, told.course
    states = np.array([*course.STAGES, "won", "lost"])
    return pd.DataFrame(
        {
            "opportunity": who.names["opportunity"].to_pylist(),
            "lead": identities.keys(who, "lead", opened.lead),
            "product": np.array(list(deals.PRODUCTS))[opened.product],
            "cents": opened.cents,
            "has_champion": opened.has_champion,
            "thrift": opened.thrift,
            "engagement_at_creation": opened.engagement[:, 0],
            "is_strained": _is_strained(told),
            "state": states[ran.final.stage],
            "created": identities.times(division.config, opened.created),
            "closed": identities.times(division.config, ran.closed),
        }
    )


def _is_strained(told: Story) -> np.ndarray:
    """Return which deals had a recent request to support in some week of their life."""
    last = np.minimum(told.course.closed, told.market.shock.size * WEEK - 1) // WEEK
    weeks = last - told.deals.week + 1
    lives = np.arange(told.recent.shape[1]) < weeks[:, None]
    return np.asarray(((told.recent > 0) & lives).any(axis=1))


def _interventions(division: Division, told: Story, who: Entities) -> pd.DataFrame:
    lead, nobody = (
        np.flatnonzero(told.lots.drawn != NEVER),
        np.zeros(len(told.lots.ppm), dtype=bool),
    )
    runs = told.leads.inside & outreach.lasts(division, told.leads.inside.shape[1])
    hazards = [outreach.affected(division, told.hazards, arm) for arm in (nobody, ~nobody)]
    control, treated = (qualify.risk(hazard, runs)[lead] for hazard in hazards)
    return pd.DataFrame(
        {
            "lead": identities.keys(who, "lead", lead),
            "propensity": told.lots.ppm[lead] / outreach.PPM,
            "is_treated": told.lots.is_treated[lead],
            # probability to qualify within the weeks of the effect, under either arm
            "risk_control": control,
            "risk_treated": treated,
        }
    )


def _customers(division: Division, told: Story, who: Entities) -> pd.DataFrame:
    lives = told.customers
    return pd.DataFrame(
        {
            "opportunity": identities.keys(who, "opportunity", lives.deal),
            "log_hazard": lives.log_hazard,
            "churned": identities.times(division.config, lives.churned),
        }
    )


def _effects(config: WorldConfig) -> pd.DataFrame:
    loses = "weekly hazard of losing a deal, per recent ticket up to three"
    churns = "weekly hazard of churn, per recent ticket up to three"
    return pd.DataFrame(
        {
            "action": ["outreach", "ticket", "ticket"],
            "on": ["weekly hazard of qualification", loses, churns],
            "factor": [config.effect, config.ticket_effect, config.ticket_effect],
            "weeks": [config.effect_weeks, support.RECENT_WEEKS, support.RECENT_WEEKS],
        }
    )


def _hazards() -> pd.DataFrame:
    logs = {"advance": course.ADVANCE, "regress": course.REGRESS, "lose": course.LOSE}
    stages = [
        pd.DataFrame({"stage": course.STAGES, "move": move, "log_hazard": log})
        for move, log in logs.items()
    ]
    lead = pd.DataFrame(
        {
            "stage": "lead",
            "move": ["qualify", "disqualify"],
            "log_hazard": [qualify.QUALIFY, qualify.DISQUALIFY],
        }
    )
    return pd.concat([lead, *stages], ignore_index=True)


def _market(config: WorldConfig, told: Story) -> pd.DataFrame:
    market = told.market
    return pd.DataFrame(
        {
            "week": _weeks(config),
            "shock": market.shock,
            "season": market.season,
            "drift": market.drift,
            "shift": market.shift,
            "quarter_end_push": market.push,
            "arrivals": market.arrivals,
        }
    )


def _mix(config: WorldConfig, told: Story) -> pd.DataFrame:
    channels = list(company.CHANNELS)
    by_channel = np.stack(
        [told.market.mix[:, told.campaigns.channel == c].sum(axis=1) for c in range(len(channels))],
        axis=1,
    )
    return pd.DataFrame(
        {
            "week": _weeks(config).repeat(len(channels)),
            "channel": channels * config.weeks,
            "share": by_channel.ravel(),
        }
    )


def _weeks(config: WorldConfig) -> pd.DatetimeIndex:
    return pd.date_range(config.start, periods=config.weeks, freq="7D", tz="UTC", unit="us")
