"""Reasons: what moved a score, as decisions, explanations and lists tell it."""

from __future__ import annotations

import operator

from pydantic import Field

from serving.wire.base import Answered, Value


class ReasonCore(Answered):
    """Features that say one thing, and how they moved the score."""

    feature: str = Field(description="The one of them that moved it most.")
    label: str = Field(description="What they say.")
    value: Value = Field(description="Of that feature; null when it is missing.")
    contribution: float = Field(description="Change of the log-odds by all of them.")
    group: str = Field(default="", description="Stable id of what they look at.")
    probability_change: float | None = Field(
        default=None, description="The calibrated probability less what it would be without them."
    )
    text: str = Field(default="", description="Value, direction and size in a sentence.")
    withheld: bool = Field(
        default=False,
        exclude_if=operator.not_,
        description="True: the value is above your clearance, and null here. Absent otherwise.",
    )


class ReasonOut(ReasonCore):
    """Features that say one thing, and how they moved the score."""

    features: list[str] = Field(default=[], description="All of them.")
