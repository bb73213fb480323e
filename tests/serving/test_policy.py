"""The policy: thresholds, review of what is unsure, and a trace that says what was looked at."""

from __future__ import annotations

import pytest

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, validated
from serving.policy import Policy, apply, load_policy

POLICY = Policy.model_validate(
    {
        "name": "test",
        "version": 3,
        "routes": [
            {"route": "call", "at_least": 0.5, "reason": "hot"},
            {"route": "mail", "at_least": 0.1, "reason": "warm"},
            {"route": "wait", "at_least": 0, "reason": "cold"},
        ],
        "review": {"route": "human", "interval_wider_than": 0.6, "reason": "unsure"},
    }
)


@pytest.mark.parametrize(
    ("probability", "low", "high", "route", "confidence"),
    [
        (0.5, 0.45, 0.55, "call", "high"),
        (0.4999, 0.3, 0.6, "mail", "medium"),
        (0.1, 0.0, 0.4, "mail", "low"),
        (0.0, 0.0, 0.05, "wait", "high"),
        (0.9, 0.2, 0.95, "human", "low"),
    ],
)
def test_a_score_goes_where_its_threshold_says(
    probability: float, low: float, high: float, *, route: str, confidence: str
) -> None:
    """The first threshold reached; a person where the interval is too wide."""
    verdict = apply(POLICY, probability, low, high)
    assert (verdict.route, verdict.confidence) == (route, confidence)
    assert verdict.trace


def test_the_trace_ends_with_the_rule_that_decided() -> None:
    """Every rule looked at, in order, with the numbers compared."""
    assert apply(POLICY, 0.2, 0.15, 0.25).trace == (
        "interval width 0.100 > 0.6: False",
        "call: 0.2000 >= 0.5: False",
        "mail: 0.2000 >= 0.1: True",
    )


@pytest.mark.parametrize("bounds", [(0.1, 0.5, 0.0), (0.5, 0.1)])
def test_thresholds_must_fall_to_zero(bounds: tuple[float, ...]) -> None:
    """A policy that would leave a score without a route is refused."""
    routes = [{"route": "x", "at_least": b, "reason": ""} for b in bounds]
    with pytest.raises(WrongUse, match="must fall from route to route and end at 0"):
        validated(Policy, {"name": "p", "version": 1, "routes": routes}, where="p.yaml")


def test_every_declared_policy_loads_and_its_id_covers_its_content() -> None:
    """A changed threshold is another id, even under the same version."""
    for path in (CONFIGS / "policies").glob("*.yaml"):
        policy = load_policy(str(path))
        assert policy.id.startswith(f"{path.stem}@{policy.version}-")
    changed = POLICY.model_copy(update={"high_confidence_below": 0.3})
    assert changed.id != POLICY.id
