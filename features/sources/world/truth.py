"""The truth: what was planted, as DataFrames to test estimates against. Times are UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.sources.world import company, course, deals, outreach, people, qualify
from features.sources.world.chance import NEVER
from features.sources.world.usage import NO_TRIAL

if TYPE_CHECKING:
    import pyarrow as pa

    from features.sources.world.config import WorldConfig
    from features.sources.world.entities import Entities
    from features.sources.world.story import Story

HORIZON_WEEKS = 9  # about 60 days


def tables(
    config: WorldConfig,
    told: Story,
    who: Entities,
    corrections: pa.Table,
    faults: dict[str, pa.Table],
) -> dict[str, pd.DataFrame]:
    """Return the truth by name.

    accounts, campaigns, leads, opportunities: a row per entity with its hidden values and outcome;
    interventions: a row per lot; effect: one row with what outreach does; hazards: a row per stage
    and move; market: a row per week; corrections, faults: a row per planted row; fault_counts: a
    row per fault.
    """
    return {
        "accounts": _accounts(told, who),
        "campaigns": _campaigns(told, who),
        "leads": _leads(config, told, who),
        "opportunities": _opportunities(config, told, who),
        "interventions": _interventions(config, told, who),
        "effect": _effect(config),
        "hazards": _hazards(),
        "market": _market(config, told),
        "corrections": corrections.select(["row_key", "known_at", "number"]).to_pandas(),
        "faults": _faults(faults),
        "fault_counts": _fault_counts(faults),
    }


def _accounts(told: Story, who: Entities) -> pd.DataFrame:
    accounts = told.accounts
    return pd.DataFrame(
        {
            "account": who.names["account"],
            "industry": np.array(list(company.INDUSTRIES))[accounts.industry],
            "region": np.array(list(company.REGIONS))[accounts.region],
            "employees": accounts.employees,
            "fit": accounts.fit,
            "has_trial": told.usage.trial_week != NO_TRIAL,
        }
    )


def _campaigns(told: Story, who: Entities) -> pd.DataFrame:
    campaigns = told.campaigns
    return pd.DataFrame(
        {
            "campaign": who.names["campaign"],
            "channel": np.array(list(company.CHANNELS))[campaigns.channel],
            "quality": campaigns.quality,
            "weight": campaigns.weight,
        }
    )


def _leads(config: WorldConfig, told: Story, who: Entities) -> pd.DataFrame:
    leads, hazard = told.leads, told.hazards.qualify
    # without outreach and without competition, along the path that the interest took
    chance = -np.expm1(-np.exp(hazard[:, :HORIZON_WEEKS]).sum(axis=1))
    return pd.DataFrame(
        {
            "lead": who.names["lead"],
            "fit": leads.fit,
            "seniority": np.array(list(people.SENIORITIES))[leads.seniority],
            "interest_at_creation": leads.interest[:, 0],
            "log_hazard_at_creation": hazard[:, 0],
            "probability_60d": chance,
            "created": _times(config, leads.created),
            "qualified": _times(config, told.became.qualified),
            "disqualified": _times(config, told.became.disqualified),
        }
    )


def _opportunities(config: WorldConfig, told: Story, who: Entities) -> pd.DataFrame:
    opened, ran = told.deals, told.course
    states = np.array([*course.STAGES, "won", "lost"])
    return pd.DataFrame(
        {
            "opportunity": who.names["opportunity"],
            "lead": np.array(who.names["lead"])[opened.lead],
            "product": np.array(list(deals.PRODUCTS))[opened.product],
            "cents": opened.cents,
            "has_champion": opened.has_champion,
            "thrift": opened.thrift,
            "engagement_at_creation": opened.engagement[:, 0],
            "state": states[ran.final.stage],
            "created": _times(config, opened.created),
            "closed": _times(config, ran.closed),
        }
    )


def _interventions(config: WorldConfig, told: Story, who: Entities) -> pd.DataFrame:
    lead, nobody = (
        np.flatnonzero(told.lots.drawn != NEVER),
        np.zeros(len(told.lots.ppm), dtype=bool),
    )
    runs = told.leads.inside & outreach.lasts(config, told.leads.inside.shape[1])
    hazards = [outreach.affected(config, told.hazards, arm) for arm in (nobody, ~nobody)]
    control, treated = (qualify.risk(hazard, runs)[lead] for hazard in hazards)
    return pd.DataFrame(
        {
            "lead": np.array(who.names["lead"])[lead],
            "propensity": told.lots.ppm[lead] / outreach.PPM,
            "is_treated": told.lots.is_treated[lead],
            # probability to qualify within the weeks of the effect, under either arm
            "risk_control": control,
            "risk_treated": treated,
        }
    )


def _effect(config: WorldConfig) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "action": ["outreach"],
            "on": ["weekly hazard of qualification"],
            "factor": [config.effect],
            "weeks": [config.effect_weeks],
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
    market, week = told.market, np.arange(config.weeks)
    return pd.DataFrame(
        {
            "week": pd.date_range(config.start, periods=len(week), freq="7D", tz="UTC", unit="us"),
            "shock": market.shock,
            "season": market.season,
            "quarter_end_push": market.push,
            "arrivals": market.arrivals,
        }
    )


def _faults(faults: dict[str, pa.Table]) -> pd.DataFrame:
    rows = [(key, fault) for fault, table in faults.items() for key in table["row_key"].to_pylist()]
    return pd.DataFrame(rows, columns=["row_key", "fault"])


def _fault_counts(faults: dict[str, pa.Table]) -> pd.DataFrame:
    counts = [table.num_rows for table in faults.values()]
    return pd.DataFrame({"fault": list(faults), "rows": counts})


def _times(config: WorldConfig, time: np.ndarray) -> pd.Series:
    known = pd.Series(np.where(time == NEVER, 0, config.start_us + time))
    return pd.to_datetime(known, unit="us", utc=True).where(time != NEVER)
