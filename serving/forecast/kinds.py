"""The kinds of levers that a scenario may pull: whom, with what, when, how often, at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from cluster.settings import Frozen, validated
from serving.forecast.evidence import ESTIMATED, Effect, Grade, Response

type Finite = Annotated[float, Field(allow_inf_nan=False)]
TOKEN = r"^[a-z0-9][a-z0-9_-]{0,59}$"


class When(Frozen):
    """A name, and the steps in which a lever is pulled, counted from 0."""

    name: str | None = Field(default=None, pattern=r"^[\w .,%+-]{1,80}$")  # default: its kind
    first_step: int = Field(default=0, ge=0)
    last_step: int | None = Field(default=None, ge=0)  # none: to the end

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.last_step is not None and self.last_step < self.first_step:
            raise ValueError(
                f"last_step must not be before first_step {self.first_step}, got {self.last_step}"
            )
        return self


class Routed(Frozen):
    """Those alone whom a policy sends to some of its routes, by their score."""

    policy: str = Field(pattern=TOKEN)
    version: int | None = Field(default=None, ge=1)  # none: the active one
    routes: tuple[str, ...] = Field(min_length=1)
    at_least: dict[str, Finite] = {}  # thresholds of routes, in place of the policy's
    target: str | None = Field(default=None, pattern=TOKEN)  # whose scores it routes; none: those
    # that it routed last


class Audience(When):
    """Whom a lever is for."""

    stages: tuple[str, ...] = Field(min_length=1)  # in which a unit is listed
    audience: Literal["open", "all"] = "all"  # open: units open at the start alone
    segments: tuple[str, ...] = ()  # none: all
    teams: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()  # of the score, 1 the lowest; none: all
    stalled_steps: int = Field(default=0, ge=0, le=520)  # in the stage for so long at least
    routed: Routed | None = None


class Outreach(Audience):
    """Put units on a list and contact them, by reps as their desks can, or by a system at once."""

    kind: Literal["outreach"]
    action: str = Field(default="outreach", pattern=TOKEN)  # whose effect is estimated
    channel: str | None = Field(default=None, pattern=TOKEN)
    by: Literal["reps", "system"] = "reps"
    rate: float | None = Field(default=None, ge=0.0, le=1.0)  # share listed in each step, or
    more: float | None = Field(default=None, gt=0.0, le=10.0)  # 0.2: a fifth more than in history
    effect: Effect | Literal["estimated"]
    saturation: float = Field(default=0.0, ge=0.0, le=10.0)  # see docs: contacts wear off
    unsubscribe: float = Field(default=0.0, ge=0.0, le=10.0)
    minutes_per_contact: float = Field(default=30.0, gt=0.0, le=480.0)  # of a rep
    cost_per_contact_cents: int = Field(ge=0)

    @field_validator("effect", mode="before")
    @classmethod
    def _name_wrong_effect_keys(cls, value: object) -> object:
        return stated(Effect, value)

    @model_validator(mode="after")
    def _says_how_often(self) -> Self:
        if (self.rate is None) == (self.more is None):
            raise ValueError("one of rate and more must be given, and only one")
        return self


class Price(Audience):
    """Offer another price: a discount (or, below 0, a rise) to all whom it is for."""

    kind: Literal["price"]
    discount: float = Field(ge=-1.0, lt=1.0, allow_inf_nan=False)  # share of the value won
    effect: Effect | Literal["estimated"]

    @property
    def action(self) -> str:
        """Whose effect is estimated."""
        return self.kind

    @field_validator("effect", mode="before")
    @classmethod
    def _name_wrong_effect_keys(cls, value: object) -> object:
        return stated(Effect, value)


class Campaign(When):
    """Spend more or less on what brings new units."""

    kind: Literal["campaign"]
    stages: tuple[str, ...] = ()  # in which units begin; none: all
    segments: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    budget: float = Field(ge=0.0, le=10.0)  # factor on what was spent of late
    response: Response | Literal["estimated"]
    spend_per_step_cents: int | None = Field(default=None, ge=0)  # now; none: that of the log

    @field_validator("response", mode="before")
    @classmethod
    def _name_wrong_response_keys(cls, value: object) -> object:
        return stated(Response, value)


class Reps(When):
    """Have more reps at a desk, or fewer."""

    kind: Literal["reps"]
    desk: str
    more: int = Field(ge=-100_000, le=100_000)
    cost_per_rep_step_cents: int = Field(default=0, ge=0)


class Queue(When):
    """Have a desk contact those who wait in another order; from the first step to the end."""

    kind: Literal["queue"]
    desk: str
    queue: Literal["fifo", "freshest", "priority"]


type Lever = Annotated[Outreach | Price | Campaign | Reps | Queue, Field(discriminator="kind")]
KINDS: dict[str, type[When]] = {
    "outreach": Outreach,
    "price": Price,
    "campaign": Campaign,
    "reps": Reps,
    "queue": Queue,
}


def stated[M: (Effect, Response)](kind: type[M], value: object) -> object:
    """Read what a planner states; evidence is earned by an estimate, so it is an assumption."""
    if not isinstance(value, Mapping):
        return value
    found = validated(kind, value, where="effect")
    if found.grade != Grade.ASSUMPTION:
        raise ValueError(
            f"grade must be 'assumption' for a number that is written down, got '{found.grade}':"
            f" say '{ESTIMATED}' to have it measured"
        )
    return found
