"""Releases over the API: led by who may, once, from where they were seen; what was live when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from cluster import canonical
from cluster.access import keyring
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore
from cluster.workspace import Workspace
from serving.access.credentials import Credentials
from serving.answer.service import DecisionService
from serving.api import releasing
from serving.api.application import make_application
from serving.client import Client, Conflict, Invalid
from serving.leading import orders
from serving.registry import Registry, alias
from serving.slots import releases
from serving.slots.slot import Answer
from serving.wire import releases as wire
from tests.serving.listening import listening
from tests.serving.simulated_releases import release

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from cluster.settings import Settings

TARGET, PATH = "lead_qualification", "/v1/releases/lead_qualification"
LEAD = {"lead": Answer(target=TARGET, policy="lead_routing")}
PEPPER, GONE = bytes(32), "0" * 64
HERE = "http://127.0.0.1"
type Keys = Callable[..., dict[str, str]]


@pytest.fixture
def service(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[DecisionService]:
    """A service over a copy of the small world."""
    with (
        Workspace.open(copied(tmp_path / "home")) as place,
        closing(DecisionService(place, LEAD)) as made,
    ):
        yield made


@pytest.fixture
def client(service: DecisionService) -> Iterator[httpx.Client]:
    """A client of an application that asks for credentials."""
    ring = keyring.KeyRing(service.workspace.database, load_roles(), PEPPER)
    asks = Credentials(required=True, keys=ring)
    with TestClient(make_application(service, asks), base_url=HERE) as http:
        yield http


@pytest.fixture
def keys(service: DecisionService) -> Keys:
    """Issues a key to a person, and returns the header that sends it."""
    store = KeyStore(service.workspace.database, load_roles())

    def issue(name: str, role: str = "administrator", **more: Any) -> dict[str, str]:
        asked = Asked(name=name, roles=(role,), lifetime=timedelta(days=1), **more)
        act = Act(actor="root", reason="a test", now=service.workspace.clock())
        key = store.issue(asked, act, pepper=PEPPER).key
        return {"authorization": f"Bearer {key.text}"}

    return issue


def _model(place: Workspace) -> str:
    """Keep a model that is another, and scores alike; return its id."""
    packed = Registry(place.blobs, place.refs, place.journal).bundle(alias(TARGET))[1]
    said = json.loads(packed.manifest)
    said["provenance"]["card"] = "the candidate"
    return place.blobs.put(canonical.dumps(said))


def _start(service: DecisionService) -> dict[str, Any]:
    model = _model(service.workspace)
    return {"expect_epoch": 0, "reason": "trained on May", "plan": "canary", "model": model}


def _epoch(service: DecisionService) -> int:
    found = releases.current(service.workspace, TARGET)
    return found.epoch if found else 0


def _lead(
    client: httpx.Client, who: dict[str, str], action: str, epoch: int, **more: Any
) -> httpx.Response:
    asked = {"expect_epoch": epoch, "reason": "as planned", **more}
    return client.post(f"{PATH}/{action}", json=asked, headers=who)


def test_a_release_is_led_over_the_api(
    service: DecisionService, client: httpx.Client, keys: Keys
) -> None:
    """Each move is its subject's, with its reason; and who follows is told."""
    ada = keys("ada")
    before = client.get(PATH, headers=ada).json()
    assert (before["epoch"], before["release"], before["judged"]) == (0, None, None)
    begun = client.post(f"{PATH}/start", json=_start(service), headers=ada).json()
    assert (begun["epoch"], begun["actor"], begun["reason"]) == (1, "ada", "trained on May")
    assert begun["release"]["state"] == "running"
    assert begun["judged"]["action"] == "wait"
    assert begun["replicas"]["alive"] == 1
    service.watcher.refresh()
    now = client.get(PATH, headers=ada).json()
    assert now["replicas"] == {"alive": 1, "following": 1, "others": []}
    moved = _lead(client, ada, "advance", 1).json()
    assert (moved["release"]["step"], moved["release"]["share"]) == (1, 0.01)
    listed = client.get("/v1/releases", headers=ada).json()["releases"]
    assert [(each["target"], each["epoch"]) for each in listed] == [(TARGET, 2)]
    told = list(service.workspace.journal.entries("admin.release"))
    assert [entry.body["reason"] for entry in told] == ["trained on May", "as planned"]
    assert {entry.body["credential"].partition(":")[0] for entry in told} == {"api-key"}
    order = releases.entry_of(service.workspace, TARGET, 2)["order"]
    assert (order["action"], order["target"]) == ("advance", TARGET)


def test_who_decides_by_an_old_look_is_told_so(
    service: DecisionService, client: httpx.Client, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """409, and nothing moves; the mutant, which expects nothing, moves it."""
    ada, eve = keys("ada"), keys("eve")
    client.post(f"{PATH}/start", json=_start(service), headers=ada)
    assert _lead(client, eve, "pause", 1).status_code == 200
    late = _lead(client, ada, "abort", 1)
    assert (late.status_code, late.headers["content-type"]) == (409, "application/problem+json")
    assert "must still be at epoch 1, got 2, by eve" in late.json()["detail"]
    assert _epoch(service) == 2
    monkeypatch.setattr(orders, "_is_expected", lambda *_: True)
    assert _lead(client, ada, "abort", 1).status_code == 200
    assert _epoch(service) == 3


def test_an_order_given_again_is_not_carried_out_twice(
    service: DecisionService, client: httpx.Client, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer was lost; another's order, or another order, is told 409."""
    ada, eve, start = keys("ada"), keys("eve"), _start(service)
    answers = [client.post(f"{PATH}/start", json=start, headers=ada) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].json()["release"] == answers[1].json()["release"]
    assert _epoch(service) == 1
    assert client.post(f"{PATH}/start", json=start, headers=eve).status_code == 409
    other = {**start, "reason": "on second thoughts"}
    assert client.post(f"{PATH}/start", json=other, headers=ada).status_code == 409
    monkeypatch.setattr(orders, "_again", lambda *_: None)  # the mutant: nothing is remembered
    assert client.post(f"{PATH}/start", json=start, headers=ada).status_code == 409


def test_who_moves_it_in_between_wins(
    service: DecisionService, client: httpx.Client, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look of an order and its move: 409 too."""
    ada = keys("ada")
    client.post(f"{PATH}/start", json=_start(service), headers=ada)
    put = releases.put

    def outrun(place: Workspace, after: Any, before: Any, **said: Any) -> Any:
        monkeypatch.setattr(releases, "put", put)
        eve = {**said, "actor": "eve", "more": {}}
        put(place, before.release.aborted("no"), before, **eve)
        return put(place, after, before, **said)

    monkeypatch.setattr(releases, "put", outrun)
    late = _lead(client, ada, "advance", 1)
    assert late.status_code == 409, late.text
    assert _epoch(service) == 2


def test_who_began_it_does_not_approve_it(
    service: DecisionService, client: httpx.Client, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """403; the mutant takes the service for a laptop's, where nobody else is."""
    ada, eve = keys("ada"), keys("eve")
    client.post(f"{PATH}/start", json=_start(service), headers=ada)
    for epoch in (1, 2, 3):
        assert _lead(client, ada, "advance", epoch).status_code == 200
    own = _lead(client, ada, "approve", 4)
    assert (own.status_code, "another person" in own.json()["detail"]) == (403, True)
    assert _epoch(service) == 4
    with monkeypatch.context() as patched:
        patched.setattr(orders, "is_laptop", lambda *_, **__: True)
        patched.setattr(releases, "put", lambda *_, **__: orders.not_begun("reached"))
        assert _lead(client, ada, "approve", 4).status_code == 409
    assert _lead(client, eve, "approve", 4).json()["release"]["step"] == 3


def test_who_may_not_move_what_is_released_may_not_release_it(
    service: DecisionService, client: httpx.Client, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each ref that it moves in the end; the attempt is journalled."""
    some = keys("ada", scopes=("releases:change", "releases:read"))
    start = _start(service)
    refused = client.post(f"{PATH}/start", json=start, headers=some)
    assert (refused.status_code, "aliases:change" in refused.json()["detail"]) == (403, True)
    (entry,) = service.workspace.journal.entries("admin.refused")
    assert (entry.body["actor"], entry.body["what"]) == ("ada", f"move {alias(TARGET)}")
    assert _epoch(service) == 0
    monkeypatch.setattr(releasing, "granted", lambda place, *_: place)  # the mutant: nobody asks
    assert client.post(f"{PATH}/start", json=start, headers=some).status_code == 200


def test_who_may_not_is_told_so(service: DecisionService, client: httpx.Client, keys: Keys) -> None:
    """By role, and who is bound to rows: a release is of all of them."""
    viewer, bound = keys("vic", "viewer"), keys("bea", regions=("emea",))
    engineer, start = keys("eli", "ml_engineer"), _start(service)
    assert client.get(PATH, headers=viewer).status_code == 200
    assert client.get(PATH, headers=bound).status_code == 200
    for who in (viewer, bound):
        assert client.post(f"{PATH}/start", json=start, headers=who).status_code == 403
    assert client.post(f"{PATH}/start", json=start, headers=engineer).status_code == 200
    assert _lead(client, engineer, "approve", 1).status_code == 403
    assert "releases:approve" in _lead(client, engineer, "approve", 1).json()["detail"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan": "../../etc/passwd.yaml"}, "plan: String should match pattern"),
        ({"plan": "nobodys"}, "a plan must be a file or one of"),
        ({"model": "models/lead_qualification/nobodys"}, "must be a published model"),
        ({"model": "0" * 64}, "must be admitted"),
        ({"expect_epoch": None}, "expect_epoch: Input should be a valid integer"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_begin_is_refused(
    service: DecisionService,
    client: httpx.Client,
    keys: Keys,
    changes: dict[str, Any],
    said: str,
) -> None:
    """422 with the rule; no file of the server is named by a caller."""
    asked = {**_start(service), **changes}
    found = client.post(f"{PATH}/start", json=asked, headers=keys("ada"))
    assert (found.status_code, said in found.json()["detail"]) == (422, True), found.text
    assert _epoch(service) == 0


def test_bodies_are_strict(client: httpx.Client, keys: Keys) -> None:
    """A name that stands twice, another type, too much, and a target that nobody answers."""
    ada, sent = keys("ada"), {"content-type": "application/json"}
    twice = b'{"expect_epoch": 0, "reason": "a", "reason": "b"}'
    found = client.post(f"{PATH}/pause", content=twice, headers=ada | sent)
    assert (found.status_code, "each name once" in found.json()["detail"]) == (422, True)
    plain = ada | {"content-type": "text/plain"}
    assert client.post(f"{PATH}/pause", content=b"{}", headers=plain).status_code == 415
    large = b" " * 2**17
    assert client.post(f"{PATH}/pause", content=large, headers=ada | sent).status_code == 413
    assert _lead(client, ada, "pause", 0).status_code == 404
    other = client.post("/v1/releases/nobody/pause", json={}, headers=ada)
    assert other.status_code == 422
    asked = {"expect_epoch": 0, "reason": "x"}
    assert client.post("/v1/releases/nobody/pause", json=asked, headers=ada).status_code == 404
    assert client.get("/v1/releases/nobody", headers=ada).status_code == 404


def test_what_was_live_when(service: DecisionService, client: httpx.Client, keys: Keys) -> None:
    """Model, policy and shares at any moment, from the moves of refs."""
    ada, start, blue = keys("ada"), _start(service), _stable(service)
    client.post(f"{PATH}/start", json=start, headers=ada)
    for epoch in (1, 2):
        _lead(client, ada, "advance", epoch)
    _lead(client, ada, "rollback", 3)
    found = client.get(f"{PATH}/history", headers=ada).json()
    assert [each["state"] for each in found["moves"]] == [*["running"] * 3, "rolled_back"]
    assert [each["share"] for each in found["moves"]] == [0.0, 0.01, 0.05, 0.0]
    assert found["live"] is None

    def arms(at: str) -> list[tuple[str, str, float]]:
        told = client.get(f"{PATH}/history", params={"at": at, "limit": 1}, headers=ada).json()
        assert len(told["moves"]) == 1
        return [(arm["arm"], arm["model"], arm["share"]) for arm in told["live"]["arms"]]

    third, last = (found["moves"][n]["since"] for n in (2, 3))
    assert arms(third) == [("stable", blue, 0.95), ("candidate", start["model"], 0.05)]
    assert arms(last) == [("stable", blue, 1.0)]
    assert arms("2000-01-01T00:00:00Z") == [("stable", None, 1.0)]


def _stable(service: DecisionService) -> str:
    ref = service.workspace.refs.get(alias(TARGET))
    assert ref is not None
    return ref.target


def test_a_replica_that_refuses_is_told(
    service: DecisionService, client: httpx.Client, keys: Keys
) -> None:
    """With its reason, and without the count of those that follow."""
    made = release()
    gone = made.model_copy(update={"candidate": made.candidate.model_copy(update={"model": GONE})})
    now = service.workspace.clock()
    releases.put(service.workspace, gone, None, actor="ada", reason="a test", now=now)
    service.watcher.refresh()
    found = client.get(PATH, headers=keys("ada")).json()["replicas"]
    assert (found["alive"], found["following"]) == (1, 0)
    assert GONE[:12] in found["others"][0]["refused"]


def test_the_client_leads_a_release(service: DecisionService) -> None:
    """Typed, with the epoch that it saw; another's move is a Conflict."""
    with listening(make_application(service)) as url, Client(url) as client:
        assert [each.release for each in client.releases().releases] == [None]
        begun = client.lead_release(TARGET, "start", **_start(service), policy=None)
        assert isinstance(begun, wire.StandingDetailOut)
        assert begun.release is not None
        assert (begun.release.state, begun.actor) == ("running", "local")
        paused = client.lead_release(TARGET, "pause", expect_epoch=1, reason="lunch")
        resumed = client.lead_release(
            TARGET, "resume", expect_epoch=paused.epoch, reason="back", waive=["shift"]
        )
        assert resumed.release is not None
        assert resumed.release.waived == ["shift"]
        with pytest.raises(Conflict):
            client.lead_release(TARGET, "abort", expect_epoch=1, reason="late")
        with pytest.raises(Invalid, match="an action must be one of"):
            client.lead_release(TARGET, "stop", expect_epoch=3, reason="x")
        found = client.release_history(TARGET, at=begun.since)
        assert (len(found.moves), found.live and found.live.release) == (3, "r1")
        assert client.release(TARGET).epoch == 3


def test_orders_are_those_of_the_wire() -> None:
    """What may be led is what may be asked."""
    assert set(wire.ASKED) == set(orders.ACTIONS) == set(releasing.SUMMARIES)
