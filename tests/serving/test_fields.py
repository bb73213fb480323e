"""Fields by privacy class: what is above a clearance is withheld, and marked so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cluster.access.privacy import Privacy
from cluster.settings import CONFIGS
from features.contracts import load_contracts
from serving.access import columns, fields
from serving.api import reading
from serving.client import frames, many
from serving.reading import explanation
from serving.reading.explanation import Sight
from serving.wire.accounts import PageOut, PriorityOut
from serving.wire.decisions import BatchItemOut, DecisionOut
from serving.wire.explanations import ExplanationOut
from tests.jobs.scoring import NAME

if TYPE_CHECKING:
    import httpx

    from tests.serving.dominions import Dominion

DECISIONS = "/v1/decisions"
LIST = "/v1/accounts?order=priority&list=high_intent&limit=5"
FULL, LESS = "application", ("viewer", "planner")  # personal, internal


@pytest.fixture(scope="module")
def keys(made: Dominion) -> dict[str, dict[str, str]]:
    """Return a key of each role."""
    return {role: made.key(role) for role in (FULL, *LESS, "administrator", "auditor")}


@pytest.fixture(scope="module")
def id(made: Dominion, keys: dict[str, dict[str, str]]) -> str:
    """Return the id of a decision that has reasons of several features."""
    scored = made.workspace.tables.read(f"scores_{NAME}").to_pylist()
    best = max(scored, key=lambda row: row["probability"])
    asked = {"lead": best["entity"], "as_of": "2025-07-28T00:00:00Z", "deadline_ms": 9_000}
    answer = made.http.post(DECISIONS, json=asked, headers=keys[FULL])
    assert len(answer.json()["reasons"]) > 2
    found: str = answer.json()["id"]
    return found


def _read(made: Dominion, path: str, key: dict[str, str]) -> httpx.Response:
    answer = made.http.get(path, headers=key)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("role", LESS)
def test_values_above_a_clearance_are_withheld_from_a_decision(
    made: Dominion,
    keys: dict[str, dict[str, str]],
    id: str,
    role: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of every reason; what it did to the score is told. The mutant tells all."""
    whole = _read(made, f"{DECISIONS}/{id}", keys[FULL])
    less = _read(made, f"{DECISIONS}/{id}", keys[role])
    DecisionOut.model_validate_json(less.content)
    told, kept = whole.json(), less.json()
    assert {n for n in told if told[n] != kept[n]} == {"reasons"}
    for before, after in zip(told["reasons"], kept["reasons"], strict=True):
        assert after["withheld"] is True
        assert (after["value"], after["contribution"]) == (None, before["contribution"])
        said = f"withheld, {before['text'].rsplit(', ', 1)[1]}"
        assert after["text"] == said
    assert "withheld" not in whole.text
    monkeypatch.setattr(fields, "narrowed", lambda _: None)
    assert _read(made, f"{DECISIONS}/{id}", keys[role]).content == whole.content


def test_an_explanation_withholds_down_to_the_rows(
    made: Dominion, keys: dict[str, dict[str, str]], id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values of features, how many events there were and which: they would tell a count."""
    path = f"{DECISIONS}/{id}/explanation?most=20"
    whole, less = (_read(made, path, keys[role]) for role in (FULL, "viewer"))
    assert _read(made, path, keys["auditor"]).content == whole.content
    ExplanationOut.model_validate_json(less.content)
    told, kept = whole.json()["reasons"], less.json()["reasons"]
    assert any(each["rows"] for each in told)
    assert [each["contribution"] for each in told] == [each["contribution"] for each in kept]
    for each in kept:
        assert (each["withheld"], each["count"], each["rows"]) == (True, None, [])
        assert all(share["withheld"] and share["value"] is None for share in each["features"])
    monkeypatch.setattr(fields, "explained", lambda said, _: said)
    assert any(each["rows"] for each in _read(made, path, keys["viewer"]).json()["reasons"])


def test_source_rows_show_the_columns_that_are_cleared(
    made: Dominion, keys: dict[str, dict[str, str]], id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the features are open, free text and keys of rows are personal still."""
    path = f"{DECISIONS}/{id}/explanation?most=20"
    whole = _read(made, path, keys[FULL]).json()["reasons"]
    monkeypatch.setattr(fields, "opener", lambda *_: fields.everything)
    answer = _read(made, path, keys["viewer"])
    ExplanationOut.model_validate_json(answer.content)
    rows = [row for each in answer.json()["reasons"] for row in each["rows"]]
    assert rows
    for row in rows:
        assert row["withheld"] == ["row_key", "text"]
        assert (row["row_key"], row["text"]) == (None, None)
    names = [row["name"] for each in whole for row in each["rows"]]
    assert [row["name"] for row in rows] == names
    monkeypatch.setattr(fields, "sees_class", lambda *_: True)
    assert _read(made, path, keys["viewer"]).json()["reasons"] == whole


def test_lists_withhold_and_scores_have_nothing_to(
    made: Dominion, keys: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reasons of a list are withheld; scores, routes and moves are no fields."""
    whole, less = (_read(made, LIST, keys[role]).json() for role in (FULL, "administrator"))
    assert whole["next"] == less["next"]
    for before, after in zip(whole["accounts"], less["accounts"], strict=True):
        assert {n for n in before if before[n] != after[n]} == {"why"}
        assert all(each["withheld"] and each["value"] is None for each in after["why"])
        path = f"/v1/accounts/{before['account']}/scores?why=false"
        assert _read(made, path, keys["viewer"]).content == _read(made, path, keys[FULL]).content
    monkeypatch.setattr(fields, "reason", lambda said, _: said)
    assert _read(made, LIST, keys["viewer"]).json() == whole


def test_frames_of_the_client_show_what_is_withheld(
    made: Dominion, keys: dict[str, dict[str, str]], id: str
) -> None:
    """In the reasons of a row: null, and marked. What is told has no mark."""
    for role, is_withheld in ((FULL, False), ("viewer", True)):
        answer = _read(made, f"{DECISIONS}/{id}", keys[role])
        made_of = BatchItemOut(status=200, decision=DecisionOut.model_validate_json(answer.content))
        decided = many.table([made_of], _index(), [None])
        page = PageOut.model_validate_json(_read(made, LIST, keys[role]).content)
        listed = frames.table(page.accounts, PriorityOut)
        for reasons in (decided["reasons"].iloc[0], listed["why"].iloc[0]):
            assert [each.get("withheld", False) for each in reasons] == [is_withheld] * len(reasons)
            assert any(each["value"] is not None for each in reasons) != is_withheld


def _index() -> Any:
    import pandas as pd

    return pd.RangeIndex(1)


def test_no_sentence_tells_a_value_that_is_withheld(made: Dominion, id: str) -> None:
    """Where the events give another value than was decided upon."""
    body = made.service.recorded(id)
    assert body is not None
    name = body["reasons"][0]["feature"]
    other = {**body, "features": {**body["features"], name: 987654321}}
    sources = reading._sources(made.service, load_contracts(CONFIGS / "contracts"))
    closed = Sight(opens=lambda _: False, shows=lambda *_: True)
    (line,) = explanation.explain(other, sources, sight=closed).gone
    assert (f"'{name}'" in line, "987654321" in line) == (True, False)
    (mutant,) = explanation.explain(other, sources).gone
    assert "987654321" in mutant


BODY: dict[str, Any] = {
    "id": "d", "entity": "deal-1", "account": None, "time": "t", "decided_at": "t",
    "probability": 0.5, "low": 0.4, "high": 0.6,
    "features": {"stage": "proposal", "touch_gap_hours_90d": 7.5},
    "verdict": {"confidence": "high", "route": "call", "reason": "why",
                "trace": ["big: touch_gap_hours_90d 7.5 >= 5: True", "call: 0.5000 >= 0.2: True"]},
    "basis": {"target": "t@1", "model": "m", "policy": "p", "code": "c",
              "view": "opportunity_progress@1,lead_cadence@2"},
    "fallback": {"cause": "model_failed", "detail": "ValueError: 7.5"},
}  # fmt: skip


def _reason(feature: str, value: object, **more: Any) -> dict[str, Any]:
    said = {"label": "L", "contribution": 1.0, "group": "g", "probability_change": 0.1}
    told = {"feature": feature, "value": value, "text": f"is {value}", "features": [feature]}
    return {**said, **told, **more}


def test_views_of_one_model_have_classes_of_their_own() -> None:
    """What an internal view made is told, what a personal one made is not, nor what names both."""
    reasons = [
        _reason("stage", "proposal"),
        _reason("touch_gap_hours_90d", 7.5),
        _reason("stage", "proposal", group="rules", features=["stage", "touch_gap_hours_90d"]),
        _reason("nobody_knows", 7.5),
    ]
    body = {**BODY, "reasons": reasons}
    told = fields.decision(body, Privacy.INTERNAL)
    assert [each.get("withheld", False) for each in told["reasons"]] == [False, True, True, True]
    assert "7.5" not in json.dumps(told)
    rules = told["reasons"][2]
    assert (rules["feature"], rules["features"], rules["value"]) == ("rules", [], None)
    assert told["trace"] == ["withheld", "call: 0.5000 >= 0.2: True"]
    assert told["fallback"] == {"cause": "model_failed", "detail": "withheld"}
    whole = fields.decision(body, None)
    assert fields.decision(body, Privacy.PERSONAL) == whole
    assert (whole["trace"], len(whole["reasons"])) == (BODY["verdict"]["trace"], 4)
    closed = fields.decision({**body, "reasons": None}, Privacy.PUBLIC)
    assert closed["reasons"] is None


def test_a_view_that_is_not_declared_any_more_is_personal() -> None:
    """Its features, and it alone."""
    opens = fields.opener("opportunity_progress@1,forgotten@3", Privacy.CONFIDENTIAL)
    assert [opens(name) for name in ("stage", "of_another_time")] == [True, False]
    assert fields.opener("forgotten@3", Privacy.PERSONAL) is fields.everything
    assert fields.opener("opportunity_progress@0", Privacy.INTERNAL) is fields.everything


@pytest.mark.parametrize(
    ("kind", "name", "number", "text"),
    [
        ("touch", "web_visit", Privacy.INTERNAL, Privacy.PERSONAL),
        ("attribute", "job_title", Privacy.INTERNAL, Privacy.PERSONAL),
        ("consent", "granted", Privacy.PUBLIC, Privacy.INTERNAL),
        ("unheard_of", "x", Privacy.RESTRICTED, Privacy.RESTRICTED),
    ],
)
def test_columns_are_as_private_as_their_contract_says(
    kind: str, name: str, number: Privacy, text: Privacy
) -> None:
    """Free text is personal at least; a text of a closed list is what the contract says."""
    classify = columns.classify(load_contracts(CONFIGS / "contracts"))
    found = classify(kind, name)
    assert (found["number"], found["text"]) == (number, text)
    assert found["row_key"] == Privacy.PERSONAL
