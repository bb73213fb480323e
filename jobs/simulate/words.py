"""What an answer says in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.forecast import risk
from serving.forecast.scenario import GRADE_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.simulate.answer import Answer
    from serving.forecast.payoff import Payoff

NOT_YET = "how often such intervals held is not yet known: python -m jobs.backtest measures it"


def decided(found: Answer) -> list[str]:
    """Return what an answer rests on, and what it says."""
    scenario, shock = found.question.scenario, found.asked.learnt.shock_sd
    lines = [
        f"runner: {found.ran}",
        f"{scenario.draws:,} draws over {scenario.horizon} steps, seed {scenario.seed}",
        f"shock common to all units of a step: sd {shock[0]:.2f} on the log odds",
        f"evidence: {grade(found)}",
        "intervals carry chance, rates and shocks",
        *(found.coverage or (NOT_YET,)),
        *held(found),
        *goals(found),
    ]
    if found.estimate is not None:
        lines.append(f"effect of a contact, estimated: {found.estimate}")
    if found.payoff is not None:
        lines.append(payoff(scenario.name, found.payoff))
    return lines


def goals(found: Answer) -> Iterator[str]:
    """Give how likely each arm reaches the goals of the scenario."""
    scenario = found.question.scenario
    for measure, goal in sorted(scenario.goals.items()):
        for name, outcome in found.outcomes.items():
            counts = outcome.won if measure == "won" else outcome.cents
            reached = risk.reached(counts.sum(axis=(1, 2, 3)), goal)
            what = f"{goal:,} won" if measure == "won" else f"{goal / 100:,.0f} in value"
            yield (
                f"{name}: {what} by the end with probability {reached.probability:.0%}"
                f" ± {2 * reached.error:.1%}"
            )


def payoff(name: str, payoff: Payoff) -> str:
    """Return whether the levers pay."""
    extra, low, high = payoff.won
    value = payoff.value_cents[0] / 100
    return (
        f"{name}: {extra:+.1f} won (90 % interval {low:+d} to {high:+d}), {value:+,.0f} in value,"
        f" for {payoff.contacts:,.0f} contacts that cost {payoff.cost_cents / 100:,.0f};"
        f" {payoff.unsubscribed:,.0f} unsubscribe; it pays with probability {payoff.pays:.2f}"
    )


def grade(found: Answer) -> str:
    """Return what the effects of the levers rest on."""
    return GRADE_WORDS[found.question.scenario.grade()]


def held(found: Answer) -> Iterator[str]:
    """Give business as usual at each horizon that a backtest measured, recalibrated by it."""
    step = found.question.funnel.step_name
    for each in found.held:
        if each.is_known:
            far = f"{each.horizon} {step}" + ("s" if each.horizon > 1 else "")
            low, middle, high = each.recalibrated
            was = f"as the model says {each.said[0]:,} to {each.said[2]:,}"
            yield (f"within {far}, recalibrated: {middle:,} won ({low:,} to {high:,}, {was})")
