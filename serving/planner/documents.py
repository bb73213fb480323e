"""From what is asked to the form, be it a file, a draft or a simulation of before. Pure.

Reading the form again gives the same question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster.errors import WrongUse
from serving.forecast.evidence import ESTIMATED
from serving.planner import plain
from serving.planner.fields import DESK, TOP, Field
from serving.planner.levers import BY, FIELDS, OFTEN, STATED
from serving.planner.levers import ESTIMATED as MEASURED
from serving.planner.sheet import Column, Row, Sheet, empty, initial, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from serving.forecast.kinds import Lever
    from serving.forecast.scenario import Desk, Scenario
    from serving.wire.simulations import SimulationRequest

_EVIDENCE = {"outreach": "effect", "price": "effect", "campaign": "response"}


def filled(scenarios: Sequence[Scenario], asked: SimulationRequest | None = None) -> Sheet:
    """Return the form of some scenarios of one funnel; WrongUse if desks of one name differ."""
    first = scenarios[0]
    said = first.model_dump(mode="json")
    top = initial(TOP) | _row(TOP, {n: said[n] for n in said if n not in ("goals", "desks")})
    top |= _row(
        TOP, {"goal_won": first.goals.get("won"), "goal_value": first.goals.get("value_cents")}
    )
    return Sheet(
        top={**top, **_more(asked)},
        desks=tuple(_desk(each) for each in desks_of(scenarios)),
        scenarios=tuple(column(each) for each in scenarios),
    )


def column(scenario: Scenario) -> Column:
    """Return a scenario as it is filled in."""
    own: Row = {"name": (plain.words_of(scenario.name),)}
    return Column(own=own, levers=tuple(_lever(each) for each in scenario.levers))


def added(sheet: Sheet, scenario: Scenario) -> Sheet:
    """Return a form with a scenario more, and with its desks where they have names of their own."""
    if not sheet.scenarios and sheet.top == empty().top and not sheet.desks:
        return filled([scenario])
    return joined(sheet, filled([scenario]))


def desks_of(scenarios: Iterable[Scenario]) -> list[Desk]:
    """Return the desks of some scenarios: a company has each of them once."""
    found: dict[str, Desk] = {}
    for desk in (each for scenario in scenarios for each in scenario.desks):
        if found.setdefault(desk.name, desk) != desk:
            raise WrongUse(
                f"a desk must be the same in all scenarios of a comparison, got '{desk.name}' in"
                " two ways: change it by a lever instead"
            )
    return list(found.values())


def _more(asked: SimulationRequest | None) -> Row:
    if asked is None:
        return {"against": ("baseline",)}
    row: Row = {"against": (plain.words_of(asked.against),)}
    if asked.as_of is not None:
        row["as_of"] = (asked.as_of.isoformat(),)
    if asked.hour_price:
        row["hour"] = ("yes",)
    if asked.plan is not None:
        row |= {"plan": ("yes",), "plan_of": (plain.words_of(asked.plan.scenario),)}
        row["plan_budget"] = (plain.MONEY.show(asked.plan.budget_cents),)
    return row


def _desk(desk: Desk) -> Row:
    return _row(DESK, desk.model_dump(mode="json"))


def _lever(lever: Lever) -> Row:
    said = lever.model_dump(mode="json")
    name = _EVIDENCE.get(lever.kind)
    row: Row = {"kind": (lever.kind,)}
    if name is not None:
        evidence = said.pop(name)
        row[f"{name}.{BY}"] = (MEASURED if evidence == ESTIMATED else STATED,)
        said |= _flat(name, evidence) if isinstance(evidence, dict) else {}
    if isinstance(routed := said.pop("routed", None), dict):
        said |= _flat("routed", {**routed, "at_least": list(routed["at_least"].items())})
    if lever.kind == "outreach":
        row[OFTEN] = ("rate" if said["more"] is None else "more",)
    return initial(FIELDS[lever.kind]) | _row(FIELDS[lever.kind], said) | row


def _flat(head: str, said: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{head}.{name}": value for name, value in said.items()}


def _row(of: Iterable[Field], said: Mapping[str, Any]) -> Row:
    return {each.name: _texts(each, said[each.name]) for each in of if each.name in said}


def _texts(of: Field, value: Any) -> tuple[str, ...]:
    if value is None:
        return ("",)
    if of.look == "ticks":
        return tuple(map(str, value))
    if of.name == "routed.at_least":
        return (", ".join(f"{route}={least!r}" for route, least in value),)
    return (of.codec.show(value),)
