"""The policy: from a calibrated score to a route. A small, versioned, frozen set of thresholds.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from cluster import canonical
from cluster.settings import Frozen, load, named

type Confidence = Literal["high", "medium", "low"]


class Route(Frozen):
    """A destination for scores from `at_least` on."""

    route: str
    at_least: float = Field(ge=0, le=1)
    reason: str


class Review(Frozen):
    """Where a score goes that is too uncertain to act on."""

    route: str
    interval_wider_than: float = Field(gt=0, le=1)
    reason: str


class Policy(Frozen):
    """Routes by falling threshold; the first that fits is taken."""

    name: str
    version: int = Field(ge=1)
    routes: tuple[Route, ...] = Field(min_length=1)
    review: Review | None = None
    high_confidence_below: float = 0.2  # width of the interval
    medium_confidence_below: float = 0.4

    @model_validator(mode="after")
    def _falling(self) -> Self:
        bounds = [route.at_least for route in self.routes]
        if bounds != sorted(bounds, reverse=True) or bounds[-1] != 0:
            raise ValueError("thresholds must fall from route to route and end at 0")
        return self

    @property
    def id(self) -> str:
        """Name, version and hash of the content."""
        return f"{self.name}@{self.version}-{canonical.digest(self.model_dump(mode='json'))[:12]}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where a score goes, and why."""

    route: str
    confidence: Confidence
    reason: str
    trace: tuple[str, ...]  # every rule that was looked at, in order, and what it said


def apply(policy: Policy, probability: float, low: float, high: float) -> Verdict:
    """Return the verdict on a calibrated probability and its interval, all in 0..1."""
    width = high - low
    confidence = _confidence(policy, width)
    trace: list[str] = []
    if policy.review is not None:
        uncertain = width > policy.review.interval_wider_than
        trace.append(
            f"interval width {width:.3f} > {policy.review.interval_wider_than}: {uncertain}"
        )
        if uncertain:
            return Verdict(
                route=policy.review.route,
                confidence=confidence,
                reason=policy.review.reason,
                trace=tuple(trace),
            )
    for route in policy.routes:
        fits = probability >= route.at_least
        trace.append(f"{route.route}: {probability:.4f} >= {route.at_least}: {fits}")
        if fits:
            break
    return Verdict(
        route=route.route, confidence=confidence, reason=route.reason, trace=tuple(trace)
    )


def load_policy(name: str) -> Policy:
    """Read configs/policies/<name>.yaml, or the file given."""
    return load(Policy, named("policies", name))


def _confidence(policy: Policy, width: float) -> Confidence:
    if width < policy.high_confidence_below:
        return "high"
    return "medium" if width < policy.medium_confidence_below else "low"
