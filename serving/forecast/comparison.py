"""A comparison: some scenarios of one funnel, on the same luck, side by side."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from cluster.settings import Frozen
from serving.forecast.scenario import BASELINE, Scenario

MOST_SCENARIOS = 8
ALIKE = ("funnel", "horizon", "draws", "seed", "goals", "fading")


class Plan(Frozen):
    """Find whom the levers of a scenario should reach within a budget, and simulate that too."""

    scenario: str
    budget_cents: int = Field(ge=0)  # over the whole horizon


class Comparison(Frozen):
    """What a planner asks in one go; business as usual is simulated beside it."""

    scenarios: tuple[Scenario, ...] = Field(min_length=1, max_length=MOST_SCENARIOS)
    against: str = BASELINE  # what the others are compared with
    hour_price: bool = False  # simulate what one more rep-hour would bring
    plan: Plan | None = None

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        for name in ALIKE:
            found = {str(getattr(each, name)) for each in self.scenarios}
            if len(found) > 1:
                raise ValueError(f"{name} must be the same in all scenarios, got {sorted(found)}")
        return self

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        names = [each.name for each in self.scenarios]
        if len(set(names)) < len(names):
            raise ValueError(f"every scenario must have a name of its own, got {names}")
        known = {BASELINE, *names}
        for name in (self.against, *([self.plan.scenario] if self.plan else [])):
            if name not in known:
                raise ValueError(f"a scenario must be one of {sorted(known)}, got '{name}'")
        return self
