"""Requests are strict, answers are what the record says, and the bytes of both ways are equal."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cluster import canonical
from cluster.settings import ROOT
from serving.wire import (
    accounts,
    base,
    catalogue,
    decisions,
    events,
    explanations,
    inference,
    overrides,
    problems,
    records,
)
from serving.wire.decisions import BatchRequest, DecisionOut, DecisionRequest, Wrong

MODULES = (
    accounts,
    base,
    catalogue,
    decisions,
    events,
    explanations,
    inference,
    overrides,
    problems,
)
TOUCH = {"kind": "touch", "name": "visit", "event_time": "2026-02-01T09:30:00Z"}


def _asked(**members: Any) -> DecisionRequest:
    return DecisionRequest.model_validate_json(json.dumps(members))


@pytest.mark.parametrize(
    ("members", "kind"),
    [({"lead": "a"}, "lead"), ({"opportunity": "a"}, "opportunity"), ({"account": "a"}, "account")],
)
def test_a_request_is_about_one(members: dict[str, str], kind: str) -> None:
    """It says of what kind it is, and whose id."""
    asked = _asked(**members)
    assert (asked.kind, asked.key, asked.reasons) == (kind, "a", True)


@pytest.mark.parametrize(
    ("members", "place", "words"),
    [
        ({}, "body", "exactly one of lead, opportunity and account"),
        ({"lead": "a", "account": "b"}, "body", "exactly one"),
        ({"lead": "a", "leed": "b"}, "leed", "not permitted"),
        ({"lead": ""}, "lead", "at least 1"),
        ({"lead": "a" * 201}, "lead", "at most 200"),
        ({"lead": "a\x00"}, "lead", "pattern"),
        ({"lead": 7}, "lead", "string"),
        ({"lead": "a", "as_of": "yesterday"}, "as_of", "RFC 3339"),
        ({"lead": "a", "as_of": 1_700_000_000}, "as_of", "RFC 3339"),
        ({"lead": "a", "as_of": "1700000000.00000000"}, "as_of", "RFC 3339"),
        ({"lead": "a", "as_of": "2026-02-01T09:30:00"}, "as_of", "timezone"),
        ({"lead": "a", "as_of": "0001-01-01T00:00:00+23:00"}, "as_of", "1990..2100"),
        ({"lead": "a", "reasons": "yes"}, "reasons", "boolean"),
        ({"lead": "a", "deadline_ms": 9}, "deadline_ms", "greater"),
        ({"lead": "a", "deadline_ms": 10_001}, "deadline_ms", "less"),
        ({"lead": "a", "deadline_ms": 99.5}, "deadline_ms", "integer"),
        ({"lead": "a", "idempotency_key": "ключ"}, "idempotency_key", "pattern"),
        ({"lead": "a", "idempotency_key": " a"}, "idempotency_key", "pattern"),
        ({"lead": "a", "idempotency_key": "a\n"}, "idempotency_key", "pattern"),
        ({"lead": "a", "events": [TOUCH] * 101}, "events", "at most 100"),
        ({"lead": "a", "events": [{**TOUCH, "number": 2**53 + 1}]}, "events.0.number", "less"),
        ({"lead": "a", "events": [{**TOUCH, "number": 1.5}]}, "events.0.number", "integer"),
        ({"lead": "a", "events": [{**TOUCH, "nmber": 1}]}, "events.0.nmber", "not permitted"),
    ],
)
def test_what_is_wrong_is_named_by_place_and_rule(
    members: dict[str, Any], place: str, words: str
) -> None:
    """The same from bytes and, as FastAPI reads it, from values; and no value is repeated."""
    for read in (lambda: _asked(**members), lambda: DecisionRequest.model_validate(members)):
        with pytest.raises(ValidationError) as caught:
            read()
        problem = problems.Problem.invalid(caught.value.errors())
        assert problem.detail.startswith(f"{place}: ")
        assert words in problem.detail
        assert "\n" not in problem.detail
        assert "yesterday" not in problem.detail


def test_a_lone_surrogate_is_refused() -> None:
    """It has no UTF-8, so nobody downstream could write it."""
    with pytest.raises(ValidationError):
        DecisionRequest.model_validate_json(rb'{"lead": "\ud800"}')
    with pytest.raises(ValidationError):
        DecisionRequest.model_validate({"lead": "\ud800"})


def test_several_broken_rules_are_listed() -> None:
    """All of them with their places, the first three in the sentence; FastAPI's prefix is cut."""
    with pytest.raises(ValidationError) as caught:
        _asked(lead=1, reasons=2, deadline_ms=3, leed=4)
    found = [{**each, "loc": ("body", *each["loc"])} for each in caught.value.errors()]
    problem = problems.Problem.invalid(found, skip=1)
    assert problem.errors is not None
    assert [each.place for each in problem.errors] == ["lead", "reasons", "deadline_ms", "leed"]
    assert problem.detail.endswith("; and 1 more")
    assert json.loads(problem.to_bytes())["errors"][0]["place"] == "lead"
    assert "errors" not in json.loads(problems.Problem.of(404, "gone").to_bytes())


def test_a_wrong_request_of_a_batch_stands_alone() -> None:
    """Its neighbours are read; a batch of none or of too many is none."""
    body = {"decisions": [{"lead": "a"}, {"leed": "b"}, 3, {"account": "c"}]}
    read = BatchRequest.model_validate_json(json.dumps(body)).decisions
    assert [isinstance(each, Wrong) for each in read] == [False, True, True, False]
    assert isinstance(read[1], Wrong)
    assert (read[1].problem.status, "leed" in read[1].problem.detail) == (422, True)
    for wrong in ([], [{"lead": "a"}] * 1001, {"lead": "a"}):
        with pytest.raises(ValidationError):
            BatchRequest.model_validate({"decisions": wrong})


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SHARES = st.floats(0, 1)
TEXTS = st.text(max_size=20)
TIMES = st.datetimes(
    datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001
).map(datetime.isoformat)  # fmt: skip
REASONS = st.fixed_dictionaries(
    {
        "feature": TEXTS, "label": TEXTS, "contribution": FLOATS, "group": TEXTS, "text": TEXTS,
        "value": st.none() | st.integers(-(2**63), 2**63) | FLOATS | TEXTS | st.booleans(),
        "features": st.lists(TEXTS, max_size=3), "probability_change": st.none() | FLOATS,
    }
)  # fmt: skip
BASES = st.fixed_dictionaries(
    {"target": TEXTS, "model": st.none() | TEXTS, "policy": TEXTS, "view": TEXTS, "code": TEXTS},
    optional={"calibrator": st.none() | TEXTS},
)
FALLBACKS = st.none() | st.fixed_dictionaries(
    {"cause": st.sampled_from(["deadline", "breaker_open"]), "detail": TEXTS}
)
BODIES = st.fixed_dictionaries(
    {
        "format": st.just(2), "id": TEXTS, "entity": TEXTS, "account": st.none() | TEXTS,
        "time": TIMES, "decided_at": TIMES, "probability": SHARES, "low": FLOATS, "high": FLOATS,
        "verdict": st.fixed_dictionaries(
            {"route": TEXTS, "confidence": TEXTS, "reason": TEXTS, "trace": st.lists(TEXTS)}
        ),
        "reasons": st.none() | st.lists(REASONS, max_size=3), "basis": BASES,
    },
    optional={"fallback": FALLBACKS},
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(BODIES)
def test_the_bytes_of_a_record_are_those_of_the_model(body: dict[str, Any]) -> None:
    """Before and after the journal, whose JSON may write a float without a point."""
    read = json.loads(canonical.dumps(body))
    quick = records.answer_bytes(body)
    model = DecisionOut.model_validate_json(quick)
    assert model.model_dump_json().encode() == quick
    assert DecisionOut.model_validate(records.answer(read)).model_dump_json().encode() == quick
    assert records.answer_bytes(read) == quick
    assert list(json.loads(quick)) == list(DecisionOut.model_fields)


def test_a_whole_number_is_written_as_the_model_writes_it() -> None:
    """A record may hold 1 where a float was meant; a quick way that passes it on would differ."""
    body = {
        "id": "a", "entity": "b", "account": None, "time": "2026-02-01T09:30:00+00:00",
        "decided_at": "2026-02-01T10:30:00+01:00", "probability": 1, "low": 0, "high": 1,
        "verdict": {"route": "r", "confidence": "low", "reason": "", "trace": []}, "reasons": None,
        "basis": {"target": "t", "model": "m", "policy": "p", "view": "v", "code": "c"},
    }  # fmt: skip
    said = records.answer_bytes(body)
    assert b'"score":1.0,"interval":[0.0,1.0]' in said
    assert b'"as_of":"2026-02-01T09:30:00Z"' in said
    assert DecisionOut.model_validate_json(said).model_dump_json().encode() == said


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_answer_holds_finite_numbers(value: float) -> None:
    """JSON has no other."""
    with pytest.raises(ValidationError, match="finite"):
        explanations.ShareOut(name="a", label="b", value=1, contribution=value)
    with pytest.raises(ValidationError, match="finite"):
        explanations.ShareOut(name="a", label="b", value=value, contribution=1.0)


def test_words_that_python_keeps_are_members_on_the_wire() -> None:
    """`from`, `list`, and a snapshot's id as a text of all its digits."""
    why = accounts.WhyOut(since=2**62, to=-5, parts=[])
    assert json.loads(why.model_dump_json()) == {"from": str(2**62), "to": "-5", "parts": []}
    page = accounts.PageOut(name="at_risk", as_of=None, accounts=[], next=None)
    assert json.loads(page.model_dump_json())["list"] == "at_risk"


def test_tensors_fill_their_shape() -> None:
    """Flat or nested; null is a missing value, NaN is no JSON."""
    nested = {"name": "features", "shape": [2, 2], "datatype": "FP64", "data": [[1, None], [3, 4]]}
    assert inference.Tensor.model_validate(nested).flat == [1, None, 3, 4]
    for wrong in ({"shape": [3, 2]}, {"data": [1, 2]}, {"data": [[1, math.nan], [3, 4]]},
                  {"shape": []}, {"shape": [-1]}, {"datatype": "FP65"}):  # fmt: skip
        with pytest.raises(ValidationError):
            inference.Tensor.model_validate({**nested, **wrong})


def test_the_description_of_the_api_names_every_bound() -> None:
    """FastAPI makes OpenAPI 3.1 of the models, with their limits, examples and descriptions."""
    api = FastAPI()

    @api.post("/v1/decisions")
    def decide(asked: DecisionRequest) -> DecisionOut:
        raise NotImplementedError

    @api.post("/v1/decisions:batch")
    def batch(asked: BatchRequest) -> decisions.BatchOut:
        raise NotImplementedError

    decide.__annotations__ |= {"asked": DecisionRequest, "return": DecisionOut}
    document = api.openapi()
    schemas = document["components"]["schemas"]
    assert document["openapi"].startswith("3.1")
    assert schemas["DecisionRequest"]["additionalProperties"] is False
    assert schemas["DecisionRequest"]["properties"]["events"]["maxItems"] == 100
    request, _ = schemas["BatchRequest"]["properties"]["decisions"]["items"]["anyOf"]
    assert request == {"$ref": "#/components/schemas/DecisionRequest"}
    assert DecisionRequest(lead="a", deadline_ms=99.0).deadline_ms == 99  # as JSON Schema has it
    assert schemas["Key"]["maxLength"] == 200
    assert schemas["DecisionOut"]["examples"]


MOMENT: TypeAdapter[datetime] = TypeAdapter(base.Moment)


NEAR = st.datetimes(datetime(1988, 1, 1), datetime(2102, 1, 1), timezones=st.timezones())  # noqa: DTZ001


@given(NEAR)
def test_a_time_is_described_as_it_is_taken(value: datetime) -> None:
    """The pattern lets pass those real times that are taken, and no others."""
    text = value.astimezone(timezone(_minutes(value))).isoformat()
    try:
        MOMENT.validate_python(text)
    except ValidationError:
        assert not re.search(MOMENT.json_schema()["pattern"], text)
    else:
        assert re.search(MOMENT.json_schema()["pattern"], text)


def _minutes(value: datetime) -> timedelta:
    """Return how far the clock is from UTC, in whole minutes, as RFC 3339 can say it."""
    return timedelta(minutes=(value.utcoffset() or timedelta()) // timedelta(minutes=1))


def _models() -> list[type[base.Asked | base.Answered]]:
    found = [value for module in MODULES for value in vars(module).values()]
    kinds = (base.Asked, base.Answered)
    return [m for m in found if isinstance(m, type) and issubclass(m, kinds) and m not in kinds]


def test_every_model_says_what_it_is_and_its_examples_are_valid() -> None:
    """A docstring, and examples that the model itself takes."""
    for model in _models():
        assert model.__doc__, model
        extra = model.model_config.get("json_schema_extra") or {}
        for example in dict(extra).get("examples", []):  # type: ignore[call-overload]
            assert model.model_validate_json(json.dumps(example)), model


def test_it_knows_pydantic_alone() -> None:
    """So that a client can be shipped with it."""
    code = (
        "import sys, serving.wire.decisions, serving.wire.records, serving.wire.inference\n"
        "taken = {'ray', 'xgboost', 'numba', 'pandas', 'fastapi', 'features'} & set(sys.modules)\n"
        "sys.exit(str(taken) if taken else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True)
    assert found.returncode == 0, found.stderr
