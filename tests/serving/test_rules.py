"""Rules give points for what is known; null never fires; a mistake is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import WrongUse
from serving import rules

if TYPE_CHECKING:
    import pandas as pd


def _rule(op: str, value: object, feature: str = "visits", points: int = 10) -> dict[str, Any]:
    when = {"feature": feature, "op": op, "value": value}
    return {"name": f"{feature} {op} {value}", "when": when, "points": points}


TABLE = pa.table(
    {
        "visits": pa.array([0, 3, 5, None], pa.int64()),
        "share": pa.array([0.5, float("nan"), None, 1.0]),
        "region": pa.array(["eu", None, "us", "apac"], pa.large_string()),
    }
)


@pytest.mark.parametrize(
    ("op", "value", "feature", "fires"),
    [
        ("at_least", 3, "visits", [0, 1, 1, 0]),
        ("at_least", 2.5, "visits", [0, 1, 1, 0]),
        ("at_most", 3, "visits", [1, 1, 0, 0]),
        ("equals", 0, "visits", [1, 0, 0, 0]),
        ("one_of", [0, 5], "visits", [1, 0, 1, 0]),
        ("at_least", 0, "share", [1, 0, 0, 1]),
        ("equals", "eu", "region", [1, 0, 0, 0]),
        ("one_of", ["us", "apac", "mars"], "region", [0, 0, 1, 1]),
    ],
)
def test_each_operation_fires_where_it_should(
    op: str, value: object, feature: str, fires: list[int]
) -> None:
    """On a table and on a frame; null and NaN never fire."""
    parsed = rules.parse([_rule(op, value, feature, points=-7)])
    wanted = [-7 * fired for fired in fires]
    found = rules.score(parsed, TABLE)
    assert found.dtype == np.int64
    assert found.tolist() == wanted == rules.score(parsed, TABLE.to_pandas()).tolist()


def test_points_add_up_and_the_trace_names_what_fired() -> None:
    """In the order of the declaration."""
    parsed = rules.parse([_rule("at_least", 3), _rule("equals", "us", "region", 5)])
    assert rules.score(parsed, TABLE).tolist() == [0, 10, 15, 0]
    row = {"visits": 5, "region": "us", "share": None}
    fired = [rule.name for rule in rules.fired(parsed, row)]
    assert fired == ["visits at_least 3", "region equals us"]
    assert rules.fired(parsed, {"visits": None, "region": None}) == ()
    assert rules.score((), TABLE).tolist() == [0, 0, 0, 0]


VALUES = st.one_of(st.none(), st.integers(-9, 9), st.floats(-9, 9), st.just(float("nan")))


@given(st.sampled_from(["at_least", "at_most", "equals"]), st.integers(-9, 9), VALUES)
def test_one_row_fires_as_it_does_in_a_table(op: str, bound: int, value: float | None) -> None:
    """The scalar and the vectorised reading agree."""
    parsed = rules.parse([_rule(op, bound)])
    column = pa.array([value], pa.float64())
    points = rules.score(parsed, pa.table({"visits": column})).tolist()
    assert points == [10 * len(rules.fired(parsed, {"visits": value}))]


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (_rule("at_leest", 3), "did you mean 'at_least'"),
        ({**_rule("equals", 3), "point": 3}, "unknown key 'point': did you mean 'points'"),
        ({"name": "a", "when": {"featur": "x"}, "points": 1}, "did you mean 'feature'"),
        ({"name": "a", "when": {"feature": "x", "op": "equals"}, "points": 1}, "Field required"),
        (_rule("at_least", "many"), "at_least takes a number"),
        (_rule("at_least", [1, 2]), "one_of takes a list"),
        (_rule("one_of", 3), "one_of takes a list"),
        (_rule("one_of", []), "at least one"),
        (_rule("one_of", [1, "a"]), "not both"),
        (_rule("equals", True), "a value is a number or a text"),
        (_rule("equals", None), "a value is a number or a text"),
        ({**_rule("equals", 3), "points": "ten"}, "'points'"),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_line(declared: dict[str, Any], words: str) -> None:
    """The message names the rule and what would be right."""
    with pytest.raises(WrongUse, match=words) as refused:
        rules.parse([declared])
    assert "\n" not in str(refused.value)


def test_two_rules_cannot_share_a_name() -> None:
    """The trace would not tell them apart."""
    with pytest.raises(WrongUse, match="must be its own"):
        rules.parse([_rule("equals", 3), _rule("equals", 3)])


@pytest.mark.parametrize("frame", [TABLE, TABLE.to_pandas()])
def test_a_rule_about_no_feature_is_refused(frame: pa.Table | pd.DataFrame) -> None:
    """With the nearest feature there is."""
    parsed = rules.parse([_rule("equals", 3, "visit")])
    with pytest.raises(WrongUse, match="got 'visit': did you mean 'visits'"):
        rules.score(parsed, frame)
    with pytest.raises(WrongUse, match="got 'visit': did you mean 'visits'"):
        rules.fired(parsed, {"visits": 3})


@pytest.mark.parametrize(("value", "feature"), [(3, "region"), ("eu", "visits")])
def test_a_rule_that_compares_unlike_things_is_refused(value: object, feature: str) -> None:
    """A number with a text, in a table as in a row."""
    parsed = rules.parse([_rule("equals", value, feature)])
    with pytest.raises(WrongUse, match="must compare like with like"):
        rules.score(parsed, TABLE)
    with pytest.raises(WrongUse, match="must compare like with like"):
        rules.fired(parsed, TABLE.to_pylist()[0])
