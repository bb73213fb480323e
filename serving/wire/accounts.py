"""Accounts: how their scores went, why they moved, and whom to look at first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from serving.wire.base import Answered, Probability
from serving.wire.reasons import ReasonOut  # noqa: TC001 - read at run time by pydantic

MOST_ACCOUNTS = 1_000  # of one page
type List = Literal["high_intent", "at_risk"]
type Trend = Literal["rising", "falling", "steady"]
# a number of 64 bits as a text, because many readers of JSON would round it
type Snapshot = Annotated[str, Field(coerce_numbers_to_str=True, pattern=r"^-?[0-9]{1,20}$")]


class PointOut(Answered):
    """One score of an entity, as it was committed."""

    snapshot: Snapshot = Field(description="Id of the snapshot of the scores.")
    time: datetime = Field(description="T: what the features look back from.")
    score: Probability
    low: float
    high: float
    route: str
    trend: Trend | None = Field(description="Null for the first score.")
    previous: float | None = Field(description="The score before.")
    change: float | None = Field(description="Of the score since.")
    usual: float | None = Field(description="Median score of those of its segment.")


class PartOut(Answered):
    """What one cause did to a score."""

    cause: str = Field(description="late_events, time, new_events, model, calibrator or policy.")
    log_odds: float
    probability: float
    text: str = ""


class WhyOut(Answered):
    """Why a score moved between its last two snapshots: the parts add up to the change."""

    since: Snapshot = Field(alias="from")
    to: Snapshot
    parts: list[PartOut]


class TargetScoresOut(Answered):
    """The scores of one entity of an account for one target."""

    target: str
    entity: str
    course: list[PointOut] = Field(description="Newest first.")
    why: WhyOut | None = Field(description="Null when it was scored once, or cannot be told.")


class AccountScoresOut(Answered):
    """The scores of an account."""

    account: str
    targets: list[TargetScoresOut]


class PriorityOut(Answered):
    """An account of a list, by the one of its entities that puts it there."""

    account: str | None
    entity: str
    target: str
    score: Probability
    low: float
    high: float
    trend: Trend | None
    change: float | None
    route: str
    why: list[ReasonOut] = Field(description="At most 3, strongest first.")


class PageOut(Answered):
    """A page of a list of accounts, the first to look at first."""

    name: List = Field(alias="list")
    as_of: datetime | None = Field(description="T of the scores; null when there are none.")
    accounts: list[PriorityOut]
    next: str | None = Field(description="Give it as `after` for the next page; null at the end.")
