"""The HTTP edge in this process: the front, what is behind it, and what both say of errors."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from starlette.testclient import TestClient

from cluster.settings import LimitSettings
from cluster.workspace import Workspace
from serving.answer.gate import MOST_INSIDE
from serving.answer.service import DecisionService
from serving.api import front
from serving.api.application import make_api, make_application
from serving.api.desk import Desk
from serving.api.limits import Limits
from serving.slots.slot import Answer
from serving.wire.decisions import DecisionRequest
from tests.serving.letting import letting

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from starlette.types import ASGIApp, Message

    from cluster.settings import Settings

HERE = "http://127.0.0.1"
ANSWERS = {
    "lead": Answer(target="lead_qualification", policy="lead_routing"),
    "opportunity": Answer(target="opportunity_win", policy="deal_routing"),
}
SLOW = {"deadline_ms": 5_000}


@pytest.fixture(scope="module")
def service(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DecisionService]:
    """Return a service over a copy of the small world."""
    home = tmp_path_factory.mktemp("api") / "home"
    with Workspace.open(copied(home)) as workspace:
        made = DecisionService(workspace, ANSWERS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def client(service: DecisionService) -> Iterator[httpx.Client]:
    """Return a client of the whole application."""
    with TestClient(
        make_application(service), base_url=HERE, raise_server_exceptions=False
    ) as http:
        yield http


@pytest.fixture(scope="module")
def rows(service: DecisionService) -> list[dict[str, Any]]:
    """Return the batch scores of the open leads."""
    found: list[dict[str, Any]] = service.workspace.tables.read(
        "scores_lead_qualification"
    ).to_pylist()
    return found


def _asked(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"lead": row["entity"], "as_of": row["time"].isoformat(), **SLOW, **more}


def test_an_answer_says_where_its_time_went(
    client: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    """Every stage, in its header and in the metrics."""
    answer = client.post("/v1/decisions", json=_asked(rows[0]))
    assert answer.status_code == 200, answer.text
    timing = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"]))
    stages = ["parse", "queue", "features", "score", "explain", "policy", "journal", "total"]
    assert list(timing) == stages
    spent = {stage: float(ms) for stage, ms in timing.items()}
    assert 0 < sum(spent.values()) - spent["total"] <= spent["total"] * 1.001
    metrics = client.get("/metrics").text
    assert 'funnelcast_decisions_total{kind="lead",outcome="model",replica="' in metrics
    assert all(f'stage="{stage}",replica="' in metrics for stage in stages[:-1])
    assert 'funnelcast_decision_seconds_count{outcome="model",replica="' in metrics


def test_a_key_may_stand_in_the_header_or_the_body(
    client: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    """Both name the same decision; where they disagree, none is made."""
    header = {"idempotency-key": "k-1"}
    first = client.post("/v1/decisions", json=_asked(rows[0]), headers=header)
    again = client.post("/v1/decisions", json=_asked(rows[0], idempotency_key="k-1"))
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    other = client.post("/v1/decisions", json=_asked(rows[1]), headers=header)
    assert (other.status_code, "'k-1' of another request" in other.json()["detail"]) == (409, True)
    both = client.post("/v1/decisions", json=_asked(rows[0], idempotency_key="k-2"), headers=header)
    assert both.status_code == 422


def test_a_decision_reads_back_and_can_be_made_again(
    client: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    """The same bytes as answered; and made again the same decision."""
    answer = client.post("/v1/decisions", json=_asked(rows[0]))
    id = answer.json()["id"]
    assert client.get(f"/v1/decisions/{id}").content == answer.content
    again = client.get(f"/v1/decisions/{id}/replay").json()
    assert again == {
        "id": id,
        "equal": True,
        "differs": [],
        "gone": [],
        "decision": answer.json(),
    }
    for path in ("/v1/decisions/nobody", "/v1/decisions/nobody/replay"):
        assert client.get(path).status_code == 404


def test_a_batch_is_answered_in_order_each_by_itself(
    client: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    """Forty leads, one unknown, one without a name; scores as alone."""
    asked = [_asked(row) for row in rows[:40]]
    asked[7] = {"lead": "nobody"}
    asked[9] = {"leed": "x"}
    answer = client.post("/v1/decisions:batch", json={"decisions": asked, **SLOW}).json()
    found = answer["decisions"]
    assert [each["status"] for each in found[5:11]] == [200, 200, 404, 200, 422, 200]
    scores = [each["decision"]["score"] for each in found if each["status"] == 200]
    assert scores == [r["probability"] for n, r in enumerate(rows[:40]) if n not in (7, 9)]
    assert "must be in the event log" in found[7]["problem"]["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/decisions", b"{", 422),
        ("/v1/decisions", b"\xff\xfe", 422),
        ("/v1/decisions", b"[" * 10_000, 422),
        ("/v1/decisions", b'{"lead": "' + b"x" * 2**20 + b'"}', 413),
        ("/v1/decisions:batch", b'{"decisions": []}', 422),
        ("/v1/decisions", b'{"lead": "a", "deadline_ms": 1}', 422),
        ("/v1/decisions", orjson.dumps({f"lead-{n}": {} for n in range(2_000)}), 422),
        ("/v1/decisions:batch", orjson.dumps({f"lead-{n}": {} for n in range(9_000)}), 422),
    ],
)
def test_what_cannot_be_read_is_a_problem_document(
    client: httpx.Client, path: str, body: bytes, status: int
) -> None:
    """In one line, and short, whatever was sent."""
    answer = client.post(path, content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 2_000


def test_what_is_too_much_is_refused_at_once(service: DecisionService) -> None:
    """With a time to ask again; what is inside is answered."""
    application = make_application(service)
    desk: Desk = application._desk
    desk.gate.inside = desk.gate.most
    with TestClient(application, base_url=HERE) as http:
        refused = http.post("/v1/decisions", json={"lead": "x"})
        desk.gate.inside = 0
        assert http.post("/v1/decisions", json={"lead": "x"}).status_code == 404
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (desk.gate.shed, desk.gate.inside) == (1, 0)


def test_who_is_slow_to_send_keeps_nobodys_place(
    service: DecisionService, rows: list[dict[str, Any]]
) -> None:
    """More unfinished bodies than may be inside; each ends with 408, and others are answered."""
    application = make_application(service)
    application._limits = Limits(LimitSettings(body_s=0.5))

    async def all_at_once() -> list[int]:
        slow = [asyncio.create_task(_status(application, None)) for _ in range(2 * MOST_INSIDE)]
        await asyncio.sleep(0.1)
        body = orjson.dumps({"lead": rows[0]["entity"], **SLOW})
        return [await _status(application, body), *await asyncio.gather(*slow)]

    assert asyncio.run(all_at_once()) == [200, *[408] * 2 * MOST_INSIDE]


async def _status(application: ASGIApp, body: bytes | None) -> int:
    """Send a request whose body never comes if it is None."""
    sent: list[Message] = []

    async def receive() -> Message:
        if body is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/decisions", "headers": []}
    await application(scope, receive, send)
    found: int = sent[0]["status"]
    return found


def test_a_large_body_is_read_beside_the_loop(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small one is not: handing it over would cost more than reading it."""
    read, threads = front._read, []

    def noted(kind: Any, body: bytes) -> Any:
        threads.append(threading.current_thread().name)
        return read(kind, body)

    monkeypatch.setattr(front, "_read", noted)
    for blank in (b"", b" " * front.LARGE):
        assert client.post("/v1/decisions", content=b"{}" + blank).status_code == 422
    assert threads[0] != threads[1]
    assert threads[1].startswith("asyncio_")


def test_the_front_and_the_framework_answer_alike(
    service: DecisionService, client: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    """What OpenAPI declares is what is served."""
    with TestClient(letting(make_api(Desk(service)))) as framework:
        for asked in (_asked(rows[0], idempotency_key="alike"), {"lead": "nobody"}):
            one, other = (http.post("/v1/decisions", json=asked) for http in (client, framework))
            assert (one.status_code, one.content) == (other.status_code, other.content)


def test_openapi_describes_requests_and_problems(client: httpx.Client) -> None:
    """Version 3.1, each route with its problem documents."""
    said = client.get("/openapi.json").json()
    route = said["paths"]["/v1/decisions"]["post"]
    assert said["openapi"].startswith("3.1")
    assert "DecisionRequest" in json.dumps(route["requestBody"])
    assert "application/problem+json" in route["responses"]["409"]["content"]


def test_however_late_a_budget_ends_the_last_moment_stays(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop was held up meanwhile; what is not durable by then is answered as such."""
    monkeypatch.setattr(service._lane, "put", lambda ticket: None)
    monkeypatch.setattr(service, "expire", lambda ticket: None)

    async def held_up() -> tuple[float, float]:
        desk, loop = Desk(service), asyncio.get_running_loop()
        began = loop.time()
        asked = DecisionRequest.model_validate(_asked(rows[0]))
        waiting = desk._begin(asked, None, 250.0, None)
        await asyncio.sleep(0.1)
        desk._expire(waiting)  # type: ignore[arg-type]
        return began, waiting.timer.when()  # type: ignore[union-attr]

    began, last = asyncio.run(held_up())
    assert 0.2425 <= last - began < 0.28


def test_settled_outcomes_wake_the_loop_once(service: DecisionService) -> None:
    """However many come together from other threads."""

    async def many() -> int:
        desk, loop = Desk(service), asyncio.get_running_loop()
        waiters = [loop.create_future() for _ in range(50)]
        calls = 0
        schedule = loop.call_soon_threadsafe

        def counted(*args: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            return schedule(*args, **more)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        for waiter in waiters:
            desk._wake(loop, waiter, "done")  # type: ignore[arg-type]
        await asyncio.gather(*waiters)
        return calls

    assert asyncio.run(many()) == 1
