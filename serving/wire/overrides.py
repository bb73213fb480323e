"""Overrides: what a person did instead of what a decision says."""

from __future__ import annotations

from datetime import datetime

from pydantic import ConfigDict, Field

from serving.wire.base import NO_CONTROLS, Answered, Asked
from serving.wire.releases import NAME

LONGEST_ROUTE = 500  # as a policy may name one


class OverrideRequest(Asked):
    """Say what was done instead of what a decision says."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"route": "nurture", "reason": "wrong_segment"}]}
    )
    route: str = Field(
        min_length=1,
        max_length=LONGEST_ROUTE,
        pattern=NO_CONTROLS,
        description="What was done: another route of the policy that decided.",
    )
    reason: str | None = Field(
        default=None,
        pattern=NAME,
        description="A code of your own. It stays on record: it must name no person.",
    )


class OverriddenOut(Answered):
    """What a person did instead; it was on record before this answer was sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "route": "nurture",
                    "decided": "account_executive",
                    "reason": "wrong_segment",
                    "actor": "crm",
                    "reviewed": False,
                    "at": "2026-02-01T10:12:00Z",
                }
            ]
        }
    )
    route: str
    decided: str = Field(description="The route that was decided.")
    reason: str | None
    actor: str = Field(description="Who said so: the subject of the credential.")
    reviewed: bool = Field(
        description="Whether the policy left the decision to a person: no guard counts it then."
    )
    at: datetime
