"""A scenario: which funnel, how far to look, with how many draws, and which levers to pull.

Each lever's effect carries a grade of evidence; an answer carries the lowest grade it used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from cluster.errors import Refusal, WrongUse, nearest
from cluster.settings import Frozen, validated
from serving.forecast import evidence
from serving.forecast.evidence import ESTIMATED, Effect, Grade, Response
from serving.forecast.kinds import KINDS, Campaign, Lever, Outreach, Price, Queue, Reps

if TYPE_CHECKING:
    from serving.forecast.kinds import When

BASELINE, PLAN = "baseline", "plan"
RESERVED = (BASELINE, PLAN, "difference")
MOST_LEVERS, MOST_DESKS = 8, 100


class Away(Frozen):
    """Reps who are away, on both days and all between."""

    first: date
    last: date
    reps: int = Field(default=1, ge=1)


class Desk(Frozen):
    """Reps who share a capacity, and whom they contact first of those who wait."""

    name: str = Field(pattern=r"^[\w .-]{1,60}$")
    teams: tuple[str, ...] = ()  # whose units it serves; none: those that no other desk serves
    reps: int = Field(ge=0, le=100_000)
    contacts_per_day: float = Field(gt=0.0, le=1_000.0)  # of one rep
    weekdays: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = (
        *("mon", "tue", "wed", "thu", "fri"),
    )
    holidays: tuple[date, ...] = ()
    away: tuple[Away, ...] = ()
    queue: Literal["fifo", "freshest", "priority"] = "fifo"

    @property
    def contacts(self) -> Fraction:
        """Contacts of a rep and day, as the decimal number that was written."""
        return Fraction(str(self.contacts_per_day))


class Scenario(Frozen):
    """One question to the forecast."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,60}$")
    funnel: str = "sales"
    horizon: int = Field(default=26, ge=1, le=520)  # steps of the funnel
    draws: int = Field(default=1000, ge=1, le=100_000)
    seed: int = Field(default=1, ge=0, lt=2**63)
    goals: dict[Literal["won", "value_cents"], int] = {}  # by the end of the horizon
    desks: tuple[Desk, ...] = Field(default=(), max_length=MOST_DESKS)
    levers: tuple[Lever, ...] = Field(default=(), max_length=MOST_LEVERS)
    fading: float = Field(default=0.8, ge=0.0, le=1.0)  # of old contacts, what is left of each step

    @field_validator("desks", mode="before")
    @classmethod
    def _name_wrong_desk_keys(cls, value: object) -> object:
        return _each(value, lambda item, where: validated(Desk, item, where=f"desk {where}"))

    @field_validator("levers", mode="before")
    @classmethod
    def _name_wrong_lever_keys(cls, value: object) -> object:
        return _each(value, _lever)

    @model_validator(mode="after")
    def _keep_baseline_free_of_levers(self) -> Self:
        if self.levers and self.name in RESERVED:
            raise ValueError(
                f"a scenario with levers must have a name of its own, got '{self.name}'"
            )
        return self

    @model_validator(mode="after")
    def _tell_desks_apart(self) -> Self:
        names = [desk.name for desk in self.desks]
        if len(set(names)) < len(names):
            raise ValueError(f"every desk must have a name of its own, got {names}")
        teams = [team for desk in self.desks for team in desk.teams]
        if len(set(teams)) < len(teams):
            raise ValueError(f"every team must be of one desk, got {sorted(teams)}")
        return self

    @model_validator(mode="after")
    def _have_hands_for_levers(self) -> Self:
        if not self.desks and any(
            isinstance(lever, Outreach) and lever.by == "reps" for lever in self.levers
        ):
            raise ValueError("levers need desks that make the contacts, got none: declare `desks`")
        names = [desk.name for desk in self.desks]
        for lever in self.levers:
            if isinstance(lever, Reps | Queue) and lever.desk not in names:
                raise ValueError(f"desk must be one of {names}, got '{lever.desk}'")
        return self

    @model_validator(mode="after")
    def _send_away_those_who_are_there(self) -> Self:
        for desk in self.desks:
            fewer = [e for e in self.levers if isinstance(e, Reps) and e.desk == desk.name]
            for step in {lever.first_step for lever in fewer}:
                change = sum(
                    e.more for e in fewer if e.first_step <= step <= _last(e, self.horizon)
                )
                if desk.reps + change < 0:
                    raise ValueError(
                        f"a desk must have the reps that leave it, got {change} at '{desk.name}',"
                        f" which has {desk.reps}"
                    )
        return self

    def baseline(self) -> Scenario:
        """Return the same question without levers."""
        return self.model_copy(update={"name": BASELINE, "levers": ()})

    def needs_estimate(self) -> bool:
        """Does any lever leave its effect to be estimated from the log?"""
        return any(evidence_of(lever) == ESTIMATED for lever in self.levers)

    def with_evidence(self, known: Sequence[Effect | Response | None]) -> Scenario:
        """Return the scenario with what is known of each lever, where it is not None, in place of
        what is said of it.
        """
        levers = tuple(
            lever if found is None else _with(lever, found)
            for lever, found in zip(self.levers, known, strict=True)
        )
        return self.model_copy(update={"levers": levers})

    def grade(self) -> Grade | None:
        """Return the lowest grade of evidence among the levers; None where no effect is used."""
        grades = [grade_of(lever) for lever in self.levers]
        return evidence.lowest(each for each in grades if each is not None)


def late(scenario: Scenario) -> Refusal | None:
    """Return the lever that would never be pulled, as it begins behind the horizon; None if none
    does.
    """
    for place, lever in enumerate(scenario.levers, start=1):
        if lever.first_step >= scenario.horizon:
            return Refusal(
                rule=f"scenario '{scenario.name}': lever {place}: first_step must be below the"
                f" horizon {scenario.horizon}, as steps count from 0",
                value=str(lever.first_step),
                remedy="pull it earlier, or look further",
            )
    return None


def _each(value: object, read: Callable[[Mapping[str, Any], int], object]) -> object:
    """Read each mapping of a list by itself, so that what is wrong is named with its place."""
    if not isinstance(value, list | tuple):
        return value
    return [
        read(item, place) if isinstance(item, Mapping) else item
        for place, item in enumerate(value, start=1)
    ]


def _lever(item: Mapping[str, Any], place: int) -> When:
    kind = str(item.get("kind"))
    if kind not in KINDS:
        raise WrongUse(f"lever {place}: kind must be known, got '{kind}': {nearest(kind, KINDS)}")
    return validated(KINDS[kind], item, where=f"lever {place}")


def evidence_of(lever: Lever) -> Effect | Response | str | None:
    """Return what a lever's effect is known by; None where it has none of its own."""
    if isinstance(lever, Outreach | Price):
        return lever.effect
    return lever.response if isinstance(lever, Campaign) else None


def grade_of(lever: Lever) -> Grade | None:
    """Return the grade of a lever: that of its effect, or lower where the planner says more of how
    people answer; None where no effect is used.
    """
    known = evidence_of(lever)
    if not isinstance(known, Effect | Response):
        return None
    return Grade.ASSUMPTION if written(lever) else known.grade


def written(lever: Lever) -> tuple[str, ...]:
    """Return what a lever says of how people answer that nobody measures: numbers that change
    nothing are left out.
    """
    names = ("saturation", "unsubscribe") if isinstance(lever, Outreach) else ()
    return tuple(name for name in names if getattr(lever, name) > 0.0)


def _last(lever: When, horizon: int) -> int:
    return horizon if lever.last_step is None else lever.last_step


def _with(lever: Lever, known: Effect | Response) -> Lever:
    return lever.model_copy(update={"effect" if isinstance(known, Effect) else "response": known})
