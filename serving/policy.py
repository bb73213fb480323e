"""The policy: from a calibrated score, and what else is known of the row, to a route. A small,
versioned, frozen set of rules. Pure.

Its own rules are asked first, in order, and the first that fires decides; then whether the score is
sure enough to act on; then the thresholds. Where no model could be asked the fallback decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from cluster import canonical
from cluster.settings import Frozen, load, named
from serving.releases.exploring import Explore
from serving.rules import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from serving.releases.exploring import Explored

type Confidence = Literal["high", "medium", "low"]
type Row = Mapping[str, Any]  # features by name

_SAID_AS = {"at_least": ">=", "at_most": "<=", "equals": "is", "one_of": "is one of"}
_SINCE = (
    "rules",
    "fallback",
    "explore",
)  # fields that old policies do not say: they keep their ids


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


class Override(Frozen):
    """Where a row goes, whatever its score, when a feature says so. A null never fires."""

    name: str = Field(min_length=1)
    when: Condition
    route: str
    reason: str

    @property
    def said(self) -> str:
        """The condition as the trace has it."""
        return f"{_SAID_AS[self.when.op]} {_plain(self.when.value)}"


class Fallback(Frozen):
    """Where a row goes when no model could be asked."""

    route: str
    reason: str


class Policy(Frozen):
    """Rules on features, review of what is unsure, and routes by falling threshold."""

    name: str
    version: int = Field(ge=1)
    rules: tuple[Override, ...] = ()  # the first that fires is taken, before any score
    routes: tuple[Route, ...] = Field(min_length=1)  # the first that fits is taken
    review: Review | None = None
    fallback: Fallback | None = None  # None: see `without_model`
    explore: Explore | None = None  # None: nothing is drawn by lot
    high_confidence_below: float = 0.2  # width of the interval
    medium_confidence_below: float = 0.4

    @model_validator(mode="after")
    def _falling(self) -> Self:
        bounds = [route.at_least for route in self.routes]
        if bounds != sorted(bounds, reverse=True) or bounds[-1] != 0:
            raise ValueError("thresholds must fall from route to route and end at 0")
        return self

    @model_validator(mode="after")
    def _own_names(self) -> Self:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"a rule's name must be its own, got '{name}' twice")
        return self

    @model_validator(mode="after")
    def _explores_its_own(self) -> Self:
        known = [route.route for route in self.routes]
        for route in self.explore.routes if self.explore else ():
            if route not in known:
                raise ValueError(f"a route to explore must have a threshold, got '{route}'")
        return self

    @property
    def document(self) -> dict[str, Any]:
        """The content as plain JSON values; without what policies could not say once, if unsaid."""
        said = self.model_dump(mode="json")
        return {key: value for key, value in said.items() if value or key not in _SINCE}

    @property
    def id(self) -> str:
        """Name, version and hash of the content."""
        return f"{self.name}@{self.version}-{canonical.digest(self.document)[:12]}"

    @property
    def features(self) -> tuple[str, ...]:
        """The features that its rules look at, each once."""
        return tuple(dict.fromkeys(rule.when.feature for rule in self.rules))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where a score goes, and why."""

    route: str
    confidence: Confidence
    reason: str
    trace: tuple[str, ...]  # every rule that was looked at, in order, and what it said
    exploration: Explored | None = None  # None: the policy explores nothing


def apply(
    policy: Policy, probability: float, low: float, high: float, row: Row | None = None
) -> Verdict:
    """Return the verdict on a calibrated probability and its interval, all in 0..1, of a row.

    Without a row no rule fires. WrongUse where a rule compares a text with a number, KeyError where
    the row lacks its feature: see `serving.slots.fit`.
    """
    trace: list[str] = []
    fired = _override(policy.rules, row, trace) if policy.rules else None
    return _scored(policy, probability, low, high, trace, fired=fired)


def apply_all(
    policy: Policy,
    probability: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    rows: pa.Table | Sequence[Row] | None = None,
) -> list[Verdict]:
    """Return what `apply` does for each of n rows; arrays are (n,) float64."""
    numbers = zip(probability.tolist(), low.tolist(), high.tolist(), strict=True)
    if not policy.rules:
        return [_scored(policy, *scored, []) for scored in numbers]
    looked = _overrides(policy.rules, rows, len(probability))
    return [
        _scored(policy, *scored, trace, fired=fired)
        for scored, (trace, fired) in zip(numbers, looked, strict=True)
    ]


def is_unsure(policy: Policy, width: float) -> bool:
    """Does review take a score with an interval of this width?"""
    return policy.review is not None and width > policy.review.interval_wider_than


def without_model(policy: Policy, cause: str, row: Row | None = None) -> Verdict:
    """Return the verdict on a row that no model was asked about, and why none was.

    Rules count as ever; what they leave over goes where the policy's fallback says; without one,
    where review sends what is unsure, or else to the lowest route. Confidence is low.
    """
    trace: list[str] = []
    fired = _override(policy.rules, row, trace) if policy.rules else None
    unsure = policy.review or policy.routes[-1]
    other = policy.fallback or Fallback(route=unsure.route, reason="no model could be asked")
    if fired is None:
        trace.append(f"{other.route}: no score, {cause}: True")
    taken = fired or other
    return Verdict(route=taken.route, confidence="low", reason=taken.reason, trace=tuple(trace))


def load_policy(name: str) -> Policy:
    """Read configs/policies/<name>.yaml, or the file given."""
    return load(Policy, named("policies", name))


def _scored(
    policy: Policy,
    probability: float,
    low: float,
    high: float,
    trace: list[str],
    *,
    fired: Override | None = None,
) -> Verdict:
    width = high - low
    taken = fired or _reviewed(policy, width, trace) or _routed(policy, probability, trace)
    return Verdict(
        route=taken.route,
        confidence=_confidence(policy, width),
        reason=taken.reason,
        trace=tuple(trace),
    )


def _override(rules: Sequence[Override], row: Row | None, trace: list[str]) -> Override | None:
    for rule in rules:
        value = None if row is None else row[rule.when.feature]
        fires = rule.when.fires(value)
        trace.append(_looked(rule, value, fires))
        if fires:
            return rule
    return None


def _overrides(
    rules: Sequence[Override], rows: pa.Table | Sequence[Row] | None, n: int
) -> list[tuple[list[str], Override | None]]:
    """Return the trace of each row so far, and the rule that fired."""
    found: list[tuple[list[str], Override | None]] = [([], None) for _ in range(n)]
    for rule in rules:
        values, fires = _asked(rule, rows, n)
        for place, (trace, fired) in enumerate(found):
            if fired is None:
                trace.append(_looked(rule, values[place], fires[place]))
                found[place] = (trace, rule if fires[place] else None)
    return found


def _asked(
    rule: Override, rows: pa.Table | Sequence[Row] | None, n: int
) -> tuple[Sequence[Any], Sequence[bool]]:
    """Return the feature of a rule in every row, and whether the rule fires there."""
    name = rule.when.feature
    if rows is None:
        return [None] * n, [False] * n
    if isinstance(rows, pa.Table):
        return rows[name].to_pylist(), rule.when.holds(rows[name]).tolist()
    values = [row[name] for row in rows]
    return values, [rule.when.fires(value) for value in values]


def _looked(rule: Override, value: object, fires: bool) -> str:
    return f"{rule.name}: {rule.when.feature} {_plain(value)} {rule.said}: {fires}"


def _plain(value: object) -> str:
    """Return a value as the trace has it."""
    if value is None or value != value:
        return "unknown"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _reviewed(policy: Policy, width: float, trace: list[str]) -> Review | None:
    review = policy.review
    if review is None:
        return None
    uncertain = is_unsure(policy, width)
    trace.append(f"interval width {width:.3f} > {_said(review.interval_wider_than)}: {uncertain}")
    return review if uncertain else None


def _routed(policy: Policy, probability: float, trace: list[str]) -> Route:
    shown = f"{probability:.4f} >="
    for route in policy.routes:
        fits = probability >= route.at_least
        trace.append(f"{route.route}: {shown} {_said(route.at_least)}: {fits}")
        if fits:
            break
    return route


@lru_cache(maxsize=1024)
def _said(number: float) -> str:
    return str(number)


def _confidence(policy: Policy, width: float) -> Confidence:
    if width < policy.high_confidence_below:
        return "high"
    return "medium" if width < policy.medium_confidence_below else "low"
