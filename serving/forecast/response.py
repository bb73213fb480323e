"""How arrivals answer to a budget, from the log: the elasticity of the rate of arrivals to inputs.

The rate is fitted as `rates` does it, on season, steady growth and inputs. Budgets were not set by
chance, so the answer is observational, and it holds only for budgets as there were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cluster.errors import Refusal
from serving.forecast import rates, seasons
from serving.forecast.evidence import Grade, Response

if TYPE_CHECKING:
    from serving.forecast.person import Person
    from serving.forecast.units import Course

LEAST_SD = 0.05  # of the log of an input: below it nothing varied
LEAST_STEPS = 26
_STATE = "state the response with grade 'assumption'"


class Answered(NamedTuple):
    """What the log says of the campaigns."""

    response: Response
    budgets: tuple[float, float]  # least and most, as factors on the last steps' average


class NeverSeen(Refusal):
    """A budget was never seen: what is asked is wrong, not what is known too little."""


def answered(course: Course, rows: Person, stages: frozenset[int]) -> Answered | Refusal:
    """Estimate how units that begin in some stages (none: in all) answer to the funnel's inputs."""
    asked = course.funnel.inputs
    if not asked:
        return _refused("none is declared", f"declare `inputs` in the funnel, or {_STATE}")
    if len(rows.bounds) - 2 < LEAST_STEPS:
        return _refused(f"{len(rows.bounds) - 2} steps", f"ingest a longer history, or {_STATE}")
    # the first step is not whole
    past = np.stack([seasons.measured(course, each, rows.bounds)[1:] for each in asked], axis=1)
    inputs = seasons.inputs(course, rows.bounds, 0)[1:]
    sd = inputs.std(axis=0)
    if (sd < LEAST_SD).any():
        names = [each.name for each, own in zip(asked, sd, strict=True) if own < LEAST_SD]
        return _refused(f"{', '.join(names)} hardly varied", f"vary the budget by lot, or {_STATE}")
    fitted = _fitted(course, rows, stages, inputs)
    if fitted is None:
        few = f"fewer than {rates.LEAST_ARRIVALS} arrivals"
        return _refused(few, f"ingest a longer history, or {_STATE}")
    elasticity, error = fitted
    late = past[-seasons.AVERAGE_STEPS :].mean(axis=0)
    low, high = past.min(axis=0) / late, past.max(axis=0) / late
    return Answered(
        response=Response(
            elasticity=float(np.clip(elasticity, -1.0, 3.0)),
            sd=error,
            grade=Grade.OBSERVATIONAL,
            lag_steps=max(each.lag_steps for each in asked),
        ),
        budgets=(float(low.max()), float(high.min())),
    )


def spent(course: Course, rows: Person) -> int:
    """Return the cents spent in a step of late, by the inputs that are sums; 0 where none is."""
    each = [
        seasons.measured(course, one, rows.bounds)[1:][-seasons.AVERAGE_STEPS :].mean()
        for one in course.funnel.inputs
        if one.measure == "sum"
    ]
    return round(float(sum(each)))


def within(found: Answered, budget: float) -> Answered | NeverSeen:
    """Return the answer if such a budget was seen."""
    low, high = found.budgets
    if low <= budget <= high:
        return found
    return NeverSeen(
        rule=f"a budget must lie within those seen, {low:.2f} to {high:.2f} of that of late",
        value=f"{budget:g}",
        remedy=f"ask within them, or {_STATE}",
    )


def _fitted(
    course: Course, rows: Person, stages: frozenset[int], inputs: np.ndarray
) -> tuple[float, float] | None:
    """Return the elasticity to all inputs together, and its standard error; None where too few
    arrived for a regression.
    """
    funnel, steps = course.funnel, len(rows.bounds) - 1
    middles = rows.bounds[0] + funnel.step // 2 + funnel.step * np.arange(1, steps)
    calendar = seasons.calendar(middles, funnel.step_days, steps * funnel.step_days)
    new = rows.is_first & np.isin(rows.stage, sorted(stages or set(funnel.begins)))
    counts = np.bincount(rows.step[new], minlength=steps)[1:]
    # budget and arrivals may only have grown together
    columns = np.concatenate([calendar, seasons.growth(steps - 1), inputs], axis=1)
    found = rates.fit(counts, columns, rates.HALF_LIFE_DAYS / funnel.step_days)
    if not len(found.centre):
        return None
    # columns were divided by their sd, and the first coefficient is the intercept
    weight = np.zeros(len(found.centre))
    weight[-inputs.shape[1] :] = 1.0 / inputs.std(axis=0)
    return float(weight @ found.centre), float(np.linalg.norm(found.root.T @ weight))


def _refused(value: str, remedy: str) -> Refusal:
    rule = "a response that is 'estimated' needs arrivals, and inputs that varied"
    return Refusal(rule=rule, value=value, remedy=remedy)
