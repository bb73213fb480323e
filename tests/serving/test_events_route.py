"""`POST /v1/events` in this process: what is taken in, what is refused, what is seen at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cluster.workspace import Workspace
from features import online
from features.arrivals import pending
from features.online import tail
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.slots.slot import Answer

if TYPE_CHECKING:
    import httpx

    from cluster.settings import Settings

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
HERE = "http://127.0.0.1"
ANSWER = Answer(target="lead_qualification", policy="lead_routing")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

type Make = Callable[..., dict[str, Any]]


@pytest.fixture
def event() -> Make:
    """Return a function that makes a CloudEvent; keywords replace its attributes."""

    def make(id: str = "visit-1", **changes: Any) -> dict[str, Any]:
        envelope = {"specversion": "1.0", "id": id, "source": "/website"}
        said = {"type": "funnelcast.touch.pricing_visit", "time": "2026-02-01T09:30:00Z"}
        return {**envelope, **said, "data": {"lead": "lead-1", "account": "a-1"}, **changes}

    return make


@pytest.fixture
def opened(settings: Settings) -> Iterator[Workspace]:
    """Open an empty workspace whose clock stands at NOW."""
    with Workspace.open(settings, clock=lambda: NOW) as workspace:
        yield workspace


@pytest.fixture
def client(opened: Workspace) -> Iterator[httpx.Client]:
    """Return a client of the API over a workspace without models."""
    with _served(opened) as http:
        yield http


@contextmanager
def _served(opened: Workspace) -> Iterator[httpx.Client]:
    with (
        closing(DecisionService(opened, {})) as service,
        TestClient(make_application(service), base_url=HERE) as http,
    ):
        yield http


def _post(client: httpx.Client, *events: Any, kind: str = BATCH) -> httpx.Response:
    body = json.dumps(events[0] if kind == ONE else list(events))
    return client.post("/v1/events", content=body, headers={"content-type": kind})


def _statuses(client: httpx.Client, *events: Any) -> list[str]:
    answer = _post(client, *events)
    assert answer.status_code == 200, answer.text
    return [outcome["status"] for outcome in answer.json()["events"]]


def test_an_event_is_durable_and_seen_when_it_is_answered(
    client: httpx.Client, opened: Workspace, event: Make
) -> None:
    """Another connection finds it waiting for the log, and the online store finds its lead."""
    answer = _post(client, event(), kind=ONE).json()
    assert (answer["accepted"], answer["duplicate"], answer["refused"]) == (1, 0, 0)
    waiting = pending.waiting(opened.database, 10).events.to_pylist()
    assert [(row["name"], row["known_at"]) for row in waiting] == [("pricing_visit", NOW)]
    store = online.OnlineStore(opened)
    assert store.shard_of("lead", "lead-1") == "a-1"
    assert store.events("a-1").to_pylist() == waiting


def test_acknowledged_before_durable_would_be_noticed(
    client: httpx.Client, opened: Workspace, event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: nothing is written, the answer says accepted, and nobody else sees the event."""
    monkeypatch.setattr(pending, "add", lambda *given: None)
    assert _post(client, event(), kind=ONE).json()["accepted"] == 1
    assert pending.waiting(opened.database, 10).events.num_rows == 0


def test_a_commit_that_fails_is_not_acknowledged(
    client: httpx.Client, opened: Workspace, event: Make
) -> None:
    """A database that refuses the write makes an error of the request, and keeps nothing."""
    with opened.database.begin() as connection:
        connection.execute(sa.text("DROP TABLE arrivals"))
    unraised = TestClient(client.app, HERE, raise_server_exceptions=False)  # type: ignore[attr-defined]
    assert _post(unraised, event()).status_code == 500
    assert tail.count(opened.database) == 0


def test_the_same_batch_again_adds_nothing(
    client: httpx.Client, opened: Workspace, event: Make
) -> None:
    """Events sent twice, in one request or in two, later or not, are one event."""
    batch = [event("1"), event("2"), event("1")]
    assert _statuses(client, *batch) == ["accepted", "accepted", "duplicate"]
    later = Workspace.open(opened.settings, clock=lambda: NOW + timedelta(hours=1))
    with later, _served(later) as again:
        assert _statuses(again, *batch) == ["duplicate"] * 3
    assert tail.count(opened.database) == 2


def test_the_same_id_with_other_content_is_a_correction(
    client: httpx.Client, opened: Workspace, event: Make
) -> None:
    """Two versions of one row; the one that came last in the request is the one known last."""
    wrong, right = event(type="funnelcast.touch.web_visit"), event()
    assert _statuses(client, wrong, right) == ["accepted"] * 2
    rows = online.OnlineStore(opened).events("a-1").sort_by("known_at").to_pylist()
    assert {row["row_key"] for row in rows} == {"/website visit-1"}
    assert [row["name"] for row in rows] == ["web_visit", "pricing_visit"]


def test_a_person_enters_by_pseudonym_and_the_address_goes_to_the_vault(
    client: httpx.Client, opened: Workspace, event: Make
) -> None:
    """No byte of the database holds the address, and the vault gives it back."""
    data = {"lead": "lead-1", "person": "ada.lovelace@example.org"}
    assert _statuses(client, event(data=data)) == ["accepted"]
    person = pending.waiting(opened.database, 1).events["person"][0].as_py()
    assert opened.vault.identity(person) == {"email": ["ada.lovelace@example.org"]}
    assert not _holds(opened, b"lovelace")


def _holds(workspace: Workspace, word: bytes) -> bool:
    workspace.database.close()
    return any(word in path.read_bytes() for path in workspace.settings.home.rglob("*.db*"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"lead": "a", "leed": "b"}}, "Extra inputs"),
        ({"type": "funnelcast.touch.pricing_vist"}, "did you mean 'pricing_visit'"),
        ({"type": "touch"}, "type keeps the envelope"),
        ({"time": 1_700_000_000}, "time keeps the envelope"),
        ({"time": "2026-02-01T09:30:00"}, "time keeps the envelope"),
        ({"time": "2026-05-01T09:30:00Z"}, "event_time is not in the future"),
        ({"source": "my website"}, "source keeps the envelope"),
        ({"specversion": "0.3"}, "specversion keeps the envelope"),
        ({"data": {"lead": "ada@example.org"}}, "lead holds no"),
        ({"data": {"lead": "a", "text": "call +49 30 1234 5678"}}, "text holds no"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_kept_sealed(
    client: httpx.Client, opened: Workspace, event: Make, changes: dict[str, Any], words: str
) -> None:
    """The good one beside it is accepted; the refused one waits for quarantine, once."""
    for expected in (["accepted", "refused"], ["duplicate", "refused"]):
        answer = _post(client, event("good"), event("bad", **changes)).json()
        assert [outcome["status"] for outcome in answer["events"]] == expected
        assert words in answer["events"][1]["reasons"]
    kept = pending.waiting(opened.database, 10).refused
    assert kept["reasons"].to_pylist() == [answer["events"][1]["reasons"]]
    assert "example.org" not in str(kept.to_pylist())


def test_two_things_that_are_no_events_are_two_refusals(
    client: httpx.Client, opened: Workspace
) -> None:
    """They have no row to be named by, so they are named by their bytes."""
    assert _statuses(client, {"a": 1}, {"a": 2}, "text", 7, None) == ["refused"] * 5
    assert pending.waiting(opened.database, 10).refused.num_rows == 5


def test_requests_at_once_get_each_its_own_answer(
    client: httpx.Client, opened: Workspace, event: Make
) -> None:
    """Forty by eight senders: an event of its own, one that all send, and one that is refused."""

    def send(n: int) -> list[tuple[str, str]]:
        refused = event(f"bad-{n}", type="funnelcast.touch.pricing_vist")
        answer = _post(client, event(f"own-{n}"), event("all"), refused).json()
        return [(outcome["id"], outcome["status"]) for outcome in answer["events"]]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(40)))
    for n, (own, shared, refused) in enumerate(answers):
        assert (own, refused) == ((f"own-{n}", "accepted"), (f"bad-{n}", "refused"))
        assert shared[0] == "all"
    assert sorted(shared[1] for _, shared, _ in answers) == ["accepted"] + ["duplicate"] * 39
    kept = pending.waiting(opened.database, 100)
    assert (kept.events.num_rows, kept.refused.num_rows) == (41, 40)


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"{", BATCH, 400, "must be JSON"),
        (b"{}", BATCH, 400, "must be a JSON array"),
        (b"[NaN]", BATCH, 400, "must be finite"),
        (b"[" * 100_000, BATCH, 400, "at most 32 brackets deep"),
        (b"[" + b"{}," * 1000 + b"{}]", BATCH, 413, "at most 1000 events"),
        (b'["' + b"x" * 2**20 + b'"]', BATCH, 413, "at most 1048576 bytes"),
        (b"[]", "application/json", 415, "application/cloudevents-batch+json"),
    ],
)
def test_a_wrong_request_is_a_problem_document(
    client: httpx.Client, body: bytes, kind: str, status: int, words: str
) -> None:
    """One status, one sentence; nothing is taken in."""
    answer = client.post("/v1/events", content=body, headers={"content-type": kind})
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_arrival_counts_in_the_next_decision(trained: Workspace, tmp_path: Path) -> None:
    """Six visits to the prices are in the features from which the same lead is scored anew."""
    shutil.copytree(trained.settings.home, tmp_path / "home")
    lead = trained.tables.read("scores_lead_qualification").slice(0, 1).to_pylist()[0]
    moved = trained.settings.model_copy(update={"home": tmp_path / "home"})
    data = {"lead": lead["entity"], "account": lead["account"]}
    at = (lead["time"] - timedelta(hours=1)).isoformat()
    with (
        Workspace.open(moved, clock=lambda: lead["time"]) as workspace,
        closing(DecisionService(workspace, {"lead": ANSWER})) as service,
        TestClient(make_application(service), base_url=HERE) as client,
    ):
        before = _features(client, service, lead["entity"])
        sent = [_visit(str(n), at, data) for n in range(6)]
        assert _statuses(client, *sent) == ["accepted"] * 6
        after = _features(client, service, lead["entity"])
    more = {name: after[name] - before[name] for name in before if "pricing" in name}
    assert more == dict.fromkeys([f"pricing_visits_{days}d" for days in (7, 30, 90)], 6)


def _features(client: httpx.Client, service: DecisionService, lead: str) -> dict[str, Any]:
    decision = client.post("/v1/decisions", json={"lead": lead}).json()
    recorded = service.recorded(decision["id"])
    assert recorded is not None
    features: dict[str, Any] = recorded["features"]
    return features


def test_what_names_no_account_is_put_where_its_lead_lives(
    client: httpx.Client, opened: Workspace, event: Make
) -> None:
    """A visit that names the lead alone counts for the lead that came with an account."""
    later = event("2", data={"lead": "lead-1", "person": "cookie-7"})
    assert _statuses(client, event("1")) + _statuses(client, later) == ["accepted"] * 2
    assert online.OnlineStore(opened).events("a-1").num_rows == 2


def _visit(id: str, time: str, data: dict[str, Any]) -> dict[str, Any]:
    envelope = {"specversion": "1.0", "id": id, "source": "/website"}
    return {**envelope, "type": "funnelcast.touch.pricing_visit", "time": time, "data": data}
