"""What was drawn by lot about a decision: its arm in a release, its route where one explores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from serving.wire.base import Answered, Probability


class ReleaseOut(Answered):
    """What the account drew in the release under way."""

    id: str
    arm: Literal["stable", "candidate"]
    epoch: int = Field(description="Of the release: it rises with each of its moves.")


class ExplorationOut(Answered):
    """What the account drew where the policy explores."""

    explored: bool = Field(description="Whether the route was drawn by lot.")
    propensity: Probability = Field(
        description="Chance with which this account would have got the route that it got."
    )
    own: str = Field(description="The route that the policy itself gives.")
