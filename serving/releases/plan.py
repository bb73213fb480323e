"""The plan of a release, as a value of configs/releases: its steps, and what is held against a
candidate on the way. Pure.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, Frozen, load, named
from serving.releases.assignment import PLACES
from serving.releases.own import Own

FOLDER = "releases"  # of configs
type Percent = Annotated[float, Field(ge=0, le=100, multiple_of=0.01)]
type Then = Literal["rollback", "hold"]


class Step(Frozen):
    """One step: how much the candidate is given, and what must be seen before the next."""

    weight: Percent = 0.0  # of the accounts, that the candidate answers
    mirror: Percent = 0.0  # of the other decisions, that the candidate makes too and nobody sees
    bake_minutes: float = Field(default=0.0, ge=0)  # that the step lasts at least
    accounts: int = Field(default=0, ge=0)  # that the candidate must have answered in this step
    pairs: int = Field(default=0, ge=0)  # of mirrored decisions whose outcome is known
    approval: bool = False  # must somebody agree before this step begins?

    @property
    def places(self) -> int:
        """The weight in ten thousandths."""
        return round(self.weight * PLACES / 100)


class Guard(Frozen):
    """Something that happens to accounts, and must not happen more often in the candidate."""

    alpha: float = Field(gt=0, lt=0.5)  # chance of a false alarm in a whole release
    ceiling: float | None = Field(default=None, gt=0, lt=1)  # share of accounts that is too much
    then: Then = "rollback"


class Latency(Guard):
    """Decisions that took longer."""

    over_ms: float = Field(gt=0)


class Shift(Frozen):
    """Scores that are distributed otherwise."""

    alpha: float = Field(gt=0, lt=0.5)
    tolerance: float = Field(ge=0, lt=1)  # distance of the distributions (Kolmogorov-Smirnov)
    then: Then = "hold"


class Quality(Frozen):
    """Log loss of the candidate against that of what answers, over pairs."""

    alpha: float = Field(gt=0, lt=0.5)
    margin: float = Field(default=0.0, ge=0)  # nats by which it may be worse
    then: Then = "rollback"


class Outcome(Frozen):
    """The business outcome of accounts, by arm."""

    alpha: float = Field(gt=0, lt=0.5)
    ratio: float = Field(gt=0, lt=1)  # of the rates, that would be too low
    then: Then = "hold"


class Guards(Frozen):
    """What is held against a candidate; none may be left out, as its chance counts in the whole."""

    errors: Guard  # the model raised, or gave what is no probability
    timeouts: Guard  # the rules answered as time was up
    latency: Latency
    fallbacks: Guard  # the rules answered, or a person must
    overrides: Guard  # a person decided otherwise
    split: Guard  # accounts came in another proportion than the lot says
    shift: Shift
    quality: Quality
    calibration: Guard
    outcome: Outcome


class Pilot(Frozen):
    """To whom the candidate is offered: those whose feature has one of some values."""

    feature: str
    values: tuple[str, ...] = Field(min_length=1)


class Experiment(Frozen):
    """What an experiment asks of the business outcome, and for how long."""

    alpha: float = Field(gt=0, lt=0.5)  # chance of a difference where there is none
    ratio: float = Field(gt=1)  # of the rates of the outcome, that is worth finding
    power: float = Field(default=0.8, gt=0.5, lt=1)  # with which it is to be found
    most_days: float = Field(gt=0)


class Plan(Frozen):
    """A release from its first step to its last, which gives all to the candidate; that of an
    experiment ends with a share, and with a person's decision.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    summary: str = Field(min_length=1, max_length=200)
    kind: Literal["canary", "blue_green", "experiment"] = "canary"
    experiment: Experiment | None = None  # of that kind
    isolated: bool = False  # does the candidate run in replicas of its own?
    own: Own = Own()
    steps: tuple[Step, ...] = Field(min_length=1, max_length=50)
    guards: Guards
    pilot: Pilot | None = None
    silence_minutes: float = Field(default=15.0, gt=0)  # without a decision of the candidate: hold

    @model_validator(mode="after")
    def _is_isolated(self) -> Self:
        if self.own != Own() and not self.isolated:
            raise ValueError("own says how replicas of its own run: isolated must be true")
        return self

    @model_validator(mode="after")
    def _goes_up(self) -> Self:
        weights = [step.weight for step in self.steps]
        if any(after < before for before, after in pairwise(weights)):
            raise ValueError("steps must not lower the weight: accounts would change back")
        if (self.kind == "experiment") != (self.experiment is not None):
            raise ValueError("a plan of kind experiment, and no other, must have experiment")
        if self.experiment and not 0 < weights[-1] < 100:
            raise ValueError(f"an experiment must end with a share, got {weights[-1]:g} %")
        if not self.experiment and weights[-1] != 100:
            raise ValueError(f"the last step must have weight 100, got {weights[-1]:g}")
        if self.kind == "blue_green" and set(weights) - {0, 100}:
            raise ValueError("steps of blue_green must have weight 0 or 100")
        if not weights[0] and not self.steps[0].mirror:
            raise ValueError("the first step must give the candidate something: weight or mirror")
        if self.steps[0].approval:
            raise ValueError("the first step must not wait for approval: who starts it agrees")
        return self


def load_plan(name: str) -> Plan:
    """Read a plan to begin by: a file, or the name of one in configs/releases; WrongUse if it is
    none, or asks what cannot be judged.
    """
    path = named(FOLDER, name)
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in (CONFIGS / FOLDER).glob("*.yaml")))
        raise WrongUse(f"a plan must be a file or one of {known}, got '{name}': name another")
    plan = load(Plan, path)
    if plan.guards.overrides.ceiling is not None:  # plans of releases that have begun stay readable
        raise WrongUse(
            f"overrides must have no ceiling, got {plan.guards.overrides.ceiling:g}: a ceiling is"
            " asked at the first decision of an hour, and persons decide otherwise later; leave it"
            " out"
        )
    return plan
