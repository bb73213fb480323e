"""Events sent one by one: what became of each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from serving.wire.base import Answered

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
MOST_EVENTS = 1_000  # of one request
MOST_BYTES = 2**20  # of one request
EXAMPLE = {
    "specversion": "1.0",
    "id": "visit-7",
    "source": "/website",
    "type": "funnelcast.touch.pricing_visit",
    "time": "2026-02-01T09:30:00Z",
    "data": {"lead": "lead-00042", "account": "account-00007", "number": 40},
}


class OutcomeOut(Answered):
    """What became of one event."""

    id: str | None
    source: str | None
    status: Literal["accepted", "duplicate", "refused"]
    reasons: str = Field(description="Every rule that a refused event breaks.")


class ArrivalsOut(Answered):
    """What became of the events of a request; it was durable before this answer was sent."""

    accepted: int
    duplicate: int
    refused: int
    events: list[OutcomeOut] = Field(description="In the order in which they were sent.")
