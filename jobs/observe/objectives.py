"""The document configs/slo.yaml: what the service promises, checked against the declared meters."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cluster.errors import nearest
from cluster.settings import CONFIGS, Frozen, load
from jobs.observe.burn import BURNS
from serving.observe.meters import METERS, Meter

FILE = CONFIGS / "slo.yaml"

type Severity = Literal["page", "ticket"]


class _Chosen(Frozen):
    """Some series of a meter."""

    where: dict[str, str] = {}  # label to regular expression

    def _check(self, name: str, kind: str) -> Meter:
        """ValueError for a meter that is not declared, is of another kind or has no such label."""
        meter = METERS.get(name)
        if meter is None:
            raise ValueError(f"no meter is called '{name}': {nearest(name, METERS)}")
        if meter.kind != kind:
            raise ValueError(f"'{name}' must be a {kind}, it is a {meter.kind}")
        for label in self.where:
            if label not in meter.labels:
                near = nearest(label, meter.labels)
                raise ValueError(f"'{name}' has no label '{label}': {near}")
        return meter


class Selector(_Chosen):
    """Some series of a counter."""

    counter: str

    @model_validator(mode="after")
    def _declared(self) -> Self:
        self._check(self.counter, "counter")
        return self


class Ratio(Frozen):
    """What is bad of all, by two counters."""

    bad: Selector
    all: Selector


class Slower(_Chosen):
    """What took longer than a bound of a histogram."""

    histogram: str
    than: float

    @model_validator(mode="after")
    def _declared(self) -> Self:
        meter = self._check(self.histogram, "histogram")
        if self.than not in meter.bounds:
            raise ValueError(f"'than' must be a bound of '{self.histogram}': {meter.bounds}")
        return self


class Above(_Chosen):
    """While a gauge is above a value."""

    gauge: str
    than: float

    @model_validator(mode="after")
    def _declared(self) -> Self:
        self._check(self.gauge, "gauge")
        return self


class Objective(Frozen):
    """One promise."""

    name: str = Field(pattern=r"^[a-z][a-z_]*$")
    summary: str
    objective: float = Field(gt=0.0, lt=1.0)
    owner: str
    fix: str
    ratio: Ratio | None = None
    slower: Slower | None = None
    above: Above | None = None

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if sum(each is not None for each in (self.ratio, self.slower, self.above)) != 1:
            raise ValueError("an objective must have one of ratio, slower and above")
        if max(burn.factor for burn in BURNS) * self.budget >= 1.0:
            raise ValueError("an objective this low could burn no faster than its alerts ask for")
        return self

    @property
    def budget(self) -> float:
        """The share that may be bad."""
        return round(1.0 - self.objective, 9)


class Condition(_Chosen):
    """What is wrong as soon as it lasts: a gauge above a value, or one that nobody tells."""

    name: str = Field(pattern=r"^[a-z][a-z_]*$")
    summary: str
    severity: Severity
    owner: str
    fix: str
    minutes: int = Field(ge=1)
    gauge: str | None = None
    above: float | None = None
    absent: str | None = None

    @model_validator(mode="after")
    def _declared(self) -> Self:
        if (self.gauge is None) == (self.absent is None) or (self.gauge is None) != (
            self.above is None
        ):
            raise ValueError("a condition must have gauge and above, or absent")
        self._check(self.gauge or self.absent or "", "gauge")
        return self


class Promises(Frozen):
    """The document."""

    window_days: int = Field(ge=7, le=90)
    objectives: tuple[Objective, ...]
    conditions: tuple[Condition, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [each.name for each in self.objectives]
        names += [each.name for each in self.conditions]
        if len(set(names)) < len(names):
            raise ValueError("names must differ")
        return self


def load_promises() -> Promises:
    """Read the document; WrongUse names what is wrong in it."""
    return load(Promises, FILE)
