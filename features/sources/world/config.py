"""What can be chosen about the world; everything else about it is a constant beside its use."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Self

from pydantic import Field, model_validator

from cluster.settings import Frozen

# measured: the events of a lead and of all that follows from it when no end of the period cuts it
# off, the weeks of a period that cuts off half, and the metrics of a week, whatever the size
EVENTS_PER_LEAD, CUT_WEEKS, METRICS_PER_WEEK = 58.1, 13.5, 54


class WorldConfig(Frozen):
    """Size, period and planted effects of a synthetic company; equal values give equal worlds."""

    seed: int = Field(default=7, ge=0)
    start: date = date(2024, 12, 30)  # a Monday
    weeks: int = Field(default=78, ge=12, le=520)
    scale: float = Field(default=1.0, gt=0, le=1_000)  # multiplies accounts, leads and reps
    events: int | None = Field(default=None, ge=5_000, le=100_000_000)  # about so many; not `scale`
    accounts: int = Field(default=700, ge=1)
    leads: int = Field(default=4_000, ge=1)
    reps: int = Field(default=14, ge=1)
    rep_capacity: int = Field(default=20, ge=1)  # activities of a rep in a week
    lead_weeks: int = Field(default=26, ge=4)  # a lead without an outcome is given up after these
    deal_weeks: int = Field(default=52, ge=4)  # a deal without an outcome is lost after these
    trial_share: float = Field(default=0.35, ge=0, le=1)  # of the accounts
    trial_weeks: int = Field(default=8, ge=1)
    effect: float = Field(default=1.8, gt=0)  # of outreach on the weekly hazard of qualification
    effect_weeks: int = Field(default=6, ge=1)
    lowest_propensity: float = Field(default=0.1, gt=0, lt=1)
    highest_propensity: float = Field(default=0.9, gt=0, lt=1)
    market_shock_sd: float = Field(default=0.08, ge=0)  # weekly, on log hazards, shared by all
    channel_drift: float = Field(default=0.6, ge=-5, le=5)  # of log shares, from start to end
    hazard_drift: float = Field(default=-0.1, ge=-5, le=5)  # of log hazards, from start to end
    hazard_shift: float = Field(default=0.0, ge=-5, le=5)  # of log hazards, from shift_week on
    shift_week: int = Field(default=0, ge=0)
    ticket_effect: float = Field(default=1.4, gt=0)  # of a recent ticket on losing and on churn
    withdrawals: float = Field(default=0.004, ge=0, le=1)  # of consent, per contact and week
    duplicates: float = Field(default=0.05, ge=0, le=0.5)  # share of records that are second ones
    corrections: float = Field(default=0.01, ge=0, le=1)  # share of amounts corrected later
    late: float = Field(default=0.01, ge=0, le=1)  # share of rows known days or weeks later
    reordered: float = Field(default=0.02, ge=0, le=1)  # share of rows that arrive out of order
    replays: float = Field(default=0.0, ge=0, le=1)  # share of rows that arrive twice
    faults: float = Field(default=0.002, ge=0, le=0.5)  # broken rows per good one

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.lowest_propensity, self.highest_propensity
        if low > high:
            raise ValueError(
                f"lowest_propensity <= highest_propensity must hold, got {low} > {high}"
            )
        if self.events is not None and self.scale != 1.0:
            raise ValueError(f"only one of events and scale may be set, got {self.events} events")
        return self

    @property
    def start_us(self) -> int:
        """Start of the period in microseconds since 1970."""
        midnight = datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)
        return int(midnight.timestamp()) * 1_000_000

    def sized(self, count: int) -> int:
        """Return a count times the scale, at least one."""
        return max(1, round(count * self.factor))

    @property
    def factor(self) -> float:
        """What accounts, leads and reps are multiplied by."""
        if self.events is None:
            return self.scale
        of_leads = max(self.events - METRICS_PER_WEEK * self.weeks, self.events / 2)
        uncut = self.weeks / (self.weeks + CUT_WEEKS)
        return of_leads / (self.leads * EVENTS_PER_LEAD * uncut)
