"""What every request and every answer keeps to, and the values that several of them hold."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

FIRST_YEAR, LAST_YEAR = 1990, 2100  # a time outside is a unit error, not a fact
LONGEST_KEY = 200
# Printable ASCII without a blank at either end: it means the same in a header and in a body.
IDEMPOTENCY_KEY = r"^[!-~](?:[ -~]{0,198}[!-~])?$"
NO_CONTROLS = r"^[^\x00-\x1f\x7f]+$"
_SHORTEST_TIME = len("2000-01-01T00:00Z")
# what a schema says of a time beside its format: the years, as `_in_our_time` has them
_OUR_TIME = (
    r"^(199\d|20\d\d|2100)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$"
)


class Asked(BaseModel):
    """A request. A member that nobody knows is refused, not ignored."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True
    )


class Answered(BaseModel):
    """An answer. Members that a later version adds are let pass by an older client."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        serialize_by_alias=True,
        validate_by_name=True,
        validate_by_alias=True,
    )


def _as_text(value: object) -> object:
    """Let pass text and times alone: pydantic also takes a number for seconds since 1970."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and len(value) >= _SHORTEST_TIME and value[4] == "-":
        return value
    raise ValueError("must be a time of RFC 3339 with its zone, as 2026-02-01T09:30:00Z")


def _in_our_time(value: datetime) -> datetime:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"must lie in the years {FIRST_YEAR}..{LAST_YEAR}")
    return value


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number or null")
    return value


def whole(value: object) -> object:
    """Let 200.0 be 200, as JSON Schema has it; a text or a truth value is no number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


type Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_as_text),
    AfterValidator(_in_our_time),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _OUR_TIME}),
]
type Key = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY, pattern=NO_CONTROLS)]
type IdempotencyKey = Annotated[
    str, Field(min_length=1, max_length=LONGEST_KEY, pattern=IDEMPOTENCY_KEY)
]
# of a feature: a number, a text, a truth value or null
type Value = Annotated[Any, AfterValidator(_finite)]
type Probability = Annotated[float, Field(ge=0, le=1)]
