"""CloudEvents 1.0 as they come over the wire: bytes in, checked values out.

Source and id together name an event. A source is a URI reference and holds no blank, so that the
two with a blank between them are one name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError, field_validator

from cluster import canonical, strictjson
from cluster.errors import Refusal
from cluster.settings import Frozen

MOST_EVENTS = 1_000
MOST_BYTES = 2**20
KEY = Field(default=None, min_length=1, max_length=200)
_INT64 = 2**63


class Data(Frozen):
    """What an event says beyond its envelope. An unknown member is refused, not ignored."""

    account: str | None = KEY
    person: str | None = KEY  # in the clear
    lead: str | None = KEY
    opportunity: str | None = KEY
    campaign: str | None = KEY
    product: str | None = KEY
    rep: str | None = KEY
    number: int | None = Field(default=None, strict=True, ge=-_INT64, lt=_INT64)
    text: str | None = Field(default=None, max_length=2000)


class CloudEvent(Frozen):
    """One event in the envelope of CloudEvents; extension attributes are let pass."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    id: str = Field(min_length=1, max_length=200)
    source: str = Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")
    type: str = Field(pattern=r"^funnelcast\.[a-z_]{1,60}\.[a-z_0-9]{1,60}$")
    time: AwareDatetime
    subject: str | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    data: Data

    @field_validator("time", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, str) and value[:1].isdigit() and len(value) > len("2000-01-01T00:00"):
            return value
        raise ValueError("must be a time of RFC 3339 with its zone")


@dataclass(frozen=True, kw_only=True)
class Sent:
    """An event as its sender told it."""

    id: str
    source: str
    kind: str
    name: str
    time: datetime
    data: Data
    raw: bytes  # canonical JSON

    @property
    def row_key(self) -> str:
        """Its identity: the same one with other content is a correction."""
        return f"{self.source} {self.id}"


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """Something sent that is no event."""

    id: str | None
    source: str | None
    reason: str
    raw: bytes  # canonical JSON


def read(
    body: bytes, *, is_batch: bool, most: int = MOST_EVENTS
) -> list[Sent | Malformed] | Refusal:
    """Read a request's body; a Refusal when it is not JSON of the right shape at all."""
    try:
        said = strictjson.loads(body)
    except strictjson.NotStrict as error:
        return error.refusal
    except (ValueError, RecursionError):
        return _refused("the body must be JSON in UTF-8", f"{len(body)} bytes that are not")
    if not is_batch and not isinstance(said, dict):
        return _refused("an event must be a JSON object", type(said).__name__)
    items = said if is_batch else [said]
    if not isinstance(items, list):
        return _refused("a batch must be a JSON array", type(said).__name__)
    if len(items) > most:
        return TooMany(
            rule=f"a batch must hold at most {most} events",
            value=str(len(items)),
            remedy="send it in several requests",
        )
    return [_event(item) for item in items]


class TooMany(Refusal):
    """A request is larger than may be sent at once."""


def _event(item: Any) -> Sent | Malformed:
    raw = _raw(item)
    try:
        event = CloudEvent.model_validate(item)
    except ValidationError as error:
        named = item if isinstance(item, dict) else {}
        return Malformed(
            id=_short(named.get("id")),
            source=_short(named.get("source")),
            reason=_reason(error),
            raw=raw,
        )
    _, kind, name = event.type.split(".")
    return Sent(
        id=event.id,
        source=event.source,
        kind=kind,
        name=name,
        time=event.time,
        data=event.data,
        raw=raw,
    )


def _raw(item: Any) -> bytes:
    try:
        return canonical.dumps(item)
    except (ValueError, RecursionError):  # a lone surrogate has no UTF-8
        return json.dumps(item).encode()


def _reason(error: ValidationError) -> str:
    """Say what is wrong and where, but not the value: it may be a name or an address."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part in _FIELDS) or "event"
    return f"{place} keeps the envelope: {first['msg']}"


_FIELDS = {*CloudEvent.model_fields, *Data.model_fields}


def _short(value: object) -> str | None:
    return value[:200] if isinstance(value, str) else None


def _refused(rule: str, value: str) -> Refusal:
    return Refusal(rule=rule, value=value, remedy="send CloudEvents 1.0 in JSON")
