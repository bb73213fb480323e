"""The document of an answer: every number that a page or a program may want, for all arms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jobs.simulate import words
from jobs.simulate.evidence import evidence
from jobs.simulate.planning import plan
from serving.forecast import answers, payoff, recalibration, risk
from serving.forecast.evidence import Grade
from serving.forecast.given import PARTS
from serving.forecast.payoff import spread, spreads
from serving.wire.simulations import (
    ArmOut,
    BandOut,
    DeskOut,
    DownsideOut,
    HourPriceOut,
    PartOut,
    PayoffOut,
    RangeOut,
    SimulationResultOut,
    SliceOut,
    StageOut,
    TimingOut,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.simulate.answer import Answer
    from jobs.simulate.sums import Sums
    from serving.forecast.given import Outcome
    from serving.forecast.hours import PerHour
    from serving.forecast.payoff import Range


def told(found: Answer, id: str) -> SimulationResultOut:
    """Return the answer as a document, under the id of the simulation."""
    question, scenario = found.question, found.question.scenario
    return SimulationResultOut(
        id=id,
        funnel=question.funnel.name,
        description=question.funnel.description,
        as_of=question.as_of,
        step=question.funnel.step_name,
        steps=scenario.horizon,
        draws=scenario.draws,
        seed=scenario.seed,
        against=found.against,
        grade=found.grade,
        coverage=words.coverage(found),
        said=words.said(found),
        arms=[_arm(found, name) for name in found.outcomes],
        plan=plan(found),
    )


def _arm(found: Answer, name: str) -> ArmOut:
    outcome, scenario = found.outcomes[name], found.ways[name].scenario
    grade, measured = scenario.grade(), found.measured(name)
    won, value = (band(each.by_step.sum(axis=2)) for each in measured)
    return ArmOut(
        name=name,
        grade=grade,
        label=Grade.ASSUMPTION if grade is Grade.ASSUMPTION else None,
        won=won,
        value_cents=value,
        parts=list(_parts(measured)),
        slices=list(_slices(found, measured)),
        stages=_stages(found, outcome),
        desks=list(_desks(found, name)),
        evidence=list(evidence(found.ways[name])),
        downside=_downside(found, name, measured),
        payoff=_payoff(found, name) if name in found.payoffs else None,
        hour_prices=list(_hours(found, name)),
    )


def band(by_step: np.ndarray) -> BandOut:
    """Return mean and quantiles of what adds up over the steps: whole numbers [draws, steps]."""
    so_far = by_step.cumsum(axis=1)
    points = np.quantile(so_far, recalibration.QUANTILES, axis=0, method="inverted_cdf")
    names = recalibration.QUANTILE_NAMES
    quantiles = {
        name: row.astype(np.int64).tolist() for name, row in zip(names, points, strict=True)
    }
    return BandOut(mean=so_far.mean(axis=0).tolist(), **quantiles)


def ranged(of: Range | PerHour) -> RangeOut:
    """Return a range as the document has it."""
    return RangeOut(mean=of.mean, low=of.low, high=of.high)


def _parts(measured: tuple[Sums, Sums]) -> Iterator[PartOut]:
    of_part = np.concatenate([np.eye(len(PARTS), dtype=np.int64), np.ones((1, len(PARTS)), int)])
    for part, chosen in zip((*PARTS, answers.ALL), of_part, strict=True):
        won, value = (ranged(spread(each.by_part @ chosen)) for each in measured)
        yield PartOut(part=part, won=won, value_cents=value)


def _slices(found: Answer, measured: tuple[Sums, Sums]) -> Iterator[SliceOut]:
    slices = [each for each in answers.slices(found.names.labels) if each.dimension != answers.ALL]
    if not slices:
        return
    won, value = (
        spreads(np.stack([of_group[:, each.groups].sum(axis=1) for each in slices]))
        for of_group in (counts.by_group.sum(axis=2) for counts in measured)
    )
    for each, units, cents in zip(slices, won, value, strict=True):
        yield SliceOut(
            dimension=each.dimension,
            value=each.value,
            won=ranged(units),
            value_cents=ranged(cents),
        )


def _stages(found: Answer, outcome: Outcome) -> list[StageOut]:
    mean = np.einsum("abcd->bd", outcome.open, dtype=np.int64) / len(outcome.open)
    return [
        StageOut(stage=stage, mean=mean[:, place].tolist())
        for place, stage in enumerate(found.names.stages)
    ]


def _desks(found: Answer, name: str) -> Iterator[DeskOut]:
    """Give the desks that were declared; a system that contacts at once is none."""
    outcome, capacity = found.outcomes[name], found.capacity(name)
    made, waiting = found.made(name).mean(axis=0), outcome.waiting.mean(axis=0)
    for place, desk in enumerate(found.ways[name].scenario.desks):
        yield DeskOut(
            desk=desk.name,
            capacity=capacity[place].tolist(),
            made=made[:, place].tolist(),
            waiting=waiting[:, place].tolist(),
        )


def _downside(found: Answer, name: str, measured: tuple[Sums, Sums]) -> DownsideOut:
    totals = {"won": measured[0].total, "value_cents": measured[1].total}
    least, mean = risk.shortfall(totals["value_cents"])
    goals = found.question.scenario.goals
    return DownsideOut(
        value_at_risk_cents=least,
        shortfall_cents=mean,
        goals={what: risk.reached(totals[what], goal).probability for what, goal in goals.items()},
        loses=found.payoffs[name].loses if name in found.payoffs else None,
    )


def _payoff(found: Answer, name: str) -> PayoffOut:
    each = found.payoffs[name]
    value, _ = payoff.by_step(found.way(found.against), found.way(name))
    return PayoffOut(
        won=ranged(each.won),
        value_cents=ranged(each.value_cents),
        cost_cents=ranged(each.cost_cents),
        gain_cents=ranged(each.gain_cents),
        contacts=each.contacts,
        unsubscribed=each.unsubscribed,
        pays=each.pays,
        steps_to_value=each.steps_to_value,
        timing=TimingOut(**each.timing._asdict()),
        by_step=band(value),
    )


def _hours(found: Answer, name: str) -> Iterator[HourPriceOut]:
    for each in found.hours.get(name, ()):
        yield HourPriceOut(
            desk=each.desk,
            value_cents_per_hour=ranged(each.value_cents),
            won_per_hour=ranged(each.won),
            more_hours=each.more_hours,
        )
