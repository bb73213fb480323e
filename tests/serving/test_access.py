"""Access over HTTP: every route, asked with every kind of credential."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from cluster.access import apikeys, keyring
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore
from cluster.access.principal import LOCAL, Principal
from cluster.access.roles import Role
from cluster.errors import WrongUse
from cluster.settings import ROOT, ServeSettings
from cluster.workspace import Workspace
from serving.access import browsers, declared, guard
from serving.access import opened as opening
from serving.access.credentials import Credentials
from serving.access.declared import ANYBODY, Declared, needs
from serving.api import front, limits
from serving.api.application import make_api, make_application
from serving.api.desk import Desk
from tests.drills import mostly
from tests.serving.keyed import DAY, HERE, NOW, PEPPER, Clock, without_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from cluster.settings import Settings
    from serving.answer.service import DecisionService

REFUSED = (401, 403)
_PLACE = re.compile(r"{[^}]*}")


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at NOW."""
    return Clock()


@pytest.fixture
def service(settings: Settings, clock: Clock) -> Iterator[DecisionService]:
    """A service without models: what is let in is not found, or answered 503."""
    with without_models(settings, clock) as made:
        yield made


@pytest.fixture
def ring(service: DecisionService) -> keyring.KeyRing:
    """The keys that are believed."""
    return keyring.KeyRing(service.workspace.database, load_roles(), PEPPER)


@pytest.fixture
def client(service: DecisionService, ring: keyring.KeyRing) -> Iterator[httpx.Client]:
    """A client of an application that asks for credentials."""
    asks = Credentials(required=True, keys=ring)
    with TestClient(make_application(service, asks), base_url=HERE) as http:
        yield http


@pytest.fixture
def store(service: DecisionService) -> KeyStore:
    """Where keys are issued."""
    return KeyStore(service.workspace.database, load_roles())


@pytest.fixture
def key(store: KeyStore) -> Callable[..., str]:
    """Return a function that issues a key and returns its text."""

    def make(role: str = "administrator", **more: Any) -> str:
        asked = replace(Asked(name="x", roles=(role,), lifetime=30 * DAY), **more)
        return store.issue(asked, _act(), pepper=PEPPER).key.text

    return make


def _act(now: datetime = NOW) -> Act:
    return Act(actor="ada", reason="a test", now=now)


def _routes(service: DecisionService) -> list[tuple[str, str, str]]:
    """Return method, path and need of every route; placeholders are filled."""
    found = Declared(make_api(Desk(service)).routes).table()
    return [(method, _PLACE.sub("a-1", path), need) for method, path, need in found]


def _status(client: httpx.Client, method: str, path: str, *sent: str) -> int:
    headers = [("authorization", each) for each in sent]
    return client.request(method, path, headers=headers).status_code


def _bad(key: Callable[..., str], store: KeyStore) -> dict[str, tuple[str, ...]]:
    """Return what nobody may get in with."""
    good = key()
    stranger = apikeys.make(bytes(apikeys.RANDOM_BYTES)).text
    revoked = key()
    store.revoke(apikeys.parse(revoked).id, _act())  # type: ignore[union-attr]
    early = key(not_before=NOW + DAY)
    return {
        "nothing": (),
        "empty": ("",),
        "the scheme alone": ("Bearer",),
        "garbage": ("Bearer \x7fnonsense",),
        "another scheme": (f"Basic {good}",),
        "no scheme": (good,),
        "two of them": (f"Bearer {good}", f"Bearer {good}"),
        "nobody's key": (f"Bearer {stranger}",),
        "a mistyped key": (f"Bearer {good[:-1]}{'A' if good[-1] != 'A' else 'B'}",),
        "more than a key": (f"Bearer {good} {good}",),
        "a key that was revoked": (f"Bearer {revoked}",),
        "a key of tomorrow": (f"Bearer {early}",),
        "a token": ("Bearer eyJhbGciOiJub25lIn0.e30.",),
    }


def test_no_route_is_open_to_who_is_not_known(
    client: httpx.Client,
    service: DecisionService,
    key: Callable[..., str],
    store: KeyStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them with each credential that is none, and without a check all are let in."""
    bad = _bad(key, store)
    closed = [(m, p) for m, p, need in _routes(service) if need != repr(ANYBODY)]
    cells = {
        (m, p, name): _status(client, m, p, *sent) for m, p in closed for name, sent in bad.items()
    }
    assert len(cells) == len(closed) * len(bad) > 150
    assert {cell: found for cell, found in cells.items() if found != 401} == {}
    monkeypatch.setattr(guard.Guard, "admit", _anybody)
    assert all(_status(client, m, p) not in REFUSED for m, p in closed)


async def _anybody(self: guard.Guard, scope: Any) -> None:
    scope.setdefault("state", {})[guard.PRINCIPAL] = LOCAL


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_what_it_was_granted_and_no_more(
    client: httpx.Client,
    service: DecisionService,
    key: Callable[..., str],
    role: Role,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """403 says which permission is missing; without that check a role may everything."""
    sent = f"Bearer {key(role.value)}"
    granted = {str(each) for each in load_roles().of(role).permissions} | {repr(ANYBODY)}
    routes = _routes(service)
    found = {(m, p): _status(client, m, p, sent) for m, p, _ in routes}
    assert {(m, p) for (m, p), status in found.items() if status == 403} == {
        (m, p) for m, p, need in routes if need not in granted
    }
    assert 401 not in found.values()
    monkeypatch.setattr(guard, "may", lambda *_: None)
    assert all(_status(client, m, p, sent) not in REFUSED for m, p, _ in routes)


def test_a_scope_narrows_a_role(client: httpx.Client, key: Callable[..., str]) -> None:
    """A key for one thing does one thing."""
    sent = f"Bearer {key('viewer', scopes=('policies:read',))}"
    assert _status(client, "GET", "/v1/policies", sent) == 200
    assert _status(client, "POST", front.ONE, sent) == 403
    assert _status(client, "POST", front.MANY, sent) == 403


def test_a_key_ends_when_it_is_said_to(
    client: httpx.Client, key: Callable[..., str], store: KeyStore, clock: Clock
) -> None:
    """Revoked: within a second. Expired: at once."""
    first, second = key(), key(lifetime=DAY)
    path = "/v1/policies"
    assert [_status(client, "GET", path, f"Bearer {k}") for k in (first, second)] == [200, 200]
    store.revoke(apikeys.parse(first).id, _act())  # type: ignore[union-attr]
    clock.now = NOW + timedelta(seconds=1.1)
    assert [_status(client, "GET", path, f"Bearer {k}") for k in (first, second)] == [401, 200]
    clock.now = NOW + DAY
    assert _status(client, "GET", path, f"Bearer {second}") == 401


def test_a_refusal_is_a_problem_that_says_how(client: httpx.Client) -> None:
    answer = client.post(front.ONE, json={"lead": "x"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "send Authorization: Bearer" in answer.json()["detail"]
    protocol = client.post("/v2/models/m/infer", content=b"{}")
    assert (protocol.status_code, set(protocol.json())) == (401, {"error"})


def test_what_lives_and_what_describes_is_open(client: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json", "/v2/health/live"):
        assert client.get(path).status_code in (200, 503), path
    assert client.get("/nowhere").status_code == 404


def test_nothing_is_read_of_who_may_not(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a place inside nor a body."""
    asked: list[int] = []
    monkeypatch.setattr(limits.Limits, "enter", lambda *_: asked.append(1))
    assert client.post(front.ONE, content=b"x" * 100).status_code == 401
    assert asked == []


def test_a_route_that_declares_nothing_is_no_application(service: DecisionService) -> None:
    """The names of those that do not."""
    api = make_api(Desk(service))

    @api.get("/v1/forgotten")
    def forgotten() -> str:
        return "all of it"

    with pytest.raises(WrongUse, match="GET /v1/forgotten without"):
        Declared(api.routes)
    needs(ANYBODY)(forgotten)
    assert ("GET", "/v1/forgotten", "anybody") in Declared(api.routes).table()


def test_a_page_is_open_by_its_name_alone() -> None:
    """Nothing below it, and no other path that looks like it."""
    api = FastAPI()
    assert {path for _, path, _ in Declared(api.routes).table()} <= declared.PAGES

    @api.get("/docs/secret")
    def secret() -> str:
        return ""

    with pytest.raises(WrongUse, match="/docs/secret"):
        Declared(api.routes)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"origin": "http://localhost:8000"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "localhost@evil.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_without_credentials_no_page_of_another_site_is_answered(
    service: DecisionService,
    headers: dict[str, str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that means this machine today, and requests that a page makes."""
    with TestClient(make_application(service), base_url=HERE) as http:
        assert http.get("/v1/policies", headers=headers).status_code == status
        monkeypatch.setattr(browsers, "foreign", lambda _: None)
        assert http.get("/v1/policies", headers=headers).status_code == 200


def test_at_this_machine_a_wrong_key_is_still_wrong(
    service: DecisionService, ring: keyring.KeyRing, key: Callable[..., str]
) -> None:
    """And a right one is who is meant."""
    asks, viewer = Credentials(required=False, keys=ring), key("viewer")
    with TestClient(make_application(service, asks), base_url=HERE) as http:
        assert _status(http, "GET", "/v1/models") == 200
        assert _status(http, "GET", "/v1/models", f"Bearer {viewer}") == 200
        assert _status(http, "GET", "/v1/models", "Bearer fck_x_y") == 401
        assert _status(http, "GET", "/metrics", f"Bearer {viewer}") == 403


def test_who_was_let_in_is_known_behind_the_guard() -> None:
    scope: dict[str, Any] = {"state": {guard.PRINCIPAL: LOCAL}}
    assert isinstance(guard.principal_of(scope), Principal)


@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({}, False),
        ({"require_keys": True}, True),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "192.0.2.1"}, True),
    ],
)
def test_a_service_that_others_reach_has_keys_or_does_not_start(
    service: DecisionService, key: Callable[..., str], changes: dict[str, Any], asks: bool
) -> None:
    """The laptop's default needs none."""
    serve = ServeSettings(**changes)
    assert serve.asks == asks
    if asks:
        with pytest.raises(WrongUse, match=r"must have one, got none for .*jobs.access issue"):
            opening.check_reachable(serve, service.workspace)
    key()
    opening.check_reachable(serve, service.workspace)


@pytest.mark.parametrize("profile", mostly(["portable", "fast"]))
def test_the_command_says_so_and_starts_nothing(tmp_path: Path, profile: str) -> None:
    """One line and 2, long before Ray."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("FUNNELCAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "serving", "--host", "0.0.0.0", "--profile", profile],
        env=environ | {"FUNNELCAST_HOME": str(tmp_path)},
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1
    assert "must have one, got none for serve.host '0.0.0.0'" in done.stderr.decode()


@pytest.mark.parametrize("follows", [True, False], ids=["defence", "mutant"])
def test_keys_are_followed_beside_the_requests(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    """A key that was issued since is known without a look at the database by the request."""
    looks: list[str] = []
    renewed = keyring.KeyRing._renewed
    noted = lambda *given: looks.append(threading.current_thread().name) or renewed(*given)  # noqa: E731
    monkeypatch.setattr(keyring.KeyRing, "_renewed", noted)
    with Workspace.open(settings) as workspace:
        made = opening.Opened(workspace)
        try:
            made = made.start() if follows else made
            pepper = keyring.read_pepper(workspace.database, settings)
            store, now = KeyStore(workspace.database, load_roles()), workspace.clock()
            asked = Asked(name="x", roles=("viewer",), lifetime=DAY)
            text = store.issue(asked, _act(now), pepper=pepper).key.text
            time.sleep(3 * opening.RENEWED_S)
            keys = made.credentials.keys
            assert keys is not None
            assert isinstance(keys.authenticate(text, workspace.clock()), Principal)
        finally:
            made.close()
    assert ("keys" in looks) == follows
    assert looks.count("MainThread") == 1 + (not follows)  # one when it was opened
    assert "keys" not in {thread.name for thread in threading.enumerate()}
