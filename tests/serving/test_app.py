"""The decision service on real Ray Serve, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cluster.workspace import Workspace

if TYPE_CHECKING:
    from cluster.settings import Settings

pytestmark = pytest.mark.ray
ANSWERS = {
    "lead": {"target": "lead_qualification", "policy": "lead_routing"},
    "opportunity": {"target": "opportunity_win", "policy": "deal_routing"},
}


@pytest.fixture(scope="module")
def client(ray_session: None, trained: Workspace) -> Iterator[httpx.Client]:
    """Deploy the application as `python -m serving` does, and return a client of it."""
    from ray import serve

    from serving.app import ServingArgs, build

    settings = trained.settings
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": 8123})
    args = ServingArgs.model_validate({"settings": settings, "answers": ANSWERS})
    serve.run(build(args), name="funnelcast", route_prefix="/")
    with httpx.Client(base_url="http://127.0.0.1:8123", timeout=30) as http:
        yield http
    serve.shutdown()


@pytest.fixture(scope="module")
def scored(trained: Workspace) -> list[dict[str, Any]]:
    """Return the batch scores of the open leads."""
    rows: list[dict[str, Any]] = trained.tables.read("scores_lead_qualification").to_pylist()
    return rows


def _decide(client: httpx.Client, **asked: object) -> dict[str, Any]:
    """Return the decision; a slow machine is given time, deadlines have tests of their own."""
    answer = client.post("/v1/decisions", json={"deadline_ms": 10_000, **asked})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _ask(client: httpx.Client, row: dict[str, Any]) -> dict[str, Any]:
    return _decide(client, lead=row["entity"], as_of=row["time"].isoformat())


def test_the_served_score_equals_the_batch_score_to_the_bit(
    client: httpx.Client, scored: list[dict[str, Any]]
) -> None:
    """200 leads: score, interval, route and every reason."""
    rows = scored[:200]
    with ThreadPoolExecutor(4) as pool:
        served = list(pool.map(lambda row: _ask(client, row), rows))
    assert [(d["score"], d["interval"], d["route"]) for d in served] == [
        (r["probability"], [r["low"], r["high"]], r["route"]) for r in rows
    ]
    assert [d["reasons"] for d in served] == [json.loads(r["reasons"]) for r in rows]
    assert len({r["entity"] for r in rows}) == 200


def test_a_decision_is_durable_before_it_is_answered(
    client: httpx.Client, trained: Workspace, scored: list[dict[str, Any]]
) -> None:
    """Another process finds the record, it reads back as answered, and the chain verifies."""
    decision = _ask(client, scored[0])
    assert client.get(f"/v1/decisions/{decision['id']}").json() == decision
    entry = trained.journal.get(decision["id"])
    assert entry is not None
    assert entry.body["probability"] == decision["score"]
    assert trained.journal.verify()


def test_an_account_is_answered_by_its_best_open_lead(
    client: httpx.Client, scored: list[dict[str, Any]]
) -> None:
    """The lead with the highest score among those of the account."""
    row = max((r for r in scored if r["account"]), key=lambda r: r["probability"])
    decision = _decide(client, account=row["account"], as_of=row["time"].isoformat())
    assert (decision["entity"], decision["score"]) == (row["entity"], row["probability"])


def test_events_in_the_request_change_the_score(
    client: httpx.Client, scored: list[dict[str, Any]]
) -> None:
    """What the caller knows beyond the log counts, if it lies before the decision."""
    row = scored[0]
    before = {
        "kind": "touch",
        "name": "pricing_visit",
        "lead": row["entity"],
        "account": row["account"],
    }
    events = [{**before, "event_time": "2026-02-22T10:00:00Z"}] * 6
    decision = _decide(client, lead=row["entity"], as_of=row["time"].isoformat(), events=events)
    assert decision["score"] != row["probability"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"lead": "nobody"}, 404, "must be in the event log"),
        ({}, 422, "exactly one of lead, opportunity and account"),
        ({"lead": "a", "account": "b"}, 422, "exactly one"),
        ({"lead": "a", "leed": "b"}, 422, "leed"),
        ({"lead": "a", "as_of": "yesterday"}, 422, "as_of"),
    ],
)
def test_what_is_wrong_is_a_problem_document(
    client: httpx.Client, body: dict[str, str], status: int, words: str
) -> None:
    """One status, one sentence that names the field or the value."""
    answer = client.post("/v1/decisions", json={"deadline_ms": 10_000, **body})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_an_event_that_arrives_is_decided_upon_at_once(client: httpx.Client) -> None:
    """A lead that nobody knew is posted, and the next request scores it; again adds nothing."""
    event = {
        "specversion": "1.0",
        "id": "created-1",
        "source": "/forms",
        "type": "funnelcast.lead.created",
        "time": "2026-02-20T10:00:00Z",
        "data": {"lead": "lead-posted", "account": "account-posted"},
    }
    unknown = {"lead": "lead-posted", "deadline_ms": 10_000}
    assert client.post("/v1/decisions", json=unknown).status_code == 404
    headers = {"content-type": "application/cloudevents-batch+json"}
    answers = [client.post("/v1/events", json=[event], headers=headers) for _ in range(2)]
    assert [answer.json()["accepted"] for answer in answers] == [1, 0]
    decision = _decide(client, lead="lead-posted")
    assert (decision["entity"], decision["account"]) == ("lead-posted", "account-posted")


def test_wrong_events_are_refused(client: httpx.Client, scored: list[dict[str, Any]]) -> None:
    """An event that breaks its contract, or lies after the decision, is named."""
    row = scored[0]
    late = {
        "kind": "touch",
        "name": "web_visit",
        "lead": row["entity"],
        "event_time": "2030-01-01T00:00:00Z",
    }
    wrong = {**late, "name": "web_vist", "event_time": "2026-02-01T00:00:00Z"}
    for event, words in ((late, "before"), (wrong, "web_visit")):
        asked = {"lead": row["entity"], "as_of": row["time"].isoformat(), "events": [event]}
        answer = client.post("/v1/decisions", json={**asked, "deadline_ms": 10_000})
        assert (answer.status_code, words in answer.json()["detail"]) == (422, True)


def test_health_readiness_and_pages(client: httpx.Client) -> None:
    """Alive, ready with the models in use, and an API page that needs no other host."""
    assert client.get("/healthz").json() == {"status": "alive"}
    assert set(client.get("/readyz").json()["models"]) == set(ANSWERS)
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) >= {
        *(
            "/v1/decisions",
            "/v1/decisions:batch",
            "/v1/decisions/{id}",
            "/v1/decisions/{id}/replay",
        ),
        *("/v1/events", "/healthz", "/readyz", "/metrics"),
    }
    page = client.get("/docs").text
    assert "https://" not in page
    assert client.get("/nowhere").headers["content-type"] == "application/problem+json"


def test_a_service_without_its_models_is_not_ready(settings: Settings) -> None:
    """It says which model is missing and how to train it."""
    from serving.answer.questions import Question
    from serving.answer.service import DecisionService
    from serving.slots.slot import Answer

    with Workspace.open(settings) as empty:
        service = DecisionService(empty, {"lead": Answer.model_validate(ANSWERS["lead"])})
        assert "python -m jobs.train --target lead_qualification" in service.unready()[0]
        assert not service.decide(Question(kind="lead", key="x"))
        service.close()
