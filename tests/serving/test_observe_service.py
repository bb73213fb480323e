"""The watched service: meters, traces and lines of real requests, and nothing of persons in any."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from cluster.settings import LogSettings
from cluster.workspace import Workspace
from serving.answer import watch
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.model import Model
from serving.observe import lines, meters, traces
from serving.observe.meters import METERS
from serving.slots.slot import Answer
from tests.drills import mostly
from tests.serving.collecting import collector, dead, hanging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from cluster.settings import Settings

HERE = "http://127.0.0.1"
ANSWERS = {
    "lead": Answer(target="lead_qualification", policy="lead_routing"),
    "opportunity": Answer(target="opportunity_win", policy="deal_routing"),
}
SLOW = {"deadline_ms": 5_000}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
CANARIES = ("kim.canary@example.com", "+49-170-5550199", "Kim-Canary", "fck_canarycanary")
BEFORE_ANY_MADE = {  # that need more than requests: a replay, a swap
    *("funnelcast_replayed_decisions", "funnelcast_replay_timestamp_seconds"),
    *("funnelcast_slot_swap_lag_seconds", "funnelcast_feature_base_age_seconds"),
    "funnelcast_simulation_last_seconds",
}


@pytest.fixture(scope="module")
def settings(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Return those of a copy of the small world, with a log file."""
    folder = tmp_path_factory.mktemp("observed")
    log = LogSettings(file=folder / "log.jsonl")
    return copied(folder / "home").model_copy(update={"log": log})


@pytest.fixture(scope="module")
def opened(settings: Settings) -> Iterator[Workspace]:
    """Open it."""
    with Workspace.open(settings) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def lead(opened: Workspace) -> dict[str, Any]:
    """Return what to ask about some lead."""
    row = opened.tables.read("scores_lead_qualification").to_pylist()[0]
    return {"lead": row["entity"], "as_of": row["time"].isoformat(), **SLOW}


@contextmanager
def _serving(opened: Workspace) -> Iterator[tuple[DecisionService, httpx.Client]]:
    service = DecisionService(opened, ANSWERS)
    try:
        with TestClient(make_application(service), base_url=HERE) as client:
            yield service, client
    finally:
        service.close()


def _read(opened: Workspace) -> list[dict[str, Any]]:
    path = opened.settings.log.file
    assert path is not None
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _samples(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Return the samples by name and values of labels, without the replica's."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (s.name, *(v for n, v in s.labels.items() if n != "replica")): s.value
        for family in families
        for s in family.samples
    }


def test_every_meter_is_told(opened: Workspace, lead: dict[str, Any]) -> None:
    """After some requests of each kind there is a sample of every meter that is declared."""
    with collector() as (url, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENDPOINT, url)
        with _serving(opened) as (service, client):
            client.post("/v1/decisions", json=lead, headers={"idempotency-key": "k-1"})
            client.post("/v1/decisions", json=lead, headers={"idempotency-key": "k-1"})
            client.post("/v1/decisions", json={"lead": "nobody"})
            client.post("/v1/simulations", json={"scenarios": [{"name": "x", "draws": 0}]})
            client.post("/v1/decisions:batch", json={"decisions": [lead, {"lead": "nobody"}]})
            event = {
                "specversion": "1.0", "id": "e-1", "source": "shop", "time": "2026-01-01T00:00:00Z",
                "type": "funnelcast.touch.web_visit", "data": {"lead": lead["lead"]},
            }  # fmt: skip
            kind = {"content-type": "application/cloudevents+json"}
            assert client.post("/v1/events", json=event, headers=kind).status_code == 200
            patch.setattr(Model, "score", _raises)
            assert client.post("/v1/decisions", json=lead).json()["fallback"] is not None
            found = _samples(client)
    told = {key[0] for key in found}
    missing = {m.name for m in METERS.values() if not told & set(m.names)}
    assert missing <= BEFORE_ANY_MADE
    decisions = "funnelcast_decisions_total"
    assert found[decisions, "lead", "model"] == 2
    assert found[decisions, "lead", "replayed"] == 1
    assert found[decisions, "lead", "refused"] == 2
    assert found["funnelcast_fallbacks_total", "lead", "model_failed"] == 1
    assert found["funnelcast_refusals_total", "unknown"] == 2
    assert found["funnelcast_http_requests_total", "/v1/decisions", "404"] == 1
    assert found["funnelcast_authentications_total", "local", "known"] >= 6
    assert found["funnelcast_score_ratio_count", "lead_qualification"] == 2
    slots = service.slots.by_kind["lead"].basis
    ids = (slots.model, slots.calibrator, slots.policy, slots.view, slots.code)
    assert found["funnelcast_model_info", "lead", "lead_qualification", *ids] == 1
    assert abs(found["funnelcast_model_loaded_timestamp_seconds", "lead"] - time.time()) < 600
    assert 0 < found["funnelcast_feature_event_age_seconds",] < 600, "an event came just now"


def _raises(*_: Any, **__: Any) -> Any:
    raise RuntimeError(f"about {', '.join(CANARIES)}")


def test_a_request_is_traced_from_its_caller_to_the_journal(
    opened: Workspace, lead: dict[str, Any]
) -> None:
    """One trace: the caller's span, the request, the decision, its stages; told in header and
    line.
    """
    with collector() as (url, taken), pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENDPOINT, url)
        with _serving(opened) as (_, client):
            answer = client.post("/v1/decisions", json=lead, headers=PARENT)
            own = client.post("/v1/decisions:batch", json={"decisions": [lead, lead]})
    spans = [span for span in taken.taken if span.trace_id.hex() == TRACE]
    by_name = {span.name: span for span in spans}
    request, decision = by_name["POST /v1/decisions"], by_name["decide"]
    assert request.parent_span_id.hex() == SPAN
    assert answer.headers["traceparent"] == f"00-{TRACE}-{request.span_id.hex()}-01"
    assert decision.parent_span_id == request.span_id
    stages = ["parse", "queue", "features", "score", "explain", "policy", "journal"]
    assert [s.name for s in spans if s.parent_span_id == decision.span_id] == stages
    said = {a.key: a.value.string_value for a in decision.attributes}
    assert said["funnelcast.decision"] == answer.json()["id"]
    (line,) = [x for x in _read(opened) if x.get("decision") == answer.json()["id"]]
    assert (line["trace"], line["event"], line["outcome"]) == (TRACE, "decision", "model")
    assert list(line["ms"]) == [*stages, "total"]
    other = own.headers["traceparent"].split("-")[1]
    names = sorted(s.name for s in taken.taken if s.trace_id.hex() == other)
    assert (names.count("decide"), names.count("score")) == (2, 2)


def test_without_a_collector_the_trace_of_the_caller_is_in_the_line(
    opened: Workspace, lead: dict[str, Any]
) -> None:
    """And nothing is added to the answer."""
    with _serving(opened) as (service, client):
        assert service.watch.traces is None
        answer = client.post("/v1/decisions", json=lead, headers=PARENT)
    assert "traceparent" not in answer.headers
    (line,) = [x for x in _read(opened) if x.get("decision") == answer.json()["id"]]
    assert line["trace"] == TRACE


@pytest.mark.parametrize("kind", mostly(["hanging", "dead"]))
def test_a_collector_that_is_down_fails_no_decision(
    opened: Workspace, lead: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it make one late."""
    monkeypatch.setattr(traces, "CLOSE_S", 0.2)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with hanging() as hangs:
        monkeypatch.setenv(ENDPOINT, hangs if kind == "hanging" else dead())
        with _serving(opened) as (service, client):
            answers = [client.post("/v1/decisions", json=lead) for _ in range(30)]
            assert [answer.status_code for answer in answers] == [200] * 30
            assert not any(answer.json()["fallback"] for answer in answers)
            assert service.watch.traces is not None


def _provoked(opened: Workspace, lead: dict[str, Any]) -> str:
    """Ask in every way that quotes somebody; return all that was told: lines, spans, meters."""
    path = opened.settings.log.file
    assert path is not None
    path.unlink(missing_ok=True)
    mail, phone, name, key = CANARIES
    event = {"kind": "touch", "name": name, "event_time": "2026-01-01T00:00:00Z", "rep": mail}
    bodies: list[dict[str, Any]] = [
        {"lead": mail},
        {"account": name},
        {**lead, "events": [event]},
        {**lead, "as_of": mail},
        {**lead, mail: phone},
    ]
    with collector() as (url, taken), pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENDPOINT, url)
        patch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
        with _serving(opened) as (service, client):
            service.begin_telling()
            for body in bodies:
                client.post("/v1/decisions", json=body, headers={"idempotency-key": phone})
            client.post("/v1/decisions:batch", json={"decisions": bodies})
            client.post("/v1/decisions", content=f'{{"lead": "{mail}')
            for path_of in (f"/v1/decisions/{mail}", f"/{mail}", f"/v1/decisions/{phone}/replay"):
                client.get(path_of, params={"q": name})
            client.post("/v1/events", content=mail, headers={"content-type": mail})
            client.request(name, "/v1/decisions")
            secret = {"authorization": f"Bearer {key}", "traceparent": mail, "user-agent": name}
            assert client.post("/v1/decisions", json=lead, headers=secret).status_code == 401
            _broken(client, service, lead, patch)
            told = client.get("/metrics").text
    found = path.read_text() + told + str([str(s) for s in taken.taken]) + str(taken.resources)
    assert found.count("funnelcast") > 100
    return found


def _broken(
    client: httpx.Client,
    service: DecisionService,
    lead: dict[str, Any],
    patch: pytest.MonkeyPatch,
) -> None:
    """Ask where model, journal and a route fail with words that quote somebody."""
    with pytest.MonkeyPatch.context() as one:
        one.setattr(service.workspace.journal, "append_all", _raises)
        assert client.post("/v1/decisions", json=lead).status_code == 503
    patch.setattr(DecisionService, "recorded", _raises)
    assert client.get("/v1/decisions/x").status_code == 500
    patch.setattr(Model, "score", _raises)
    assert client.post("/v1/decisions", json=lead).json()["fallback"]["cause"] == "model_failed"


def _told(found: str) -> list[str]:
    return [canary for canary in CANARIES if canary in found]


def test_nothing_that_is_told_names_a_person(
    opened: Workspace, lead: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was asked and whatever broke; with each guard off somebody would be named."""
    found = _provoked(opened, lead)
    assert _told(found) == []
    assert lead["lead"] not in found, "the pseudonym of a lead is about a person too"
    events = [json.loads(line)["event"] for line in found.splitlines() if line.startswith("{")]
    assert {"decision", "refusal", "request failed"} <= set(events)
    told = watch.told
    mutants: list[tuple[object, str, object]] = [
        (watch, "told", lambda k, o, i: told(k, o, i) | {"why": str(o)}),
        (lines, "failure", lambda error: {"error": str(error)}),
    ]
    for where, name, mutant in mutants:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, mutant)
            assert _told(_provoked(opened, lead)), name


def test_a_request_that_breaks_is_a_problem_and_its_words_go_nowhere(
    opened: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither to the caller, nor to whoever serves: that would write them into its own log."""
    monkeypatch.setattr(DecisionService, "recorded", _raises)
    with _serving(opened) as (_, client):  # a TestClient raises what an application raises
        answer = client.get("/v1/decisions/x")
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert _told(answer.text) == []
    (line,) = [x for x in _read(opened) if x["event"] == "request failed"][-1:]
    assert (line["error"], line["route"]) == ("RuntimeError", "/v1/decisions/{id}")
    assert line["at"][-1].endswith("_raises")


def test_changes_of_the_service_are_told_once(opened: Workspace) -> None:
    """What answers at the beginning; a breaker that opens, and that it closes."""
    with _serving(opened) as (service, _):
        slot = service.slots.by_kind["lead"]
        looks = service._changes._do
        looks()
        service.breaker(slot).trip(time.monotonic() + 60)
        looks()
        looks()
        service.breaker(slot).probed(time.monotonic(), well=True)
        looks()
        replica = service.name
    mine = [x for x in _read(opened) if x["replica"] == replica]
    assert [(x["event"], x["is"], x["level"]) for x in mine] == [
        ("slot", "there", "info"),
        ("slot", "there", "info"),
        ("breaker", "there", "warning"),
        ("breaker", "over", "info"),
    ]
    assert mine[2]["model"] == slot.basis.model


def test_names_of_classes_are_words() -> None:
    """Whatever refuses has a reason, also what is added later."""
    assert meters.REFUSALS.labels == ("reason",)
    assert watch.reason(watch.NotRecorded(rule="", value="", remedy="")) == "not_recorded"
    assert watch.reason(watch.Refusal(rule="", value="", remedy="")) == "question"
