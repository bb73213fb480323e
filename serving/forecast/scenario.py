"""A scenario: which funnel, how far to look, with how many draws, and which levers to pull.

Each lever's effect carries a grade of evidence; an answer carries the lowest grade it used.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from cluster.settings import Frozen, validated

ESTIMATED = "estimated"
BASELINE = "baseline"
RESERVED = (BASELINE, "difference")
MOST_LEVERS = 4


class Grade(StrEnum):
    """How the effect of a lever is known, best first."""

    RANDOMISED = "randomised"
    OBSERVATIONAL = "observational"
    ASSUMPTION = "assumption"


GRADE_WORDS = {
    None: "business as usual: no lever, no assumed effect",
    Grade.RANDOMISED: "randomised: measured here, by chance assignment with logged propensity",
    Grade.OBSERVATIONAL: "observational: from history, not randomised; hidden causes may bias it",
    Grade.ASSUMPTION: "assumption: the planner's number, nothing measured here supports it",
}


class Effect(Frozen):
    """What a contact does to the odds of a unit to go forward in a step, against no contact."""

    ratio: float = Field(gt=0.0, allow_inf_nan=False)
    sd: float = Field(ge=0.0, allow_inf_nan=False)  # standard error of the log ratio
    grade: Grade
    lasts: int = Field(default=4, ge=1, le=260)  # steps


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


class Outreach(Frozen):
    """A lever: put units on a list, contact them as the desks can."""

    kind: Literal["outreach"]
    stages: tuple[str, ...] = Field(min_length=1)  # in which a unit is listed
    audience: Literal["open", "all"] = "all"  # open: units open at the start alone
    segments: tuple[str, ...] = ()  # none: all
    teams: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()  # of the score, 1 the lowest; none: all
    first_step: int = Field(default=0, ge=0)
    last_step: int | None = Field(default=None, ge=0)  # none: to the end
    rate: float = Field(ge=0.0, le=1.0)  # share of those who may be listed, each step
    effect: Effect | Literal["estimated"]
    saturation: float = Field(default=0.0, ge=0.0, le=10.0)  # see docs: contacts wear off
    unsubscribe: float = Field(default=0.0, ge=0.0, le=10.0)
    cost_per_contact_cents: int = Field(ge=0)

    @field_validator("effect", mode="before")
    @classmethod
    def _name_wrong_effect_keys(cls, value: object) -> object:
        return validated(Effect, value, where="effect") if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.last_step is not None and self.last_step < self.first_step:
            raise ValueError(
                f"last_step must not be before first_step {self.first_step}, got {self.last_step}"
            )
        return self


class Scenario(Frozen):
    """One question to the forecast."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,60}$")
    funnel: str = "sales"
    horizon: int = Field(default=26, ge=1, le=520)  # steps of the funnel
    draws: int = Field(default=1000, ge=1, le=100_000)
    seed: int = Field(default=1, ge=0, lt=2**63)
    goals: dict[Literal["won", "value_cents"], int] = {}  # by the end of the horizon
    desks: tuple[Desk, ...] = ()
    levers: tuple[Outreach, ...] = Field(default=(), max_length=MOST_LEVERS)
    fading: float = Field(default=0.8, ge=0.0, le=1.0)  # of old contacts, what is left of each step

    @field_validator("levers", "desks", mode="before")
    @classmethod
    def _name_wrong_keys(cls, value: object, info: Any) -> object:
        kind: type[Frozen] = Outreach if info.field_name == "levers" else Desk
        if not isinstance(value, list):
            return value
        return [
            validated(kind, item, where=f"{info.field_name[:-1]} {place}")
            if isinstance(item, Mapping)
            else item
            for place, item in enumerate(value, start=1)
        ]

    @model_validator(mode="after")
    def _keep_baseline_free_of_levers(self) -> Self:
        if self.levers and self.name in RESERVED:
            raise ValueError(
                f"a scenario with levers must have a name of its own, got '{self.name}'"
            )
        return self

    @model_validator(mode="after")
    def _have_hands_for_levers(self) -> Self:
        names = [desk.name for desk in self.desks]
        if len(set(names)) < len(names):
            raise ValueError(f"every desk must have a name of its own, got {names}")
        teams = [team for desk in self.desks for team in desk.teams]
        if len(set(teams)) < len(teams):
            raise ValueError(f"every team must be of one desk, got {sorted(teams)}")
        if self.levers and not self.desks:
            raise ValueError("levers need desks that make the contacts, got none: declare `desks`")
        return self

    def baseline(self) -> Scenario:
        """Return the same question without levers."""
        return self.model_copy(update={"name": BASELINE, "levers": ()})

    def needs_estimate(self) -> bool:
        """Does any lever leave its effect to be estimated from the log?"""
        return any(lever.effect == ESTIMATED for lever in self.levers)

    def with_effect(self, effect: Effect) -> Scenario:
        """Return the scenario with `effect` in place of every estimated one."""
        levers = tuple(
            lever.model_copy(update={"effect": effect}) if lever.effect == ESTIMATED else lever
            for lever in self.levers
        )
        return self.model_copy(update={"levers": levers})

    def grade(self) -> Grade | None:
        """Return the lowest grade of evidence among the levers; None without levers."""
        ranks = list(Grade)
        grades = [lever.effect.grade for lever in self.levers if isinstance(lever.effect, Effect)]
        return max(grades, key=ranks.index) if grades else None
