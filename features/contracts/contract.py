"""A data contract: one YAML document per event kind, in the Open Data Contract Standard v3.1.

The field names are those of the standard, so that a document here is a valid document there. What
the standard leaves to custom properties (units, groups of which one column is required, columns
whose meaning depends on the name of the event) is a closed list here: a misspelt rule is refused,
not ignored.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError, model_validator

from cluster.errors import WrongUse, nearest
from cluster.settings import Frozen
from cluster.yamlfiles import mapping, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PRIVATE = frozenset({"confidential", "restricted"})  # classes whose values are never quoted


class Description(Frozen):
    """What the events mean, how to use them and what they do not say."""

    purpose: str
    usage: str = ""
    limitations: str = ""


class Team(Frozen):
    """Who answers for the events."""

    name: str


class Bounds(Frozen):
    """Range of an integer; length and RE2 pattern of a string. What is absent is not limited."""

    minimum: int | None = None
    maximum: int | None = None
    minLength: int | None = None
    maxLength: int | None = None
    pattern: str | None = None

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum <= maximum must hold, got {self.minimum} > {self.maximum}")
        if self.pattern is not None:
            # the engine that will match it is the one to ask; its complaint is a ValueError
            pc.match_substring_regex(pa.array([""]), self.pattern)
        return self


class Allowed(Frozen):
    """The complete list of valid values."""

    validValues: tuple[str, ...] = Field(min_length=1)


class Quality(Frozen):
    """The one quality metric that is used here: no value outside a list."""

    metric: Literal["invalidValues"]
    arguments: Allowed
    mustBe: Literal[0]


class Unit(Frozen):
    """Unit of an integer: cents, seconds, ppm."""

    property: Literal["unit"]
    value: str


class AppliesTo(Frozen):
    """The names of events in which the column is used like this; in all others it is not."""

    property: Literal["appliesTo"]
    value: tuple[str, ...] = Field(min_length=1)


class AnyOf(Frozen):
    """Groups of columns; of each group at least one must be present."""

    property: Literal["requireAnyOf"]
    value: tuple[tuple[Annotated[str, Field(min_length=1)], ...], ...] = Field(min_length=1)


class Planned(Frozen):
    """The names of events that are known before they happen, such as a meeting in a calendar."""

    property: Literal["planned"]
    value: tuple[str, ...] = Field(min_length=1)


class Property(Frozen):
    """One use of a column of the envelope by this kind of event.

    A column that means different things in events of different names has several properties: each
    says with `physicalName` which column it is, and with `appliesTo` for which names it speaks; one
    without `appliesTo` speaks for all other names.
    """

    name: str
    physicalName: str = ""
    logicalType: Literal["string", "integer"]
    classification: Literal["public", "internal", "confidential", "restricted"]
    required: bool = False
    description: str = ""
    logicalTypeOptions: Bounds = Bounds()
    quality: tuple[Quality, ...] = ()
    customProperties: tuple[Annotated[Unit | AppliesTo, Field(discriminator="property")], ...] = ()

    @property
    def column(self) -> str:
        """The column of the envelope."""
        return self.physicalName or self.name

    @cached_property
    def allowed(self) -> list[str]:
        """The valid values, or an empty list where every value is valid."""
        return [value for rule in self.quality for value in rule.arguments.validValues]

    @cached_property
    def unit(self) -> str:
        """The unit of the number, or an empty string."""
        return next((c.value for c in self.customProperties if isinstance(c, Unit)), "")

    @cached_property
    def applies_to(self) -> tuple[str, ...]:
        """The names of events for which it speaks; empty for all that no other speaks for."""
        return next((c.value for c in self.customProperties if isinstance(c, AppliesTo)), ())

    @property
    def is_private(self) -> bool:
        """Whether a value may not appear in a message."""
        return self.classification in PRIVATE


class Object(Frozen):
    """The event kind and its columns."""

    name: str
    logicalType: Literal["object"]
    properties: tuple[Property, ...] = Field(min_length=1)
    customProperties: tuple[Annotated[AnyOf | Planned, Field(discriminator="property")], ...] = ()

    @model_validator(mode="after")
    def _speaks_once(self) -> Self:
        said: set[tuple[str, str]] = set()
        for promise in self.properties:
            if promise.column == "name" and promise.applies_to:
                raise ValueError("'name' must mean the same in all events: take appliesTo away")
            for name in promise.applies_to or ("",):
                if (promise.column, name) in said:
                    what = f"events '{name}'" if name else "all other events"
                    raise ValueError(f"one property must speak of '{promise.column}' in {what}")
                said.add((promise.column, name))
        return self

    @model_validator(mode="after")
    def _speaks_of_names_there_are(self) -> Self:
        names = next((p.allowed for p in self.properties if p.column == "name"), [])
        for name in (*self.named, *self.planned) if names else ():
            if name not in names:
                raise ValueError(f"unknown name of an event '{name}': {nearest(name, names)}")
        return self

    @cached_property
    def named(self) -> set[str]:
        """The names of events that some property singles out."""
        return {name for promise in self.properties for name in promise.applies_to}

    @property
    def planned(self) -> tuple[str, ...]:
        """The names of events that are known before they happen."""
        return next((c.value for c in self.customProperties if isinstance(c, Planned)), ())


class Freshness(Frozen):
    """How old the newest event may be, in hours."""

    property: Literal["freshness"]
    value: int = Field(ge=1)
    unit: Literal["h"]


class Contract(Frozen):
    """The promise about one kind of event: columns, units, ranges, freshness, owner, privacy."""

    apiVersion: Literal["v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0"]
    kind: Literal["DataContract"]
    id: str
    name: str = ""
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    status: Literal["proposed", "draft", "active", "deprecated", "retired"]
    domain: str = ""
    description: Description
    team: Team
    objects: tuple[Object, ...] = Field(alias="schema", min_length=1, max_length=1)
    slaProperties: tuple[Freshness, ...] = Field(min_length=1, max_length=1)

    @property
    def event_kind(self) -> str:
        """The kind of event that the contract is about."""
        return self.objects[0].name

    @property
    def properties(self) -> tuple[Property, ...]:
        """The columns with a promise."""
        return self.objects[0].properties

    @property
    def any_of(self) -> list[tuple[str, ...]]:
        """Groups of columns of which at least one must be present."""
        customs = self.objects[0].customProperties
        return [group for c in customs if isinstance(c, AnyOf) for group in c.value]

    @property
    def planned(self) -> tuple[str, ...]:
        """The names of events that are known before they happen."""
        return self.objects[0].planned

    @property
    def named(self) -> set[str]:
        """The names of events that some property singles out."""
        return self.objects[0].named

    @property
    def columns(self) -> set[str]:
        """Every column that the contract speaks of."""
        return {p.column for p in self.properties} | {c for group in self.any_of for c in group}

    def promises(self, name: str) -> dict[str, Property]:
        """Return what is promised of each column in the events of a name."""
        general = {p.column: p for p in self.properties if not p.applies_to}
        return general | {p.column: p for p in self.properties if name in p.applies_to}

    @property
    def freshness(self) -> timedelta:
        """How old the newest event may be."""
        return timedelta(hours=self.slaProperties[0].value)


def load_contracts(folder: Path) -> dict[str, Contract]:
    """Read a folder of contracts, by event kind; WrongUse names the file and what is wrong."""
    contracts: dict[str, Contract] = {}
    for path in sorted(folder.glob("*.yaml")):
        contract = _read(read_text(path), path)
        if contract.event_kind in contracts:
            raise WrongUse(
                f"an event kind must have one contract, got a second one of "
                f"'{contract.event_kind}': remove or rename '{path}'"
            )
        contracts[contract.event_kind] = contract
    if not contracts:
        raise WrongUse(f"a folder of contracts must hold *.yaml, got '{folder}': check the path")
    return contracts


def names(contracts: Mapping[str, Contract]) -> set[str]:
    """Return every name of an event that a contract lists."""
    listed = (p.allowed for c in contracts.values() for p in c.properties if p.column == "name")
    return {name for names in listed for name in names}


@lru_cache(maxsize=128)
def _read(text: str, path: Path) -> Contract:
    try:
        return Contract.model_validate(mapping(text, path))
    except ValidationError as error:
        raise WrongUse(f"{path}: {_one_line(error)}") from error


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return f"unknown key '{'.'.join(place)}': {nearest(place[-1], _keys())}"
    is_scalar = isinstance(first["input"], str | int | float | bool)
    shown = f", got {first['input']!r}" if is_scalar else ""
    return f"'{'.'.join(place)}': {' '.join(first['msg'].split())}{shown}"


def _keys() -> set[str]:
    sections = (Contract, Description, Team, Object, Property, Bounds)
    models = (*sections, Quality, Allowed, Unit, AppliesTo, AnyOf, Planned, Freshness)
    fields = [field for model in models for field in model.model_fields.items()]
    return {field.alias or name for name, field in fields}
