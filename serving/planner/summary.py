"""A result in sentences and tables, as a planner reads it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from serving.planner import charts, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving.wire.simulations import ArmOut, PayoffOut, SimulationResultOut

ASSUMPTION = "assumption"
_UNIT = re.compile(r"(?<=\d) (?=[k%]\b|%)")  # between a number and its unit no line ends
_GRADES = {
    None: "no assumed effect",
    "randomised": "E1 randomised here",
    "observational": "E2 from history",
    "assumption": "E3 assumption",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a scenario comes to, in one line."""

    name: str
    label: str  # what its effects rest on
    badge: str  # of which class: e1, e2, e3, none
    is_assumed: bool
    is_worse: bool
    said: str


class Line(NamedTuple):
    """A line of a table: its heading, what it means, and a text for each scenario."""

    heading: str
    hint: str
    cells: list[str]


def grade(word: str | None) -> str:
    """Return what an effect rests on, in words."""
    return _GRADES.get(word, str(word))


def badge(word: str | None) -> str:
    """Return the class of the badge of a grade."""
    return {"randomised": "e1", "observational": "e2", ASSUMPTION: "e3"}.get(str(word), "none")


def verdicts(result: SimulationResultOut) -> list[Verdict]:
    """Return each scenario against what it is compared with."""
    return [_verdict(result, arm) for arm in charts.others(result)]


def _verdict(result: SimulationResultOut, arm: ArmOut) -> Verdict:
    found = arm.payoff
    assumed = arm.label == ASSUMPTION or arm.grade == ASSUMPTION
    if found is None:
        return Verdict(
            name=told.name(arm.name), label=grade(arm.grade), badge=badge(arm.grade),
            is_assumed=assumed, is_worse=False, said="",
        )  # fmt: skip
    said = (
        f"{told.counts(found.won, sign=True)} won deals and"
        f" {told.amounts(found.value_cents, sign=True)} in value by the end, {_cost(found)}."
        f" It pays with a chance of {told.chance(found.pays)}"
    )
    said += _soon(found, result.step)
    return Verdict(
        name=told.name(arm.name),
        label=grade(arm.grade),
        badge=badge(arm.grade),
        is_assumed=assumed,
        is_worse=found.gain_cents.mean < 0,
        said=_UNIT.sub("\N{NO-BREAK SPACE}", said),
    )


def _soon(found: PayoffOut, step: str) -> str:
    first = found.steps_to_value
    if first is None:
        return "; on average it is never ahead within this horizon."
    if found.gain_cents.mean < 0:
        return f"; on average it is ahead in {step} {first}, and behind by the end."
    return f"; on average it is ahead from {step} {first}."


def _cost(found: PayoffOut) -> str:
    mean = found.cost_cents.mean
    return f"at a cost of {told.money(mean)}" if mean >= 50 else "at no cost"


def payoffs(result: SimulationResultOut) -> tuple[list[str], list[Line]]:
    """Return the names of the scenarios, and line by line what they bring."""
    shown = [arm for arm in charts.others(result) if arm.payoff is not None]
    timing = _timing() if any(_of(arm).timing for arm in shown) else ()
    lines = [*_brings(result), *_costs(result), *timing, *_risk(shown)]
    made = [Line(heading, hint, [say(arm) for arm in shown]) for heading, hint, say in lines]
    goals = [
        Line(f"Chance of the goal: {words}", "", [_goal(arm, key) for arm in shown])
        for key, words in (("won", "won deals"), ("value_cents", "value"))
        if any(key in arm.downside.goals for arm in shown)
    ]
    return [told.name(arm.name) for arm in shown], made + goals


type _Said = tuple[str, str, Callable[[ArmOut], str]]


def _brings(result: SimulationResultOut) -> Iterator[_Said]:
    base = told.name(result.against)
    yield "Won deals more", f"than {base}", lambda arm: told.counts(_of(arm).won, sign=True)
    yield "Value more", "", lambda arm: told.amounts(_of(arm).value_cents, sign=True)
    yield "Cost", "", lambda arm: told.amounts(_of(arm).cost_cents)
    yield "Gain", "value less cost", lambda arm: told.amounts(_of(arm).gain_cents, sign=True)
    yield "Chance that it pays", "", lambda arm: told.chance(_of(arm).pays)


def _costs(result: SimulationResultOut) -> Iterator[_Said]:
    soon = f"first {result.step} whose mean gain is above 0"
    yield "First ahead", soon, lambda arm: _ahead(arm, result.step)
    yield "Contacts", "", lambda arm: told.count(round(_of(arm).contacts))
    yield "Want no more contact", "", lambda arm: told.count(_of(arm).unsubscribed)
    if any(arm.hour_prices for arm in result.arms):
        yield "Value of one more hour", "of a rep, by desk", _hours


def _timing() -> Iterator[_Said]:
    yield "Won earlier", "in both, sooner here", lambda arm: _time(arm, "earlier")
    yield "Won later", "in both, later here", lambda arm: _time(arm, "later")
    yield "Won here alone", "", lambda arm: _time(arm, "more")
    yield "Displaced", "won without it: hands were elsewhere", lambda arm: _time(arm, "displaced")


def _risk(shown: list[ArmOut]) -> Iterator[_Said]:
    bad = "1 future in 20 brings less"
    yield "Value in a bad case", bad, lambda arm: told.money(arm.downside.value_at_risk_cents)
    mean = "mean of those futures"
    yield "Value in all bad cases", mean, lambda arm: told.money(arm.downside.shortfall_cents)
    if any(arm.downside.loses is not None for arm in shown):
        yield "Chance that it loses money", "", _loses


def _ahead(arm: ArmOut, step: str) -> str:
    found = _of(arm).steps_to_value
    return told.NOT_YET if found is None else f"{step} {found}"


def _of(arm: ArmOut) -> PayoffOut:
    assert arm.payoff is not None
    return arm.payoff


def _time(arm: ArmOut, name: str) -> str:
    timing = _of(arm).timing
    return told.NONE if timing is None else told.count(round(getattr(timing, name), 1))


def _loses(arm: ArmOut) -> str:
    return told.NONE if arm.downside.loses is None else told.chance(arm.downside.loses)


def _goal(arm: ArmOut, key: str) -> str:
    return told.chance(arm.downside.goals[key]) if key in arm.downside.goals else told.NONE


def _hours(arm: ArmOut) -> str:
    found = [
        f"{each.desk}: {told.precise(each.value_cents_per_hour.mean)}"
        f" ({told.precise(each.value_cents_per_hour.low)} to"
        f" {told.precise(each.value_cents_per_hour.high)})"
        for each in arm.hour_prices
    ]
    return "; ".join(found) or told.NONE


class Basis(NamedTuple):
    """What a lever does, and how that is known."""

    scenario: str
    lever: str
    code: str
    is_assumed: bool
    ratio: str
    interval: str
    said: str


def evidence(result: SimulationResultOut) -> list[Basis]:
    """Return what every lever of every scenario rests on."""
    return [
        Basis(
            scenario=told.name(arm.name),
            lever=each.lever,
            code=each.code or told.NONE,
            is_assumed=each.grade == ASSUMPTION,
            ratio=told.factor(each.ratio),
            interval=_within(each.low, each.high),
            said=each.said,
        )
        for arm in result.arms
        for each in arm.evidence
    ]


def _within(low: float | None, high: float | None) -> str:
    return told.NONE if low is None or high is None else f"{low:.2f} to {high:.2f}"


class Share(NamedTuple):
    """What falls to a segment, a team or an owner."""

    value: str
    cells: list[str]


def slices(result: SimulationResultOut) -> list[tuple[str, list[Share]]]:
    """Return for each dimension what falls to each of its values, in value, by scenario."""
    found: dict[str, dict[str, list[str]]] = {}
    for place, arm in enumerate(result.arms):
        for each in arm.slices:
            cells = found.setdefault(each.dimension, {}).setdefault(
                each.value or "unknown", [told.NONE] * len(result.arms)
            )
            cells[place] = told.amounts(each.value_cents)
    return [(name, [Share(*each) for each in rows.items()]) for name, rows in found.items()]
