"""A scenario: how far to look, with how many draws, and which levers to pull.

Each lever's effect carries a grade of evidence; an answer carries the lowest grade it used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from cluster.settings import Frozen, validated

ESTIMATED = "estimated"
BASELINE = "baseline"
RESERVED = (BASELINE, "difference")
MOST_LEVERS = 4  # the kernel tabulates every combination of levers


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


class Audience(StrEnum):
    """Which leads a lever may reach."""

    OPEN_LEADS = "open_leads"  # those open at the start
    ALL_LEADS = "all_leads"  # those, and every lead that arrives


class Effect(Frozen):
    """What a contact does to a lead's rate of qualification, against the lead without it."""

    hazard_ratio: float = Field(gt=0.0)
    sd: float = Field(ge=0.0)  # standard error of the log hazard ratio
    grade: Grade
    lasts_weeks: int = Field(default=4, ge=1)


class Outreach(Frozen):
    """A lever: put leads on a list, contact them as capacity allows, longest-waiting first."""

    kind: Literal["outreach"]
    audience: Audience
    start_week: int = Field(default=0, ge=0)
    rate_per_week: float = Field(ge=0.0, le=1.0)  # share of the reachable leads listed each week
    capacity_per_week: int = Field(ge=0)  # contacts that can be made each week
    effect: Effect | Literal["estimated"]
    cost_per_contact_cents: int = Field(ge=0)

    @field_validator("effect", mode="before")
    @classmethod
    def _name_wrong_effect_keys(cls, value: object) -> object:
        return validated(Effect, value, where="effect") if isinstance(value, Mapping) else value


class Scenario(Frozen):
    """One question to the forecast."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,60}$")
    horizon_weeks: int = Field(default=26, ge=1, le=260)
    draws: int = Field(default=1000, ge=1, le=100_000)
    seed: int = Field(default=1, ge=0, lt=2**63)
    levers: tuple[Outreach, ...] = Field(default=(), max_length=MOST_LEVERS)

    @field_validator("levers", mode="before")
    @classmethod
    def _name_wrong_lever_keys(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        return [
            validated(Outreach, item, where=f"lever {place}") if isinstance(item, Mapping) else item
            for place, item in enumerate(value, start=1)
        ]

    @model_validator(mode="after")
    def _keep_baseline_free_of_levers(self) -> Self:
        if self.levers and self.name in RESERVED:
            raise ValueError(
                f"a scenario with levers must have a name of its own, got '{self.name}'"
            )
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


class Levers(NamedTuple):
    """The levers as the kernel takes them, one element each."""

    log_ratio: np.ndarray  # float64, log hazard ratio of a contact
    log_ratio_sd: np.ndarray  # float64
    lasts: np.ndarray  # int64, weeks
    everyone: np.ndarray  # bool, also leads that arrive later
    first_week: np.ndarray  # int64
    rate: np.ndarray  # float64, share listed per week
    capacity: np.ndarray  # int64, contacts per week


def levers(scenario: Scenario) -> Levers:
    """Return the scenario's arrays; ValueError when an effect is still to be estimated."""
    effects = [lever.effect for lever in scenario.levers if isinstance(lever.effect, Effect)]
    if len(effects) < len(scenario.levers):
        raise ValueError(f"every effect must be known, got '{ESTIMATED}' in '{scenario.name}'")
    pulled = scenario.levers
    return Levers(
        log_ratio=np.array([math.log(effect.hazard_ratio) for effect in effects], float),
        log_ratio_sd=np.array([effect.sd for effect in effects], float),
        lasts=np.array([effect.lasts_weeks for effect in effects], np.int64),
        everyone=np.array([lever.audience is Audience.ALL_LEADS for lever in pulled], bool),
        first_week=np.array([lever.start_week for lever in pulled], np.int64),
        rate=np.array([lever.rate_per_week for lever in pulled], float),
        capacity=np.array([lever.capacity_per_week for lever in pulled], np.int64),
    )
