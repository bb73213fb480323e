"""The small words of a mapping: how one value of an event is taken from the cells of a row."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Field, field_validator, model_validator

from cluster.errors import nearest
from cluster.settings import Frozen

ISO = "ISO8601"
EPOCHS = {"epoch_seconds": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}  # -> microseconds
DIRECTIVES = frozenset("YmdHMSIpybBeTDFRz%")
SOURCE_ROW = "source_row"  # a column that every file has: the number of the row

type Choice = Literal["earliest", "latest", "refuse"]


def _as_fixed(value: Any) -> Any:
    return {"fixed": value} if isinstance(value, str) else value


def _as_column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _as_replacement(value: Any) -> Any:
    is_long = isinstance(value, dict) and isinstance(value.get("values"), dict)
    return value if is_long else {"values": value}


def _as_condition(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return {"in": value} if value else {"present": True}
    return value


class Replacement(Frozen):
    """What the values of a column mean."""

    values: dict[str, str]  # value in the file -> value meant
    others: Literal["keep", "null", "refuse"] = "keep"  # what becomes of a value not named


class Words(Frozen):
    """A string: a column, or one fixed value."""

    column: str | None = None
    fixed: str | None = None
    values: dict[str, str] = {}  # value of the column -> value meant
    others: Literal["keep", "null", "refuse"] = "keep"
    snake: bool = False  # "Closed Won" -> "closed_won"
    free_text: bool = False  # written by people: identifying data are taken out
    longest: int | None = Field(default=None, ge=1)  # letters kept

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.column is None) == (self.fixed is None):
            raise ValueError("needs exactly one of 'column' and 'fixed'")
        if self.fixed is not None and (self.values or self.snake or self.free_text):
            raise ValueError("a fixed value cannot be replaced: remove 'values', 'snake' and such")
        return self

    @property
    def columns(self) -> set[str]:
        """The columns that it needs."""
        return {self.column} if self.column is not None else set()


class Condition(Frozen):
    """What the cell of a column must be like for a row to become an event."""

    among: tuple[str, ...] = Field(default=(), alias="in")
    other_than: tuple[str, ...] = Field(default=(), alias="not")  # an absent cell passes
    starts_with: tuple[str, ...] = ()
    present: bool = False
    absent: bool = False
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.present and self.absent:
            raise ValueError("a cell is either 'present' or 'absent'")
        if not self.model_fields_set:
            raise ValueError(f"needs one of: {', '.join(Condition.words())}")
        return self

    @classmethod
    def words(cls) -> list[str]:
        """The words of a condition, as they are written."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @property
    def compares(self) -> dict[str, float]:
        """The comparisons asked for: word -> limit."""
        words = ("at_least", "at_most", "above", "below")
        return {word: limit for word in words if (limit := getattr(self, word)) is not None}


class Moment(Frozen):
    """A time, of one of four origins. A date alone is the start of that day in its zone."""

    column: str | None = None
    fixed: str | None = None  # ISO 8601
    order: bool = False  # the nominal clock of a file without time
    lag_hours: float | None = None  # of known_at: so long after the event
    format: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = (ISO,)  # tried in turn
    zone: str = "UTC"  # of times that name none
    ambiguous: Choice = "refuse"  # the hour that comes twice when clocks go back
    nonexistent: Choice = "refuse"  # the hour that is left out when clocks go forward
    end_of_day: bool = False  # the midnight that follows, in the zone
    plus_hours: float = 0.0

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        given = (self.column is not None, self.fixed is not None, self.order)
        if sum((*given, self.lag_hours is not None)) != 1:
            raise ValueError("needs exactly one of 'column', 'fixed', 'order' and 'lag_hours'")
        return self

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        known = available_timezones()
        if zone not in known:
            close = nearest(zone, known) if len(zone) < 60 else "see the IANA list"
            hint = close if close.startswith("did") else "use a name such as America/Chicago"
            raise ValueError(f"zone must be an IANA time zone: {hint}")
        return zone

    @field_validator("format")
    @classmethod
    def _known_format(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for form in formats:
            directives = re.findall(r"%(.?)", form)
            unknown = [d for d in directives if d not in DIRECTIVES]
            if unknown:
                valid = " ".join(f"%{d}" for d in sorted(DIRECTIVES))
                raise ValueError(f"unknown directive '%{unknown[0]}': valid are: {valid}")
            if not directives and form not in {ISO, *EPOCHS}:
                raise ValueError(f"unknown format '{form}': {nearest(form, {ISO, *EPOCHS})}")
        return formats

    @property
    def columns(self) -> set[str]:
        """The columns that it needs."""
        return {self.column} if self.column is not None else set()


class Currency(Frozen):
    """The column that names the currency of an amount. Amounts in others are broken cells."""

    column: str
    accepted: tuple[str, ...] = Field(min_length=1)  # "" accepts amounts that name none


class Number(Frozen):
    """A number and the factor that turns it into the contract's integer unit; halves go to even."""

    column: str | None = None
    fixed: int | None = None
    times: Decimal = Decimal(1)
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    marks: str = ""  # letters beside the number that mean nothing here, such as $ or %
    currency: Currency | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.column is None) == (self.fixed is None):
            raise ValueError("needs exactly one of 'column' and 'fixed'")
        if self.decimal == self.thousands:
            raise ValueError("'decimal' and 'thousands' must differ")
        return self

    @property
    def columns(self) -> set[str]:
        """The columns that it needs."""
        currency = {self.currency.column} if self.currency else set()
        return currency | ({self.column} if self.column is not None else set())


class Order(Frozen):
    """A nominal clock for a file without time: start + (order - first) * step."""

    column: str  # a whole number that rises, or source_row
    start: str  # ISO 8601, UTC
    step_seconds: int = Field(default=60, ge=1)
    first: int = 0  # value of the column at `start`


type Fixed = Annotated[Words, BeforeValidator(_as_fixed)]  # a plain string is the value
type Taken = Annotated[Words, BeforeValidator(_as_column)]  # a plain string is the column
type Replaced = Annotated[Replacement, BeforeValidator(_as_replacement)]
type Where = Annotated[Condition, BeforeValidator(_as_condition)]
type Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
