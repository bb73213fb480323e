"""The form as its page shows it: every field with its words, its texts and what is wrong. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.planner import plain
from serving.planner.fields import DESK, TOP, Field
from serving.planner.levers import BY, FIELDS, LABELS, OFTEN, WHAT
from serving.planner.sheet import Sheet, one

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from serving.planner.form import Problems
    from serving.planner.sheet import Column, Row

type Words = tuple[tuple[str, str], ...]  # values, and words for them
BASELINE = "business as usual"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the company has to choose from, and what a step of its funnel is called."""

    step: str = "week"
    funnels: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    bands: int = 0

    def among(self, what: str, desks: Iterable[str]) -> tuple[str, ...]:
        """Return what there is of something."""
        by_name = {
            "funnels": self.funnels,
            "stages": self.stages,
            "begins": self.begins,
            "segments": self.segments,
            "teams": self.teams,
            "bands": tuple(str(band + 1) for band in range(self.bands)),
            "desks": tuple(desks),
        }
        return by_name.get(what, ())


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One field on the page."""

    place: str
    label: str
    look: str
    values: tuple[str, ...]
    hint: str = ""
    unit: str = ""
    options: Words = ()
    problem: str = ""
    more: bool = False
    part: str = ""  # of a lever: who, when, effect and so on
    only: str = ""  # it counts only if this is chosen, as `often-rate`

    @property
    def id(self) -> str:
        """The id of its element."""
        return f"f-{self.place.replace('.', '-')}"

    @property
    def is_worth_asking(self) -> bool:
        """Is there anything to tick?"""
        return bool(self.values or self.problem or [value for value, _ in self.options if value])

    @property
    def text(self) -> str:
        """Its one text."""
        return self.values[0] if self.values else ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Fields that belong together: of a desk, or of a lever."""

    place: str
    kind: str
    title: str
    what: str
    fields: tuple[Shown, ...]
    action: str = ""  # whose effect may be measured

    def of(self, *parts: str) -> list[Shown]:
        """Return the fields of some parts that are not folded away."""
        return [each for each in self.fields if each.part in parts and not each.more]

    @property
    def folded(self) -> list[Shown]:
        """Those that are seldom needed."""
        return [each for each in self.fields if each.more]

    @property
    def has_problem(self) -> bool:
        """Is anything wrong among what is folded away?"""
        return any(each.problem for each in self.folded)


@dataclass(frozen=True, kw_only=True)
class Card:
    """A scenario on the page."""

    number: int
    name: Shown
    levers: tuple[Group, ...]


@dataclass(frozen=True, kw_only=True)
class View:
    """All of the form."""

    top: Group
    desks: tuple[Group, ...]
    cards: tuple[Card, ...]
    against: Shown
    hour: Shown
    plan: tuple[Shown, ...]
    problems: tuple[tuple[str, str, str], ...]  # id, label, what is wrong: in the order of the page


class _Making:
    """What the parts of a view are made with."""

    def __init__(self, sheet: Sheet, problems: Problems, choices: Choices) -> None:
        self.problems, self.choices = problems, choices
        self.desks = [one(desk, "name") for desk in sheet.desks]

    def words(self, text: str) -> str:
        return text.replace("{step}", self.choices.step)

    def shown(self, field: Field, row: Row, place: str, *, part: str = "", only: str = "") -> Shown:
        values = tuple(row.get(field.name, ()))
        return Shown(
            place=place + field.name,
            label=self.words(field.label),
            look=field.look,
            values=values,
            hint=self.words(field.hint),
            unit=self.words(field.unit),
            options=self._options(field, values),
            problem=self.words(self.problems.get(place + field.name, "")),
            more=field.more,
            part=part,
            only=only,
        )

    def _options(self, field: Field, values: tuple[str, ...]) -> Words:
        if field.options:
            return tuple((value, self.words(words)) for value, words in field.options)
        there = self.choices.among(field.among, self.desks) if field.among else ()
        stray = [value for value in values if value and value not in there]
        found = [*there, *(stray if field.among else ())]
        return tuple((value, spoken(value, field.among)) for value in found)


def spoken(value: str, among: str) -> str:
    """Return the words for a value of the company's."""
    if not value:
        return "unknown"
    return f"band {value}" if among == "bands" else value.replace("_", " ")


def made(sheet: Sheet, problems: Problems, choices: Choices) -> View:
    """Return a form as its page shows it."""
    making = _Making(sheet, problems, choices)
    top = Group(
        place="",
        kind="top",
        title="",
        what="",
        fields=tuple(making.shown(field, sheet.top, "") for field in TOP),
    )
    desks = tuple(_desk(making, desk, number) for number, desk in enumerate(sheet.desks))
    cards = tuple(_card(making, each, number) for number, each in enumerate(sheet.scenarios))
    names = [one(each.own, "name") for each in sheet.scenarios]
    hour, plan = _hour(making, sheet), _plan(making, sheet, names)
    view = View(
        top=top,
        desks=desks,
        cards=cards,
        against=_against(making, sheet, names),
        hour=hour,
        plan=plan,
        problems=(),
    )
    return View(**{**vars(view), "problems": tuple(_told(view, making))})


def _desk(making: _Making, row: Row, number: int) -> Group:
    place = f"d{number}."
    return Group(
        place=place,
        kind="desk",
        title=one(row, "name") or f"desk {number + 1}",
        what="",
        fields=tuple(making.shown(field, row, place) for field in DESK),
    )


def _card(making: _Making, column: Column, number: int) -> Card:
    name = Field(name="name", label="Name of the scenario")
    place = f"s{number}."
    groups = (_lever(making, row, f"{place}l{n}.") for n, row in enumerate(column.levers))
    return Card(number=number, name=making.shown(name, column.own, place), levers=tuple(groups))


def _lever(making: _Making, row: Row, place: str) -> Group:
    kind = one(row, "kind")
    fields = (
        making.shown(field, row, place, part=_part(field.name), only=_only(field.name, row))
        for field in FIELDS.get(kind, ())
    )
    return Group(
        place=place,
        kind=kind,
        title=LABELS.get(kind, kind),
        what=WHAT.get(kind, ""),
        fields=tuple(fields),
        action={"outreach": one(row, "action") or "outreach", "price": "price"}.get(kind, ""),
    )


_PARTS: Mapping[str, tuple[str, ...]] = {
    "who": ("stages", "stalled_steps", "segments", "teams", "bands", "audience"),
    "when": ("first_step", "last_step"),
}


def _part(name: str) -> str:
    head, _, tail = name.partition(".")
    if tail:
        return "who" if head == "routed" else head
    return next((part for part, names in _PARTS.items() if name in names), "what")


def _only(name: str, row: Row) -> str:
    head, _, tail = name.partition(".")
    if head in ("effect", "response") and tail != BY:
        return "stated"
    return name if OFTEN in row and name in ("more", "rate") else ""


def _against(making: _Making, sheet: Sheet, names: list[str]) -> Shown:
    field = Field(name="against", label="Compared with", look="choice")
    options = (("baseline", BASELINE), *((each, each) for each in names if each))
    shown = making.shown(field, sheet.top, "")
    return Shown(**{**vars(shown), "options": options})


def _hour(making: _Making, sheet: Sheet) -> Shown:
    field = Field(
        name="hour",
        label="Tell what one more hour of a rep is worth",
        look="flag",
        hint="Simulates each desk once more, with more hours.",
    )
    return making.shown(field, sheet.top, "")


def _plan(making: _Making, sheet: Sheet, names: list[str]) -> tuple[Shown, ...]:
    of = Field(name="plan_of", label="With the levers of", look="choice")
    shown = making.shown(of, sheet.top, "", only="plan")
    flag = Field(
        name="plan",
        label="Find the best plan within a budget",
        look="flag",
        hint="Whom to reach with the levers of a scenario; the plan is simulated too.",
    )
    budget = Field(name="plan_budget", label="Budget, over all {step}s", codec=plain.MONEY)
    return (
        making.shown(flag, sheet.top, ""),
        Shown(**{**vars(shown), "options": tuple((each, each) for each in names if each)}),
        making.shown(budget, sheet.top, "", only="plan"),
    )


def _told(view: View, making: _Making) -> Iterable[tuple[str, str, str]]:
    """Give all that is wrong; what has no field on the page is said of the form."""
    groups = [view.top, *view.desks, *(lever for card in view.cards for lever in card.levers)]
    fields = [each for group in groups for each in group.fields]
    fields += [view.against, view.hour, *view.plan, *(card.name for card in view.cards)]
    there = {each.place: each for each in fields}
    for place, said in making.problems.items():
        found = there.get(place)
        where = ("", "") if found is None else (found.id, found.label)
        yield (*where, making.words(said))
