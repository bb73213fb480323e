"""What goes over the wire: requests and answers of the HTTP API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from serving.service import Question

if TYPE_CHECKING:
    from features.arrivals import Outcome
    from serving.decide import Decision

Key = Field(default=None, min_length=1, max_length=200)


class EventIn(BaseModel):
    """An event the caller knows of and the log may not; it must lie before the decision's time."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    name: str
    event_time: AwareDatetime
    account: str | None = Key
    person: str | None = Key
    lead: str | None = Key
    opportunity: str | None = Key
    number: int | None = Field(default=None, ge=-(2**53), le=2**53)
    text: str | None = Field(default=None, max_length=2000)


class DecisionRequest(BaseModel):
    """Ask for a decision about one lead, opportunity or account."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"lead": "lead-00042"}, {"account": "account-00007"}]},
    )
    lead: str | None = Key
    opportunity: str | None = Key
    account: str | None = Key
    as_of: AwareDatetime | None = Field(default=None, description="Default: now.")
    events: list[EventIn] = Field(default=[], max_length=100)

    @model_validator(mode="after")
    def _about_one(self) -> Self:
        if sum(key is not None for key in (self.lead, self.opportunity, self.account)) != 1:
            raise ValueError("name exactly one of lead, opportunity and account")
        return self

    def question(self) -> Question:
        """Return the question in the service's words."""
        kinds = ("lead", "opportunity", "account")
        kind = next(k for k in kinds if getattr(self, k) is not None)
        return Question(
            kind=kind,
            key=getattr(self, kind),
            as_of=self.as_of,
            events=tuple(event.model_dump() for event in self.events),
        )


class ReasonOut(BaseModel):
    """Features that say one thing, and how they moved the score."""

    feature: str = Field(description="The one of them that moved it most.")
    label: str
    value: Any
    contribution: float = Field(description="Change of the log-odds by all of them.")
    group: str = Field(default="", description="Stable id of what they look at.")
    features: list[str] = Field(default=[], description="All of them.")
    probability_change: float | None = Field(
        default=None, description="The calibrated probability less what it would be without them."
    )
    text: str = Field(default="", description="Value, direction and size in a sentence.")


class BasisOut(BaseModel):
    """Ids of everything a decision was made from."""

    target: str
    model: str
    policy: str
    view: str
    code: str


class DecisionOut(BaseModel):
    """A decision; its record was durable before this answer was sent."""

    id: str
    entity: str
    account: str | None
    as_of: datetime
    score: float = Field(ge=0, le=1, description="Calibrated probability.")
    interval: tuple[float, float]
    confidence: str
    route: str
    route_reason: str
    reasons: list[ReasonOut]
    trace: list[str]
    basis: BasisOut

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return a decision as the caller sees it."""
        return cls.from_record(decision.as_dict())

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Return a journalled decision as the caller sees it."""
        verdict = record["verdict"]
        return cls(
            id=record["id"],
            entity=record["entity"],
            account=record["account"],
            as_of=record["time"],
            score=record["probability"],
            interval=(record["low"], record["high"]),
            confidence=verdict["confidence"],
            route=verdict["route"],
            route_reason=verdict["reason"],
            reasons=record["reasons"],
            trace=verdict["trace"],
            basis=record["basis"],
        )


class OutcomeOut(BaseModel):
    """What became of one event."""

    id: str | None
    source: str | None
    status: Literal["accepted", "duplicate", "refused"]
    reasons: str = Field(description="Every rule that a refused event breaks.")


class ArrivalsOut(BaseModel):
    """What became of the events of a request; it was durable before this answer was sent."""

    accepted: int
    duplicate: int
    refused: int
    events: list[OutcomeOut] = Field(description="In the order in which they were sent.")

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Self:
        """Return outcomes as the caller sees them."""
        counts = Counter(outcome.status for outcome in outcomes)
        return cls(
            accepted=counts["accepted"],
            duplicate=counts["duplicate"],
            refused=counts["refused"],
            events=[OutcomeOut(**asdict(outcome)) for outcome in outcomes],
        )


class Problem(BaseModel):
    """An error in the form of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
