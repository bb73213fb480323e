"""Events from a list or a DataFrame, cut into requests that the service takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from serving.client import calls, errors, frames
from serving.wire.events import MOST_BYTES, MOST_EVENTS, ArrivalsOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from serving.client.flow import Flow

ENVELOPE = ("id", "source", "time", "kind", "name")  # columns that every row must fill
DATA = ("account", "person", "lead", "opportunity", "campaign", "product", "rep", "number", "text")


def flow(events: Sequence[Mapping[str, Any]] | pd.DataFrame) -> Flow[ArrivalsOut]:
    """Send events in as many requests as it takes; returns one answer about all."""
    sent = list(_cloud_events(events)) if isinstance(events, pd.DataFrame) else list(events)
    found = []
    for content in _parts([_bytes(each) for each in sent]):
        found.append((yield calls.send_events(content)))
    return ArrivalsOut(
        accepted=sum(each.accepted for each in found),
        duplicate=sum(each.duplicate for each in found),
        refused=sum(each.refused for each in found),
        events=[outcome for each in found for outcome in each.events],
    )


def _cloud_events(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the CloudEvents of a frame: columns ENVELOPE, and of DATA what is known."""
    frames.require_columns(frame, (*ENVELOPE, *DATA))
    for number, row in enumerate(frames.rows(frame)):
        gone = [name for name in ENVELOPE if name not in row]
        if gone:
            raise errors.Invalid(f"events: row {number} must have a value in '{gone[0]}'")
        data = {name: _whole(row[name]) for name in DATA if name in row}
        yield {
            "specversion": "1.0",
            "id": row["id"],
            "source": row["source"],
            "type": f"funnelcast.{row['kind']}.{row['name']}",
            "time": row["time"],
            "data": data,
        }


def _whole(value: object) -> object:
    """Return 40 for 40.0: a column of integers with gaps is one of floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _bytes(event: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(event, default=_time, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise errors.Invalid(f"an event must be JSON, got {error}") from None


def _time(value: object) -> str:
    """Return a time in RFC 3339; TypeError for anything else, and for one without a zone."""
    if getattr(value, "tzinfo", None) is None or not hasattr(value, "isoformat"):
        raise TypeError(f"'{value}', which is no time with a zone")
    return str(value.isoformat())


def _parts(events: list[bytes]) -> Iterator[bytes]:
    """Yield JSON arrays of the events in order, each as long as a request may be."""
    part: list[bytes] = []
    size = 2  # brackets
    for event in events:
        if part and (len(part) == MOST_EVENTS or size + len(event) + 1 > MOST_BYTES):
            yield b"[" + b",".join(part) + b"]"
            part, size = [], 2
        part.append(event)
        size += len(event) + 1
    if part:
        yield b"[" + b",".join(part) + b"]"
