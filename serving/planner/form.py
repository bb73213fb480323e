"""From the form to what is asked, with one line for whatever is wrong beside its field. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cluster.errors import FunnelcastError, Refusal
from serving.forecast.comparison import Comparison
from serving.forecast.evidence import Effect, Response
from serving.forecast.kinds import KINDS
from serving.forecast.scenario import BASELINE, Desk, Scenario
from serving.planner import fields, plain
from serving.planner.fields import DESK, TOP, Field
from serving.planner.levers import BY, ESTIMATED, FIELDS, OFTEN, STATED
from serving.planner.sheet import Row, Sheet, one
from serving.wire.simulations import SimulationRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

type Problems = dict[str, str]  # what is wrong, by place
type Document = dict[str, Any]

FORM = ""  # the place of what is wrong with the whole
_SHARED = ("funnel", "horizon", "draws", "seed", "fading")


@dataclass
class Reading:
    """What was read of a form so far, and what was wrong."""

    problems: Problems = field(default_factory=dict)
    horizon: int | None = None

    def wrong(self, place: str, said: object) -> None:
        """Keep what is wrong; the first of a place counts."""
        self.problems.setdefault(place, str(said))

    def of(self, begin: str) -> bool:
        """Is anything wrong below a place?"""
        return any(each.startswith(begin) for each in self.problems)


def read(sheet: Sheet) -> SimulationRequest | Problems:
    """Return what a form asks, or what is wrong with it."""
    reading = Reading()
    shared = _shared(reading, sheet)
    reading.horizon = shared.get("horizon")
    desks = [_desk(reading, desk, f"d{number}.") for number, desk in enumerate(sheet.desks)]
    scenarios = [_scenario(reading, sheet, number) for number in range(len(sheet.scenarios))]
    if not scenarios:
        reading.wrong(FORM, "there must be a scenario to compare with business as usual: add one")
    if reading.problems:
        return reading.problems
    documents = [{**shared, "desks": desks, **each} for each in scenarios]
    for number, document in enumerate(documents):
        _validated(reading, Scenario, document, f"s{number}.name")
    return reading.problems or _request(reading, sheet, documents)


def _request(
    reading: Reading, sheet: Sheet, documents: list[Document]
) -> SimulationRequest | Problems:
    more = {"against": against(one(sheet.top, "against")), "hour_price": _ticked(sheet, "hour")}
    if more["against"] not in (BASELINE, *(each["name"] for each in documents)):
        rule, remedy = "must be business as usual or one of the scenarios", "choose again"
        reading.wrong("against", plain.wrong(rule, one(sheet.top, "against"), remedy))
    if _ticked(sheet, "plan"):
        more["plan"] = _plan(reading, sheet)
    if reading.problems:
        return reading.problems
    asked = {**more, "scenarios": documents}
    _validated(reading, Comparison, asked, FORM)
    if reading.problems:
        return reading.problems
    return SimulationRequest.model_validate({**asked, "as_of": moment(one(sheet.top, "as_of"))})


def against(text: str) -> str:
    """Return the name of what scenarios are compared with, as documents have it."""
    return plain.name_of(text) or BASELINE


def moment(text: str) -> datetime | Refusal | None:
    """Read a date (its end, UTC) or a time with its zone; None of an empty text."""
    if not text:
        return None
    rule, remedy = "must be a date, or a time with its zone", "write 2026-03-31"
    try:
        found = datetime.fromisoformat(
            f"{text}T00:00:00Z" if len(text) == len("2026-03-31") else text
        )
    except ValueError:
        return plain.wrong(rule, text, remedy)
    if found.tzinfo is None:
        return plain.wrong(rule, text, remedy)
    return found.astimezone(UTC)


def _ticked(sheet: Sheet, name: str) -> bool:
    return one(sheet.top, name) == "yes"


def _plan(reading: Reading, sheet: Sheet) -> Document:
    scenario, budget = one(sheet.top, "plan_of"), one(sheet.top, "plan_budget")
    names = [plain.name_of(one(each.own, "name")) for each in sheet.scenarios]
    if plain.name_of(scenario) not in names:
        reading.wrong(
            "plan_of", plain.wrong("must be one of the scenarios", scenario, "choose one")
        )
    cents = plain.MONEY.read(budget) if budget else plain.wrong("must be given", "", "write it")
    if isinstance(cents, Refusal):
        reading.wrong("plan_budget", cents)
    elif cents < 0:
        reading.wrong("plan_budget", plain.wrong("must be at least 0", budget, "change it"))
    return {"scenario": plain.name_of(scenario), "budget_cents": cents}


def _shared(reading: Reading, sheet: Sheet) -> Document:
    found = _row(reading, "top", sheet.top, TOP, "")
    at = moment(one(sheet.top, "as_of"))
    if isinstance(at, Refusal):
        reading.wrong("as_of", at)
    goals = {"won": found.get("goal_won"), "value_cents": found.get("goal_value")}
    said = {name: found[name] for name in _SHARED if name in found}
    return {**said, "goals": {name: goal for name, goal in goals.items() if goal is not None}}


def _desk(reading: Reading, row: Row, place: str) -> Document:
    found = _row(reading, "desk", row, DESK, place)
    if "name" not in found:
        reading.wrong(f"{place}name", "must be given: call it something")
    _validated(reading, Desk, found, place, inside=True)
    return found


def _scenario(reading: Reading, sheet: Sheet, number: int) -> Document:
    column, place = sheet.scenarios[number], f"s{number}."
    name = plain.name_of(one(column.own, "name"))
    if not name:
        reading.wrong(f"{place}name", "must be given: call it something")
    names = [plain.name_of(one(each.own, "name")) for each in sheet.scenarios]
    if names.index(name) < number:
        reading.wrong(f"{place}name", "must be its own: another scenario has it, change one")
    pulled = [
        _lever(reading, lever, f"{place}l{which}.") for which, lever in enumerate(column.levers)
    ]
    return {"name": name, "levers": pulled}


def _lever(reading: Reading, row: Row, place: str) -> Document:
    kind = one(row, "kind")
    if kind not in FIELDS:
        reading.wrong(f"{place}kind", plain.wrong("must be a lever that there is", kind, "drop it"))
        return {}
    found = _row(reading, kind, row, tuple(_asked(kind, row)), place)
    document = _nested({"kind": kind, **found})
    for name in ("effect", "response"):
        if f"{name}.{BY}" in row:
            document[name] = _evidence(row, name, document.get(name, {}))
    if not document.get("routed", {}).get("policy"):
        document.pop("routed", None)
    _look_together(reading, row, found, place)
    for name, model in (("effect", Effect), ("response", Response)):
        if isinstance(document.get(name), dict):
            _validated(reading, model, document[name], f"{place}{name}.", inside=True)
    # what is wrong with its evidence hides nothing else that is wrong
    told = {name: ESTIMATED for name in ("effect", "response") if reading.of(f"{place}{name}.")}
    _validated(reading, KINDS[kind], {**document, **told}, place, inside=True)
    return document


def _look_together(reading: Reading, row: Row, found: Document, place: str) -> None:
    """Keep what is wrong with two fields, beside the one to be changed."""
    often = one(row, OFTEN)
    if often in ("more", "rate") and often not in found:
        reading.wrong(place + often, "must be given: write it")
    first, last = found.get("first_step", 0), found.get("last_step")
    if last is not None and last < first:
        said = f"must not be before {first + 1}, got {last + 1}: change one of both"
        reading.wrong(f"{place}last_step", said)
    if reading.horizon is not None and first >= reading.horizon:
        said = f"must be one of the {reading.horizon} {{step}}s that are looked at, got {first + 1}"
        reading.wrong(f"{place}first_step", f"{said}: pull it earlier, or look further")


def _asked(kind: str, row: Row) -> Iterator[Field]:
    """Give the fields of a lever that count: of two ways to say a thing the one that is chosen."""
    for each in FIELDS[kind]:
        head, _, tail = each.name.partition(".")
        if each.name == OFTEN or tail == BY:
            continue
        if OFTEN in row and each.name in ("more", "rate") and each.name != one(row, OFTEN):
            continue
        if head in ("effect", "response") and one(row, f"{head}.{BY}") != STATED:
            continue
        yield each


def _evidence(row: Row, name: str, stated: Document) -> Document | str:
    if one(row, f"{name}.{BY}") != STATED:
        return ESTIMATED
    return {**stated, "grade": "assumption"}


def _row(
    reading: Reading, kind: str, row: Row, of: tuple[Field, ...], place: str
) -> dict[str, Any]:
    """Read the fields of a row; those that are empty are left out."""
    found = {}
    for each in of:
        value = _value(kind, each, row)
        if isinstance(value, Refusal):
            reading.wrong(f"{place}{each.name}", value)
        elif value is not None:
            found[each.name] = value
    return found


def _value(kind: str, of: Field, row: Row) -> Any:
    """Return the value of a field; None where nothing is written, a Refusal where it is wrong."""
    if of.look == "ticks":
        ticked = [of.codec.read(text) for text in row.get(of.name, ()) if text]
        return next((each for each in ticked if isinstance(each, Refusal)), ticked)
    if not (text := one(row, of.name)):
        return None
    found = of.codec.read(text)
    if isinstance(found, Refusal):
        return found
    if of.name.endswith("at_least"):
        found = dict(found)
    bounds = fields.limits(*fields.model_of(kind, of.name))
    beyond = fields.refused(of, bounds, found)
    return found if beyond is None else beyond


def _nested(said: Mapping[str, Any]) -> Document:
    found: Document = {}
    for name, value in said.items():
        head, _, tail = name.partition(".")
        if tail:
            found.setdefault(head, {})[tail] = value
        else:
            found[head] = value
    return found


def _validated(
    reading: Reading, model: type[BaseModel], said: Document, place: str, *, inside: bool = False
) -> None:
    """Let a model look at what was read; what is wrong goes to its field, or to the place."""
    try:
        model.model_validate(said)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            if not each["loc"] and inside and reading.of(place):
                continue  # of what was left out because it is wrong by itself
            reading.wrong(place + _place(each["loc"]) if inside else place, _said(each))
    except FunnelcastError as error:
        reading.wrong(place, str(error))


def _place(loc: tuple[int | str, ...]) -> str:
    names = [str(part) for part in loc if isinstance(part, str)]
    return (
        ".".join(names[:2])
        if names and names[0] in ("effect", "response", "routed")
        else (names[0] if names else "")
    )


def _said(error: Any) -> str:
    if error["type"] == "missing":
        return "must be given: write it"
    if error["type"] == "too_short":
        return "must be chosen: tick at least one"
    if error["type"] == "string_pattern_mismatch":
        is_word = str(error["ctx"]["pattern"]).startswith("^[a-z0-9")
        rule = "small letters, digits, - and _" if is_word else "letters, digits, spaces and .,%+-"
        return f"must be {rule}: write it so"
    return str(error["msg"]).removeprefix("Value error, ")
