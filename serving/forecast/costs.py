"""What the levers of a scenario cost: each contact, and what is spent whatever comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast.kinds import Campaign, Outreach, Reps
from serving.forecast.pulled import last_step
from serving.forecast.reaching import reached

if TYPE_CHECKING:
    from serving.forecast.given import Outcome
    from serving.forecast.scenario import Scenario


class Costs(NamedTuple):
    """Whole cents."""

    per_contact: np.ndarray  # int64 [levers that reach units]
    by_step: np.ndarray  # int64 [steps], of reps and campaigns; below 0 where they save


def costs(scenario: Scenario) -> Costs:
    """Return what a scenario costs; ValueError where the spend of a campaign is not known."""
    by_step = np.zeros(scenario.horizon, np.int64)
    for lever in scenario.levers:
        if isinstance(lever, Reps | Campaign):
            by_step[lever.first_step : last_step(lever, scenario.horizon) + 1] += _each_step(lever)
    per_contact = [
        lever.cost_per_contact_cents if isinstance(lever, Outreach) else 0
        for lever in reached(scenario)
    ]
    return Costs(np.array(per_contact, np.int64), by_step)


def spent(outcome: Outcome, costs: Costs) -> np.ndarray:
    """Return the cents that an arm costs: int64 [draws, steps]."""
    of_contacts = outcome.contacts.sum(axis=2) @ costs.per_contact
    return np.asarray(of_contacts + costs.by_step)


def _each_step(lever: Reps | Campaign) -> int:
    if isinstance(lever, Reps):
        return lever.more * lever.cost_per_rep_step_cents
    if lever.spend_per_step_cents is None:
        raise ValueError("the spend of every campaign must be known")
    return round((lever.budget - 1.0) * lever.spend_per_step_cents)
