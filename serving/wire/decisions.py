"""Decisions: what is asked and what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from serving.wire.base import (
    Answered,
    Asked,
    IdempotencyKey,
    Key,
    Moment,
    Probability,
    whole,
)
from serving.wire.lots import ExplorationOut, ReleaseOut  # noqa: TC001 - as below
from serving.wire.overrides import OverriddenOut  # noqa: TC001 - as below
from serving.wire.problems import Problem
from serving.wire.reasons import ReasonOut  # noqa: TC001 - read at run time by pydantic

if TYPE_CHECKING:
    from pydantic.config import JsonDict
    from pydantic.json_schema import JsonSchemaValue

MOST_EVENTS = 100  # of one request
MOST_DECISIONS = 1_000  # of one batch
LEAST_DEADLINE_MS, MOST_DEADLINE_MS = 10, 10_000
KINDS = ("lead", "opportunity", "account")  # of whom one may ask
_ANYTHING = ("null", "boolean", "number", "string", "array", "object")
_LARGEST = 2**53  # an integer that every JSON reader keeps exact

type Kind = Literal["lead", "opportunity", "account"]
type Deadline = Annotated[
    StrictInt,
    Field(ge=LEAST_DEADLINE_MS, le=MOST_DEADLINE_MS),
    BeforeValidator(whole),
]
type Number = Annotated[StrictInt, Field(ge=-_LARGEST, le=_LARGEST), BeforeValidator(whole)]
_DEADLINE: Any = Field(
    default=None,
    description="Milliseconds within which the service answers, by the fallback if it must. "
    "Default: that of the service.",
)


class EventIn(Asked):
    """An event the caller knows of and the log may not; it must lie before the decision's time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "touch",
                    "name": "pricing_visit",
                    "event_time": "2026-02-01T09:30:00Z",
                    "lead": "lead-00042",
                    "account": "account-00007",
                }
            ]
        }
    )
    kind: Key = Field(description="As in its contract: touch, lead, opportunity, ...")
    name: Key = Field(description="What happened, as in its contract.")
    event_time: Moment = Field(description="When it happened, with its zone.")
    account: Key | None = None
    person: Key | None = Field(default=None, description="The keyed pseudonym of a person.")
    lead: Key | None = None
    opportunity: Key | None = None
    campaign: Key | None = None
    product: Key | None = None
    rep: Key | None = None
    number: Number | None = None
    text: str | None = Field(default=None, max_length=2000)


def _about(kind: str) -> JsonDict:
    """Return the schema of what names one of this kind, and none of another."""
    nobody: JsonDict = {other: {"type": "null"} for other in KINDS if other != kind}
    return {"required": [kind], "properties": {kind: {"type": "string"}, **nobody}}


class DecisionRequest(Asked):
    """Ask for a decision about one lead, opportunity or account (its best open lead)."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [_about(kind) for kind in KINDS],
            "examples": [
                {"lead": "lead-00042"},
                {"account": "account-00007", "as_of": "2026-02-01T09:30:00Z", "deadline_ms": 200},
            ],
        }
    )
    lead: Key | None = None
    opportunity: Key | None = None
    account: Key | None = None
    as_of: Moment | None = Field(
        default=None, description="T: only what happened and was known before counts. Default: now."
    )
    events: list[EventIn] = Field(
        default=[], max_length=MOST_EVENTS, description="What counts beyond the event log."
    )
    reasons: StrictBool = Field(default=True, description="Whether to say what moved the score.")
    deadline_ms: Deadline | None = _DEADLINE
    idempotency_key: IdempotencyKey | None = Field(
        default=None,
        description="Two requests of one key are one decision; the header Idempotency-Key may say "
        "it instead. Printable ASCII.",
    )

    @model_validator(mode="after")
    def _about_one(self) -> Self:
        named = (self.lead is not None) + (self.opportunity is not None)
        if named + (self.account is not None) != 1:
            raise ValueError("name exactly one of lead, opportunity and account")
        return self

    @property
    def kind(self) -> Kind:
        """Of what it asks: lead, opportunity or account."""
        if self.lead is not None:
            return "lead"
        return "account" if self.opportunity is None else "opportunity"

    @property
    def key(self) -> str:
        """The id of whom it asks about."""
        return self.lead or self.opportunity or self.account or ""


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What stands in a batch in place of a request that is none."""

    problem: Problem


def _one_or_wrong(value: Any, handler: ValidatorFunctionWrapHandler) -> DecisionRequest | Wrong:
    try:
        asked: DecisionRequest = handler(value)
    except ValidationError as error:
        return Wrong(problem=Problem.broken(error))
    return asked


class _EachAlone:
    """Validates one request of a batch, so that a wrong one does not cost its neighbours."""

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler.generate_schema(DecisionRequest)
        return core_schema.no_info_wrap_validator_function(_one_or_wrong, inner)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Say that anything may stand here: what is no request is answered by itself."""
        request = handler(DecisionRequest.__pydantic_core_schema__)
        return {
            "description": "What is no request is answered with a problem of its own.",
            "anyOf": [request, {"type": list(_ANYTHING)}],
        }


class BatchRequest(Asked):
    """Ask for up to 1,000 decisions at once; each is answered by itself, in order."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"decisions": [{"lead": "lead-00042"}]}]}
    )
    decisions: list[Annotated[DecisionRequest | Wrong, _EachAlone()]] = Field(
        min_length=1, max_length=MOST_DECISIONS
    )
    deadline_ms: Deadline | None = _DEADLINE


class BasisOut(Answered):
    """Ids of everything a decision was made from."""

    target: str = Field(description="What was predicted: name@version.")
    model: str | None = Field(description="Null when no model answered.")
    calibrator: str | None = Field(default=None, description="Digest; null when none was used.")
    policy: str
    view: str = Field(description="What computed the features.")
    code: str = Field(description="Digest of the code.")


class FallbackOut(Answered):
    """Why the rules answered in place of the model."""

    cause: Literal["deadline", "breaker_open", "model_failed", "no_model"]
    detail: str


class DecisionOut(Answered):
    """A decision; its record was durable before this answer was sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "9f3a3f13746d42a887df092d552e9862",
                    "entity": "lead-00042",
                    "account": "account-00007",
                    "as_of": "2026-02-01T09:30:00Z",
                    "score": 0.5,
                    "interval": [0.25, 0.75],
                    "confidence": "low",
                    "route": "account_executive",
                    "route_reason": "likely to qualify soon",
                    "reasons": [],
                    "trace": ["account_executive: 0.5000 >= 0.5: True"],
                    "basis": {
                        "target": "lead_qualification@96458b29fe95cdfd",
                        "model": "6b485a31",
                        "calibrator": "0c5d2a",
                        "policy": "lead_routing@1-963f048ff883",
                        "view": "lead_engagement@f4467b0de3775361",
                        "code": "f9f0d47d",
                    },
                    "decided_at": "2026-02-01T09:30:00.012Z",
                    "fallback": None,
                    "release": None,
                    "exploration": None,
                    "overridden": None,
                }
            ]
        }
    )
    id: str
    entity: str = Field(description="Who was scored: of an account its best open lead.")
    account: str | None
    as_of: datetime = Field(description="T: what the features look back from.")
    score: Probability = Field(description="Calibrated probability.")
    interval: tuple[float, float] = Field(description="Low and high end of the probability.")
    confidence: str = Field(description="high, medium or low, by the width of the interval.")
    route: str
    route_reason: str
    reasons: list[ReasonOut] | None = Field(description="Strongest first; null: not asked for.")
    trace: list[str] = Field(description="Every rule of the policy that was looked at.")
    basis: BasisOut
    decided_at: datetime
    fallback: FallbackOut | None = Field(
        default=None, description="Null when the model answered as it should."
    )
    release: ReleaseOut | None = Field(
        default=None, description="Null while no release is under way for the account."
    )
    exploration: ExplorationOut | None = Field(
        default=None, description="Null where the policy explores nothing."
    )
    overridden: OverriddenOut | None = Field(
        default=None, description="What a person did last instead; only a decision that is read."
    )


class BatchItemOut(Answered):
    """One answer of a batch: a decision (200) or a problem."""

    status: int
    decision: DecisionOut | None = None
    problem: Problem | None = None


class BatchOut(Answered):
    """The answers of a batch."""

    decisions: list[BatchItemOut] = Field(description="In the order in which they were asked for.")


class ReplayOut(Answered):
    """A decision made once more under the versions of then."""

    id: str
    equal: bool = Field(description="Whether every byte came out again.")
    differs: list[str] = Field(description="Names of the fields that did not.")
    gone: list[str] = Field(description="Sentences: which inputs are gone.")
    decision: DecisionOut | None = Field(description="What came out; null when it could not be.")
