"""The explanation of a decision: every reason, down to the rows of its sources."""

from __future__ import annotations

import operator
from datetime import datetime

from pydantic import Field

from serving.wire.base import Answered, Probability, Value
from serving.wire.reasons import ReasonCore


class ShareOut(Answered):
    """What one feature of a reason did."""

    name: str
    label: str
    value: Value = Field(description="Null when it is missing.")
    contribution: float | None = Field(
        description="Change of the log-odds; null of rules, and where the model is gone."
    )
    withheld: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="True: the value is above your clearance, and null here. Absent otherwise.",
    )


class SourceRowOut(Answered):
    """An event behind a reason, and the row of a source that told of it."""

    event_id: str = Field(description="32 hex digits.")
    kind: str
    name: str
    event_time: datetime = Field(description="When it happened.")
    known_at: datetime = Field(description="When it became known.")
    source: str
    row_key: str | None
    source_row: int | None = Field(description="The row's number in its file.")
    file: str | None
    number: int | None
    text: str | None
    withheld: list[str] = Field(
        default=[],
        exclude_if=operator.not_,
        description="Columns above your clearance, which are null here. Absent if none is.",
    )


class ExplainedOut(ReasonCore):
    """A reason with its features and the events that they were computed from."""

    features: list[ShareOut]
    count: int | None = Field(description="Of the events, shown or not; null if withheld.")
    rows: list[SourceRowOut] = Field(description="The newest of them, as many as asked for.")


class ExplanationOut(Answered):
    """Why a decision has its score: base and contributions add up to it."""

    id: str
    entity: str
    score: Probability = Field(description="Calibrated probability.")
    base: Probability | None = Field(
        description="Calibrated probability before any reason; null where the model is gone."
    )
    reasons: list[ExplainedOut] = Field(description="All of them, strongest first.")
    gone: list[str] = Field(
        default=[], description="Sentences: what could not be had again, and is left out."
    )
