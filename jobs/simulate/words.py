"""What an answer says in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import aalen, amounts, moves, person, reaching, risk
from serving.forecast.evidence import GRADE_WORDS, Effect, Response, lowest
from serving.forecast.kinds import Outreach
from serving.forecast.scenario import evidence_of, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.simulate.answer import Answer
    from serving.forecast.payoff import Payoff
    from serving.forecast.units import Course

NOT_YET = "how often such intervals held is not yet known: python -m jobs.backtest measures it"


def decided(found: Answer) -> list[str]:
    """Return what an answer rests on, and what it says."""
    return [f"runner: {found.ran}", *said(found)]


def said(found: Answer) -> list[str]:
    """Return what an answer rests on and says, wherever it was simulated."""
    scenario, shock = found.question.scenario, found.asked.learnt.swings.shock_sd
    lines = [
        f"{scenario.draws:,} draws over {scenario.horizon} steps, seed {scenario.seed}",
        f"shock common to all units of a step: sd {shock[0]:.2f} on the log odds",
        f"evidence: {grade(found)}",
        *scores(found),
        "intervals carry chance, rates, shocks and what lasts of them, and the errors of effects",
        *coverage(found),
        *goals(found),
    ]
    several = len(found.payoffs) > 1
    told = [
        payoff(f"{name} against {found.against}" if several else name, each)
        for name, each in found.payoffs.items()
    ]
    return [*lines, *found.estimates, *rates(found), *told]


def rates(found: Answer) -> Iterator[str]:
    """Give what rate `more` became."""
    for name, way in found.ways.items():
        for lever, past in zip(reaching.reached(way.scenario), way.pasts, strict=True):
            if isinstance(lever, Outreach) and lever.more is not None:
                yield (
                    f"{name}: {lever.more:.0%} more than in history, which made"
                    f" {past.per_step:.3f} contacts to a unit in a step ({past.counted}), is a rate"
                    f" of {reaching.rate(lever, past):.4f}"
                )


def coverage(found: Answer) -> list[str]:
    """Return how often such intervals held, and what that makes of this one."""
    return [*(found.coverage or (NOT_YET,)), *held(found)]


def scores(found: Answer) -> Iterator[str]:
    """Give how many of the open units are told apart by a score, and by whose."""
    given = [each.target for each in found.question.funnel.scores]
    if not given:
        return
    strata, start = found.asked.learnt.strata, found.asked.start
    owner = np.array(strata.names, object)[start.stratum]
    counts = {name: int((owner == name).sum()) for name in given}
    told = ", ".join(f"{count:,} of {name}" for name, count in counts.items() if count)
    if told:
        yield (
            f"scores: {sum(counts.values()):,} of {len(owner):,} open units have one ({told});"
            f" {_weights(found)}"
        )
    else:
        targets = " and ".join(given)
        yield f"scores: no open unit has one; python -m jobs.train.past makes those of {targets}"


def _weights(found: Answer) -> str:
    """Return how much chances by score count in each stage, against those of all."""
    told = found.asked.learnt.strata.told
    weights = zip(found.names.stages, told if told is not None else (), strict=False)
    said = [f"{stage} {weight:.0%}" for stage, weight in weights if weight > 0.0]
    return f"their weight: {', '.join(said)}" if said else "they told nothing so far, weight 0%"


def slippage(course: Course) -> str | None:
    """Return by how much closings come after the days that were expected; None where none are."""
    rows = amounts.slippage(course)
    if rows is None:
        return None
    late = {row["expected"]: float(row["q50"]) for row in rows.to_dict("records")}
    first, last = (_days(late[which]) for which in ("first", "last"))
    return f"at the median deals end {first} the day expected first, {last} the one expected last"


def checked(found: Answer) -> str | None:
    """Return what the chances that were learnt make of new units, beside the estimate of
    Aalen-Johansen from all of history alike; None where all units are new.
    """
    funnel, learnt = found.question.funnel, found.asked.learnt
    rows = person.table(found.course)
    steps = min(found.asked.steps, len(rows.bounds) - 2)
    if steps < 1:
        return None
    begins, won = funnel.begins[0], funnel.won_state
    chances = moves.shares(learnt.moves.sum(axis=0))
    ours = aalen.propagated(chances, funnel, begins, steps)[steps, won]
    told = aalen.estimate(rows, begins, steps)
    share, error = told.share[steps, won], told.error[steps, won]
    return (
        f"without levers {ours:.1%} of new units are won within {steps} {funnel.step_name}s; of"
        f" all of history alike {share:.1%} ± {2 * error:.1%} (Aalen-Johansen)"
    )


def _days(late: float) -> str:
    if np.isnan(late):
        return "nobody knows yet how long after"
    whole = abs(round(late))
    return f"{whole:,} {'day' if whole == 1 else 'days'} {'after' if late >= 0 else 'before'}"


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
    value, cost = payoff.value_cents.mean / 100, payoff.cost_cents.mean / 100
    return (
        f"{name}: {extra:+.1f} won (90 % interval {low:+.0f} to {high:+.0f}),"
        f" {value:+,.0f} in value, for {payoff.contacts:,.0f} contacts; it costs {cost:,.0f};"
        f" {payoff.unsubscribed:,.0f} unsubscribe; it pays with probability {payoff.pays:.2f}"
    )


def grade(found: Answer) -> str:
    """Return what the effects of the levers rest on, and what is assumed besides."""
    levers = [lever for way in found.ways.values() for lever in way.scenario.levers]
    known = [evidence_of(lever) for lever in levers]
    of_effects = lowest(each.grade for each in known if isinstance(each, Effect | Response))
    if found.grade == of_effects:
        return GRADE_WORDS[found.grade]
    numbers = " and ".join(sorted({name for lever in levers for name in written(lever)}))
    return f"{found.grade}: effects are {of_effects}, {numbers} the planner's, measured by nobody"


def held(found: Answer) -> Iterator[str]:
    """Give business as usual at each horizon that a backtest measured, recalibrated by it."""
    step = found.question.funnel.step_name
    for each in found.held:
        if each.is_known:
            far = f"{each.horizon} {step}" + ("s" if each.horizon > 1 else "")
            low, middle, high = each.recalibrated
            was = f"as the model says {each.said[0]:,} to {each.said[2]:,}"
            yield (f"within {far}, recalibrated: {middle:,} won ({low:,} to {high:,}, {was})")
