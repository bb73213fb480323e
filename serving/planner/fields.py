"""The fields of the form: what each is called, how it is written, and where a document has it.

What a field may hold is asked of the models of serving/forecast, and said in the field's own unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from cluster.errors import Refusal
from serving.forecast.comparison import Plan
from serving.forecast.evidence import Effect, Response
from serving.forecast.kinds import KINDS, Routed
from serving.forecast.scenario import Desk, Scenario
from serving.planner import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from serving.planner.plain import Codec

type Look = Literal["line", "choice", "ticks", "flag"]
_BOUNDS = (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field. `name` is its place in a document, with a dot for what is inside of another."""

    name: str
    label: str
    codec: Codec = plain.TEXT
    hint: str = ""
    unit: str = ""
    look: Look = "line"
    options: tuple[tuple[str, str], ...] = ()  # values and words
    among: str = ""  # what of the company the ticks are of
    initial: str = ""
    more: bool = False  # seldom needed: folded away


def limits(model: type[BaseModel], member: str) -> dict[str, float]:
    """Return the bounds that a model sets a member: ge, gt, le, lt."""
    found: dict[str, float] = {}
    for each in _metadata(model, member):
        for name, _ in _BOUNDS:
            if (bound := getattr(each, name, None)) is not None:
                found[name] = bound
    return found


def refused(field: Field, bounds: Mapping[str, float], value: Any) -> Refusal | None:
    """Return why a number is too small or too large, in the unit of its field."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    for name, words in _BOUNDS:
        bound = bounds.get(name)
        if bound is not None and not _keeps(name, value, bound):
            rule = f"must be {words} {_shown(field, bound)}"
            return Refusal(rule=rule, value=_shown(field, value), remedy="change it")
    return None


def _keeps(name: str, value: float, bound: float) -> bool:
    return {
        "ge": value >= bound,
        "gt": value > bound,
        "le": value <= bound,
        "lt": value < bound,
    }[name]


def _shown(field: Field, value: float) -> str:
    moved = (Decimal(repr(value)) + field.codec.shift).scaleb(field.codec.scale)
    return f"{plain.digits(moved)} {field.unit}".strip()


def _metadata(model: type[BaseModel], member: str) -> Iterator[Any]:
    found = model.model_fields.get(member)
    if found is None:
        return
    yield from found.metadata
    for part in getattr(found.annotation, "__args__", ()):  # of what may be left out too
        yield from getattr(part, "__metadata__", ())


def model_of(kind: str, name: str) -> tuple[type[BaseModel], str]:
    """Return the model that a field of a kind of lever is validated by, and the member's name."""
    head, _, tail = name.partition(".")
    inside: dict[str, type[BaseModel]] = {"effect": Effect, "response": Response, "routed": Routed}
    if tail and head in inside:
        return inside[head], tail
    return OWNERS[kind], name


OWNERS: dict[str, type[BaseModel]] = {**KINDS, "desk": Desk, "top": Scenario, "plan": Plan}

_WEEKDAYS = (
    *(("mon", "Monday"), ("tue", "Tuesday"), ("wed", "Wednesday"), ("thu", "Thursday")),
    *(("fri", "Friday"), ("sat", "Saturday"), ("sun", "Sunday")),
)
_QUEUES = (
    ("fifo", "who has waited longest"),
    ("freshest", "who came last"),
    ("priority", "the highest score"),
)
TICKS = plain.Codec(read=str, show=str)

TOP = (
    Field(name="funnel", label="Funnel", look="choice", among="funnels", initial="sales"),
    Field(name="horizon", label="How far to look", codec=plain.WHOLE, unit="{step}s", initial="26"),
    Field(
        name="draws", label="Simulated futures", codec=plain.WHOLE, initial="1000",
        hint="More make intervals steadier and take longer: 200 for a first look, 1000 to decide.",
    ),
    Field(
        name="as_of", label="As known at", more=True,
        hint="Empty: all that is known now. Else a date, or a time with its zone.",
    ),
    Field(name="goal_won", label="Goal: won deals", codec=plain.WHOLE, more=True,
          hint="You get the chance to reach it by the end."),
    Field(name="goal_value", label="Goal: value won", codec=plain.whole(-5), more=True,
          unit="thousand", hint="The same of the value."),
    Field(name="fading", label="Felt of a contact one {step} later", codec=plain.PERCENT, unit="%",
          initial="80", more=True, hint="How fast contacts stop to annoy or to bore."),
    Field(name="seed", label="Seed", codec=plain.WHOLE, initial="1", more=True,
          hint="The same seed gives the same luck."),
)  # fmt: skip
DESK = (
    Field(name="name", label="Name", initial="outreach"),
    Field(name="reps", label="Reps", codec=plain.WHOLE, initial="3"),
    Field(name="contacts_per_day", label="Contacts a day, each rep", codec=plain.NUMBER,
          initial="4"),
    Field(name="queue", label="Contacts first", codec=plain.chosen([q for q, _ in _QUEUES]),
          look="choice", options=_QUEUES, initial="fifo"),
    Field(name="teams", label="Serves the teams", codec=TICKS, look="ticks", among="teams",
          hint="None ticked: all that no other desk serves.", more=True),
    Field(name="weekdays", label="Works on", codec=TICKS, look="ticks", options=_WEEKDAYS,
          initial="mon,tue,wed,thu,fri", more=True),
    Field(name="holidays", label="Holidays", codec=plain.DAYS, hint="2026-04-03, 2026-04-06",
          more=True),
    Field(name="away", label="Reps away", codec=plain.AWAY, hint="2026-03-02 to 2026-03-06: 2",
          more=True),
)  # fmt: skip
