"""The form as it is filled in: texts by place, and what the buttons of the form do to it. Pure.

A place is `horizon`, `d0.reps` (of a desk), `s1.name` (of a scenario) or `s1.l0.rate` (of its
lever). Values are lists of texts: boxes that are ticked give several.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from serving.forecast.comparison import MOST_SCENARIOS
from serving.forecast.scenario import MOST_LEVERS
from serving.planner.fields import DESK, TOP
from serving.planner.levers import FIELDS, LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from serving.planner.fields import Field

MOST_DESKS = 20
MOST_VALUES, LONGEST_VALUE = 60, 400  # of one place; characters
_PLACE = re.compile(r"(?:([ds])(\d{1,2})\.(?:l(\d{1,2})\.)?)?([a-z_]{1,30}(?:\.[a-z_]{1,20})?)")

type Row = dict[str, tuple[str, ...]]  # texts by the name of a field


@dataclass(frozen=True, kw_only=True)
class Column:
    """A scenario as it is filled in."""

    own: Row
    levers: tuple[Row, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A comparison as it is filled in."""

    top: Row
    desks: tuple[Row, ...] = ()
    scenarios: tuple[Column, ...] = ()


def one(row: Mapping[str, Sequence[str]], name: str) -> str:
    """Return the text of a field; empty if nothing was written."""
    return next(iter(row.get(name, ())), "").strip()


def parsed(texts: Mapping[str, Sequence[str]]) -> Sheet:
    """Return the form of what a browser sent; what has no place in it is left out."""
    top: Row = {}
    desks: dict[int, Row] = {}
    scenarios: dict[int, tuple[Row, dict[int, Row]]] = {}
    for place, values in texts.items():
        found = _PLACE.fullmatch(place)
        if found is None:
            continue
        of, number, lever, name = found.groups()
        kept = tuple(value[:LONGEST_VALUE] for value in values[:MOST_VALUES])
        if of is None:
            top[name] = kept
        elif of == "d":
            desks.setdefault(int(number), {})[name] = kept
        else:
            own, levers = scenarios.setdefault(int(number), ({}, {}))
            (own if lever is None else levers.setdefault(int(lever), {}))[name] = kept
    return Sheet(
        top=top,
        desks=tuple(_ordered(desks))[:MOST_DESKS],
        scenarios=tuple(
            Column(own=own, levers=tuple(_ordered(levers))[:MOST_LEVERS])
            for own, levers in _ordered(scenarios)
        )[:MOST_SCENARIOS],
    )


def flat(sheet: Sheet) -> dict[str, tuple[str, ...]]:
    """Return what a browser would send of a form."""
    found = dict(sheet.top)
    for number, desk in enumerate(sheet.desks):
        found |= {f"d{number}.{name}": values for name, values in desk.items()}
    for number, column in enumerate(sheet.scenarios):
        found |= {f"s{number}.{name}": values for name, values in column.own.items()}
        for place, lever in enumerate(column.levers):
            found |= {f"s{number}.l{place}.{name}": values for name, values in lever.items()}
    return found


def initial(fields: Iterable[Field]) -> Row:
    """Return the fields as they are before anybody writes into them."""
    return {each.name: _values(each) for each in fields}


def empty() -> Sheet:
    """Return the form of business as usual and of no scenario yet."""
    return Sheet(top={**initial(TOP), "against": ("baseline",)})


def new_lever(kind: str) -> Row:
    """Return a lever of a kind."""
    return {"kind": (kind,), **initial(FIELDS[kind])}


def changed(sheet: Sheet, do: str) -> Sheet:
    """Return the form after a button: `add-scenario`, `add-desk`, `add-lever:1:outreach`,
    `drop-lever:1:0`, `drop-scenario:1`, `copy-scenario:1`, `drop-desk:0`; as it was for others.
    """
    word, *rest = do.split(":")
    numbers = [int(each) for each in rest if each.isdecimal() and len(each) < 4]
    if word == "add-desk" and len(sheet.desks) < MOST_DESKS:
        name = "outreach" if not sheet.desks else f"desk {len(sheet.desks) + 1}"
        return replace(sheet, desks=(*sheet.desks, {**initial(DESK), "name": (name,)}))
    if word == "drop-desk" and numbers:
        return replace(sheet, desks=_without(sheet.desks, numbers[0]))
    return replace(sheet, scenarios=_changed(sheet.scenarios, word, numbers, rest))


def joined(sheet: Sheet, more: Sheet) -> Sheet:
    """Return a form with the scenarios of another too, and with its desks where they have names of
    their own.
    """
    names = {one(each, "name") for each in sheet.desks}
    desks = [each for each in more.desks if one(each, "name") not in names]
    return Sheet(
        top=sheet.top,
        desks=(*sheet.desks, *desks)[:MOST_DESKS],
        scenarios=(*sheet.scenarios, *more.scenarios)[:MOST_SCENARIOS],
    )


def _changed(
    scenarios: tuple[Column, ...], word: str, numbers: list[int], rest: list[str]
) -> tuple[Column, ...]:
    if word == "add-scenario" and len(scenarios) < MOST_SCENARIOS:
        return (*scenarios, Column(own={"name": (_free("scenario", scenarios),)}))
    if not numbers or numbers[0] >= len(scenarios):
        return scenarios
    place, column = numbers[0], scenarios[numbers[0]]
    if word == "drop-scenario":
        return _without(scenarios, place)
    if word == "copy-scenario" and len(scenarios) < MOST_SCENARIOS:
        name = _free(f"{one(column.own, 'name')} copy".strip(), scenarios)
        return (*scenarios, replace(column, own={**column.own, "name": (name,)}))
    if word == "add-lever" and rest[-1] in LABELS and len(column.levers) < MOST_LEVERS:
        column = replace(column, levers=(*column.levers, new_lever(rest[-1])))
    if word == "drop-lever" and len(numbers) > 1:
        column = replace(column, levers=_without(column.levers, numbers[1]))
    return (*scenarios[:place], column, *scenarios[place + 1 :])


def _free(name: str, scenarios: Sequence[Column]) -> str:
    """Return a name that no scenario has."""
    taken = {one(each.own, "name") for each in scenarios}
    numbers = range(2, len(scenarios) + 3)
    return next(n for n in (name, *(f"{name} {k}" for k in numbers)) if n not in taken)


def _without[T](rows: tuple[T, ...], place: int) -> tuple[T, ...]:
    return rows[:place] + rows[place + 1 :]


def _ordered[T](by_number: Mapping[int, T]) -> list[T]:
    return [by_number[number] for number in sorted(by_number)]


def _values(field: Field) -> tuple[str, ...]:
    if field.look == "ticks":
        return tuple(filter(None, field.initial.split(",")))
    return (field.initial,)
