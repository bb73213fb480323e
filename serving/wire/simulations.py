"""Simulations: what is asked, how far it is, and what came out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from serving.wire.base import Answered, Asked, Moment

MOST_LISTED = 200


class PlanIn(Asked):
    """Find whom the levers of a scenario should reach within a budget."""

    scenario: str
    budget_cents: int = Field(ge=0)


class SimulationRequest(Asked):
    """Some scenarios of one funnel, to be simulated on the same luck, side by side."""

    scenarios: list[dict[str, Any]] = Field(
        min_length=1, max_length=8, description="Documents as in configs/scenarios."
    )
    against: str = Field(default="baseline", description="What the others are compared with.")
    as_of: Moment | None = Field(default=None, description="Null: all that is known now.")
    hour_price: bool = Field(
        default=False, description="Simulate what one more hour of a rep would bring."
    )
    plan: PlanIn | None = None


class ProgressOut(Answered):
    """How far a simulation is."""

    done: int
    total: int
    what: str


class SimulationOut(Answered):
    """A simulation."""

    id: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    scenarios: list[str]
    funnel: str
    asked_by: str
    asked_at: datetime
    finished_at: datetime | None
    progress: ProgressOut | None
    why: str | None = Field(description="Why it failed: what to do about it.")
    unchanged: bool = Field(description="The same was asked before: the result is that of then.")


class SimulationsOut(Answered):
    """Simulations, the newest first."""

    simulations: list[SimulationOut]


class BandOut(Answered):
    """A series of quantiles, one number for each step, cumulative."""

    mean: list[float]
    p05: list[int]
    p25: list[int]
    p50: list[int]
    p75: list[int]
    p95: list[int]


class RangeOut(Answered):
    """A number that chance spreads: its mean, and the middle 90 % of its draws."""

    mean: float
    low: float
    high: float


class PartOut(Answered):
    """What comes of deals open now, of leads open now, of what arrives (or of all)."""

    part: str
    won: RangeOut
    value_cents: RangeOut


class SliceOut(Answered):
    """What falls to a segment, team or owner by the end."""

    dimension: str
    value: str
    won: RangeOut
    value_cents: RangeOut


class StageOut(Answered):
    """How many units are open in a stage at the end of each step."""

    stage: str
    mean: list[float]


class DeskOut(Answered):
    """How full a desk is, one number for each step."""

    desk: str
    capacity: list[int]
    made: list[float]
    waiting: list[float]


class EvidenceOut(Answered):
    """What a lever does, and how that is known; the ratio is of odds, or an elasticity."""

    lever: str
    kind: str
    grade: str | None
    code: str | None = Field(description="E1, E2 or E3.")
    ratio: float | None
    low: float | None
    high: float | None
    said: str


class TimingOut(Answered):
    """What became of units in both worlds: means of units."""

    earlier: float = Field(description="Won in both, in an earlier step here.")
    later: float = Field(description="Won in both, in a later step here.")
    more: float = Field(description="Won here alone.")
    displaced: float = Field(description="Won there alone: hands were elsewhere.")
    steps_gained: float = Field(description="Mean over those won in both.")


class HourPriceOut(Answered):
    """What more hours of a desk would bring, by a simulation with more."""

    desk: str
    value_cents_per_hour: RangeOut
    won_per_hour: RangeOut
    more_hours: float


class DownsideOut(Answered):
    """The bad end."""

    value_at_risk_cents: int = Field(description="What 1 draw in 20 falls short of.")
    shortfall_cents: float = Field(description="Mean of those draws.")
    goals: dict[str, float] = Field(description="Probability of each goal.")
    loses: float | None = Field(description="Probability that it brings less than it costs.")


class PayoffOut(Answered):
    """Against what the scenario is compared with, draw by draw."""

    won: RangeOut
    value_cents: RangeOut
    cost_cents: RangeOut
    gain_cents: RangeOut = Field(description="Value less cost.")
    contacts: float
    unsubscribed: float
    pays: float = Field(description="Probability that the value exceeds the cost.")
    steps_to_value: int | None = Field(description="The first step whose mean gain is above 0.")
    timing: TimingOut | None
    by_step: BandOut = Field(description="Value less that of the other, cumulative.")


class CellOut(Answered):
    """Whom a plan reaches."""

    lever: str
    segment: str
    band: int | None
    share: float = Field(description="Of those that the lever would list, 0 to 1.")
    contacts: float
    gain_cents_per_contact: float


class PlanOut(Answered):
    """The best plan that was found within the budget and the hours there are."""

    scenario: str
    budget_cents: int
    spent_cents: float
    hour_price_cents: dict[str, float] = Field(description="Of the last hour of each desk.")
    budget_price: float = Field(description="Value of the last cent of the budget.")
    cells: list[CellOut]
    regret_cents: RangeOut = Field(
        description="How far it may be below the best plan, had one known the parameters."
    )


class ArmOut(Answered):
    """One scenario, or business as usual."""

    name: str
    grade: str | None
    label: str | None = Field(description="'assumption' where an effect is assumed.")
    won: BandOut
    value_cents: BandOut
    parts: list[PartOut]
    slices: list[SliceOut]
    stages: list[StageOut]
    desks: list[DeskOut]
    evidence: list[EvidenceOut]
    downside: DownsideOut
    payoff: PayoffOut | None = Field(description="Null for what the others are compared with.")
    hour_prices: list[HourPriceOut]


class SimulationResultOut(Answered):
    """What came out, and what it rests on."""

    id: str
    funnel: str
    description: str
    as_of: datetime
    step: str
    steps: int
    draws: int
    seed: int
    against: str
    grade: str | None
    coverage: list[str] = Field(description="How often such intervals held in the past.")
    said: list[str] = Field(description="The answer in sentences.")
    arms: list[ArmOut]
    plan: PlanOut | None
