"""Releases: where each stands, what is held against it, what was live when, and orders to it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from serving.wire.base import NO_CONTROLS, Answered, Asked, whole

LONGEST_REASON = 500
MOST_MOVES = 1_000  # of one answer
MOST_WAIVED = 20
LAST_EPOCH = 2**31 - 1
NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"  # of a plan or policy: never a file

Whole = Annotated[int, BeforeValidator(whole), Field(ge=0, le=LAST_EPOCH)]


class StepRequest(Asked):
    """One step of a release."""

    expect_epoch: Whole = Field(
        description="The epoch that was seen: if another moved the release meanwhile, 409."
    )
    reason: str = Field(
        min_length=1, max_length=LONGEST_REASON, pattern=NO_CONTROLS, examples=["as planned"]
    )


class ResumeRequest(StepRequest):
    """Go on after a hold."""

    waive: tuple[str, ...] = Field(
        default=(), max_length=MOST_WAIVED, description="Guards that alarm no more."
    )


class StartRequest(StepRequest):
    """Begin a release."""

    plan: str = Field(pattern=NAME, description="Of configs/releases.", examples=["canary"])
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=NO_CONTROLS,
        description="Id or alias; null: the live one.",
    )
    policy: str | None = Field(
        default=None, pattern=NAME, description="Null: the one that the service asks."
    )
    version: Whole | None = Field(default=None, description="Of the policy; null: the active one.")


ASKED: dict[str, type[StepRequest]] = {
    "start": StartRequest,
    "advance": StepRequest,
    "approve": StepRequest,
    "pause": StepRequest,
    "resume": ResumeRequest,
    "abort": StepRequest,
    "rollback": StepRequest,
}  # by action


class PartsOut(Answered):
    """A full set of what answers."""

    model: str
    policy: str = Field(description="Digest of its document.")
    views: dict[str, str]


class PlanStepOut(Answered):
    """A step of a plan."""

    weight: float = Field(description="Percent of the accounts.")
    mirror: float = Field(description="Percent of the other decisions, made unseen.")
    bake_minutes: float
    accounts: int
    pairs: int
    approval: bool


class ReleaseOut(Answered):
    """A release of one target."""

    id: str
    state: str
    plan: str
    steps: list[PlanStepOut]
    step: int = Field(description="From 0.")
    step_since: datetime
    share: float = Field(description="Of the accounts, 0 to 1.")
    mirror: float = Field(description="Of the other decisions, 0 to 1.")
    policy: str = Field(description="Name of the policy that is followed.")
    stable: PartsOut
    candidate: PartsOut
    waived: list[str]
    why: str
    began: datetime


class FindingOut(Answered):
    """What one guard says."""

    guard: str
    is_alarm: bool
    is_waived: bool
    then: str = Field(description="What an alarm asks for: rollback or hold.")
    strength: float = Field(description="Evidence against the claim that all is well.")
    limit: float = Field(description="Of the strength, that is an alarm.")
    events: int
    said: str


class JudgedOut(Answered):
    """What the judge sees."""

    action: str | None = Field(description="What follows now; null for a release that is over.")
    why: str | None
    findings: list[FindingOut]
    look: int = Field(description="The last look that is counted; below 0: none.")
    looked_at: datetime
    is_whole: bool = Field(description="False: there are more looks than were counted by now.")
    more_outcomes: int | None = Field(
        description="About so many more, until the guard `outcome` would speak; null: none are"
        " enough while only one arm has accounts."
    )


class NotFollowingOut(Answered):
    """A replica that does not answer by the newest move."""

    replica: str
    epoch: int
    refused: str | None = Field(description="Why it does not take it; null: it is behind.")


class ReplicasOut(Answered):
    """The replicas alive, and how they are to the newest move."""

    alive: int
    following: int
    others: list[NotFollowingOut]


class StandingOut(Answered):
    """Where the newest release of a target stands."""

    target: str
    epoch: int = Field(description="Of its newest move; 0: none has begun.")
    since: datetime | None
    actor: str | None
    reason: str | None
    release: ReleaseOut | None


class StandingDetailOut(StandingOut):
    """The same with what the judge sees, and who follows."""

    judged: JudgedOut | None = Field(description="Null without a release, or while it is counted.")
    replicas: ReplicasOut


class ReleasesOut(Answered):
    """Every target that the service answers with, or that had a release."""

    releases: list[StandingOut]


class ReleaseMoveOut(Answered):
    """A move of a release."""

    release: str
    epoch: int
    state: str
    step: int
    share: float
    mirror: float
    since: datetime
    actor: str
    reason: str


class ArmOut(Answered):
    """What answered, or decided unseen."""

    arm: str
    model: str | None
    policy: str | None
    share: float
    mirror: float


class LiveOut(Answered):
    """What was live at a moment."""

    at: datetime
    release: str | None = Field(description="The newest that had begun.")
    state: str | None
    step: int | None
    arms: list[ArmOut]


class ReleaseHistoryOut(Answered):
    """What was live when."""

    target: str
    moves: list[ReleaseMoveOut] = Field(description="The newest, oldest first.")
    live: LiveOut | None = Field(description="Null where no moment was asked for.")
