"""The policy: thresholds, review of what is unsure, and a trace that says what was looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, validated
from serving import policy
from serving.policy import Policy, apply, apply_all, load_policy, without_model

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
        found = load_policy(str(path))
        assert found.id.startswith(f"{path.stem}@{found.version}-")
    changed = POLICY.model_copy(update={"high_confidence_below": 0.3})
    assert changed.id != POLICY.id


RULED = Policy.model_validate(
    POLICY.document
    | {
        "rules": [
            {
                "name": "consent",
                "when": {"feature": "consent", "op": "equals", "value": "withdrawn"},
                "route": "suppress",
                "reason": "asked not to be contacted",
            },
            {
                "name": "tier",
                "when": {"feature": "tier", "op": "one_of", "value": ["gold", "silver"]},
                "route": "partner",
                "reason": "a named account",
            },
            {
                "name": "busy",
                "when": {"feature": "visits", "op": "at_least", "value": 5},
                "route": "call",
                "reason": "many visits",
            },
        ],
        "fallback": {"route": "queue", "reason": "scored later"},
    }
)
QUIET = {"consent": "given", "tier": "none", "visits": None}


@pytest.mark.parametrize(
    ("row", "route", "looked"),
    [
        (QUIET, "call", 5),
        (QUIET | {"consent": "withdrawn", "tier": "gold"}, "suppress", 1),
        (QUIET | {"tier": "silver"}, "partner", 2),
        (QUIET | {"visits": 5}, "call", 3),
        (QUIET | {"consent": None, "tier": None}, "call", 5),
        (None, "call", 5),
    ],
)
def test_rules_are_asked_before_the_score(
    row: dict[str, Any] | None, route: str, looked: int
) -> None:
    """In their order, the first that fires; the trace has every one that was looked at."""
    verdict = apply(RULED, 0.6, 0.5, 0.7, row)
    assert verdict.route == route
    assert len(verdict.trace) == looked
    assert [line.endswith("True") for line in verdict.trace] == [False] * (looked - 1) + [True]


def test_the_trace_says_what_a_rule_saw() -> None:
    """The feature, its value, and what it was compared with."""
    assert apply(RULED, 0.6, 0.5, 0.7, QUIET | {"visits": 7}).trace == (
        "consent: consent given is withdrawn: False",
        "tier: tier none is one of gold, silver: False",
        "busy: visits 7 >= 5: True",
    )
    assert "visits unknown >= 5: False" in apply(RULED, 0.6, 0.5, 0.7, QUIET).trace[2]


@settings(deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "consent": st.sampled_from(["given", "withdrawn", None]),
                "tier": st.sampled_from(["gold", "none", None]),
                "visits": st.sampled_from([None, 0, 4, 5, 9]),
                "score": st.floats(0, 1),
                "width": st.floats(0, 1),
            }
        ),
        max_size=8,
    ),
    has_rules=st.booleans(),
)
def test_many_rows_at_once_are_each_as_alone(rows: list[dict[str, Any]], has_rules: bool) -> None:
    """As a table, as records, and without rows."""
    asked = RULED if has_rules else POLICY
    score = np.array([row["score"] for row in rows])
    low, high = np.zeros(len(rows)), np.array([row["width"] for row in rows])
    alone = [apply(asked, row["score"], 0.0, row["width"], row) for row in rows]
    schema = {"consent": pa.string(), "tier": pa.string(), "visits": pa.int64()}
    table = pa.table({k: pa.array([r[k] for r in rows], t) for k, t in schema.items()})
    assert apply_all(asked, score, low, high, table) == alone
    assert apply_all(asked, score, low, high, rows) == alone
    bare = [apply(asked, row["score"], 0.0, row["width"]) for row in rows]
    assert apply_all(asked, score, low, high) == bare


def test_without_a_model_the_fallback_decides_what_rules_leave_over() -> None:
    """With low confidence, and the cause in the trace; without one review, or the lowest route."""
    found = without_model(RULED, "deadline", QUIET)
    assert (found.route, found.reason, found.confidence) == ("queue", "scored later", "low")
    assert found.trace[-1] == "queue: no score, deadline: True"
    assert without_model(RULED, "deadline", QUIET | {"consent": "withdrawn"}).route == "suppress"
    assert without_model(RULED, "deadline").route == "queue"
    assert without_model(POLICY, "breaker_open").route == "human"
    bare = POLICY.model_copy(update={"review": None})
    assert without_model(bare, "breaker_open").route == "wait"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "consent"}, "must be its own, got 'consent' twice"),
        ({"when": {"feature": "a", "op": "like", "value": 1}}, "op must be known"),
        ({"when": {"feature": "a", "op": "at_least", "value": "b"}}, "takes a number"),
    ],
)
def test_rules_are_checked_when_they_are_read(changes: dict[str, Any], says: str) -> None:
    """In one line."""
    rules = RULED.document["rules"]
    declared = RULED.document | {"rules": [*rules, rules[1] | {"name": "new"} | changes]}
    with pytest.raises(WrongUse, match=says):
        validated(Policy, declared, where="p.yaml")


def test_old_policies_keep_their_ids() -> None:
    """What they could not say is not part of their content; what they say now is."""
    assert load_policy("lead_routing").id == "lead_routing@1-963f048ff883"
    assert "rules" not in POLICY.document
    assert RULED.id != POLICY.id
    assert Policy.model_validate(RULED.document) == RULED


def test_a_document_of_all_fields_would_change_old_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defence switched off."""
    monkeypatch.setattr(policy, "_SINCE", ())
    assert load_policy("lead_routing").id != "lead_routing@1-963f048ff883"
