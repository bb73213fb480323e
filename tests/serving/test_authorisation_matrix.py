"""Every route and method of the application, asked with every credential there is, good and bad.

What must come out follows from configs/access.yaml and from what each route declares, and from
nothing that the service itself makes of them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import iter_route_contexts
from joserfc.jwk import OctKey

from cluster.access import apikeys, keyring, tokens
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore
from cluster.access.principal import Unauthenticated
from cluster.access.roles import Role
from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.access import guard
from serving.access.credentials import Credentials
from serving.access.declared import PAGES, Declared
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.wire.decisions import DecisionOut, DecisionRequest
from tests.cluster import tokenissuer
from tests.cluster.tokenissuer import NOW, Issuer, b64, signed

if TYPE_CHECKING:
    from serving.api.front import Front

AT = datetime.fromtimestamp(NOW, UTC)
DAY = timedelta(days=1)
PEPPER, OTHER_PEPPER = bytes(32), bytes([1]) * 32
OPEN = {"/healthz", "/readyz", "/v2", "/v2/health/live", "/v2/health/ready"} | PAGES
# where a planner signs in and out, and what those pages are drawn with
OPEN |= {f"/planner/{place}" for place in ("sign-in", "sign-out", "static/a-1", "static/{name}")}
OTHER_METHODS = ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "BREW")
NOBODY = Unauthenticated(rule="", value="", remedy="")
_PLACE = re.compile(r"{[^}]*}")
type Cell = tuple[str, str, str]  # method, path, credential


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a request brings, and what may be done with it; None: nobody is known by it."""

    headers: tuple[str, ...]
    may: frozenset[str] | None = None


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer that runs."""
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def application(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """An application that asks for credentials, over a workspace without models."""
    trusted = issuer.settings(roles={f"fc-{role.value}": role.value for role in Role})
    verifier = tokens.Tokens([trusted], load_roles())
    verifier.start()
    home = tmp_path_factory.mktemp("matrix") / "home"
    with Workspace.open(Settings(home=home, buckets=4), clock=lambda: AT) as workspace:
        service = DecisionService(workspace, {})
        ring = keyring.KeyRing(workspace.database, load_roles(), PEPPER)
        asks = Credentials(required=True, keys=ring, tokens=verifier)
        yield make_application(service, asks)
        service.close()
    verifier.close()


@pytest.fixture(scope="module")
def sent(application: Front, issuer: Issuer) -> dict[str, Sent]:
    """Everything that a request may bring."""
    store = KeyStore(application._desk.service.workspace.database, load_roles())
    return {
        **_bad_headers(_key(store)),
        **_bad_keys(store),
        **{name: _bearer(text) for name, text in _bad_tokens(issuer).items()},
        **_roles(store, issuer),
        # credentials that are bound to other rows: test_rows, where there are rows
    }


def _key(
    store: KeyStore, role: str = "administrator", *, pepper: bytes = PEPPER, **more: Any
) -> str:
    asked = replace(Asked(name="x", roles=(role,), lifetime=30 * DAY), **more)
    act = Act(actor="ada", reason="a test", now=AT)
    return store.issue(asked, act, pepper=pepper).key.text


def _bearer(text: str, may: frozenset[str] | None = None) -> Sent:
    return Sent(headers=(f"Bearer {text}",), may=may)


def _bad_headers(good: str) -> dict[str, Sent]:
    return {
        "nothing": Sent(headers=()),
        "empty": Sent(headers=("",)),
        "the scheme alone": Sent(headers=("Bearer ",)),
        "garbage": Sent(headers=("Bearer \x7f\xffnonsense",)),
        "two": Sent(headers=(f"Bearer {good}", f"Bearer {good}")),
        "two, one of them bad": Sent(headers=(f"Bearer {good}", "Basic YTpi")),
        "Basic": Sent(headers=("Basic YWRtaW46YWRtaW4=",)),
        "a key as Basic": Sent(headers=(f"Basic {good}",)),
        "a key without a scheme": Sent(headers=(good,)),
        "a key and more": Sent(headers=(f"Bearer {good} {good}",)),
    }


def _bad_keys(store: KeyStore) -> dict[str, Sent]:
    good, revoked = _key(store), _key(store)
    store.revoke(apikeys.parse(revoked).id, Act(actor="ada", reason="a test", now=AT))  # type: ignore[union-attr]
    bad = {
        "expired key": _key(store, not_before=AT - 3 * DAY, lifetime=DAY),
        "key of tomorrow": _key(store, not_before=AT + DAY),
        "revoked key": revoked,
        "wrong checksum": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "another workspace's key": _key(store, pepper=OTHER_PEPPER),
        "nobody's key": apikeys.make(bytes(apikeys.RANDOM_BYTES)).text,
        "half a key": good[:40],
        "a key in capitals": good.upper(),
    }
    return {name: _bearer(text) for name, text in bad.items()}


def _bad_tokens(issuer: Issuer) -> dict[str, str]:
    def token(*given: Any, **more: Any) -> str:
        return issuer.token(*given, **{**_claims("administrator"), **more})

    good, stranger = token(), tokenissuer.STRANGER
    shared = OctKey(tokenissuer.PEM, tokenissuer.PEM)
    none = b64(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    payload = json.dumps(issuer.claims(**_claims("administrator"))).encode()
    own = {"jwk": tokenissuer.jwk(stranger, "rs")}
    return {
        "expired token": token(exp=NOW - 31),
        "token of tomorrow": token(nbf=NOW + 86_400),
        "token for another audience": token(aud="another"),
        "token of another issuer": token(iss="https://evil.example"),
        "token without an end": token(exp=None),
        "alg none": f"{none}.{b64(payload)}.",
        "alg None in capitals": f"{b64(b'{"alg": "NONE"}')}.{b64(payload)}.",
        "RS to HS": token(alg="HS256", key=shared),
        "unknown key id": token("rs", key=stranger, header={"kid": "nobody"}),
        "bad signature": token(key=stranger),
        "no signature": good.rpartition(".")[0] + ".",
        "changed claims": ".".join([good.split(".")[0], b64(payload + b" "), good.split(".")[2]]),
        "key in the header": token(key=stranger, header=own),
        "key at a URL": token(key=stranger, header={"jku": f"{issuer.url}/other.json"}),
        "critical extension": token(header={"crit": ["x"], "x": 1}),
        "unencoded payload": token(header={"crit": ["b64"], "b64": False}),
        "too long": token(more="x" * 20_000),
        "name given twice": signed(
            {"alg": "RS256", "kid": "rs"},
            payload[:-1] + b', "sub": "root"}',
            tokenissuer.RSA,
        ),
    }


def _claims(role: str) -> dict[str, Any]:
    return {"realm_access": {"roles": [f"fc-{role}"]}, "regions": ["*"]}


def _roles(store: KeyStore, issuer: Issuer) -> dict[str, Sent]:
    """Return a key and a token of each role, and a key of it that may do one thing alone."""
    nobody = _claims("nobody")
    found = {"token of no role": _bearer(issuer.token(**nobody), frozenset())}
    for role in Role:
        may = frozenset(map(str, load_roles().of(role).permissions))
        found[f"key of {role}"] = _bearer(_key(store, role.value), may)
        found[f"token of {role}"] = _bearer(issuer.token(**_claims(role.value)), may)
        for scope in sorted(may)[:2]:
            text = _key(store, role.value, scopes=(scope,))
            found[f"key of {role} for {scope}"] = _bearer(text, frozenset({scope}))
    return found


def _routes(application: Front) -> list[tuple[str, str, str | None]]:
    """Return method, path and declared need of all that is routed; None: it declares nothing."""
    found = []
    for route in iter_route_contexts(application._behind.routes):  # type: ignore[attr-defined]
        need = getattr(route.endpoint, "__needs__", None)
        said = None if need is None else str(need)
        found += [(m, route.path or "", said) for m in sorted(route.methods or {"GET"})]
    return found


async def _ask(application: Front, cell: Cell, sent: Sent, body: bytes = b"{}") -> int:
    answers: list[Any] = []
    method, path, _ = cell

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "scheme": "http",
        "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "headers": [
            (b"host", b"127.0.0.1"),
            *((b"authorization", value.encode("latin-1")) for value in sent.headers),
        ],
    }  # fmt: skip
    await application(scope, receive, send)
    return int(answers[0]["status"])


def _cells(application: Front, sent: dict[str, Sent]) -> dict[Cell, int]:
    """Return the status of every route with every credential."""
    routes = [(m, _PLACE.sub("a-1", path)) for m, path, _ in _routes(application)]

    async def every() -> dict[Cell, int]:
        cells = [(m, path, name) for m, path in routes for name in sent]
        return {cell: await _ask(application, cell, sent[cell[2]]) for cell in cells}

    return asyncio.run(every())


def _wrong(
    application: Front, sent: dict[str, Sent], found: dict[Cell, int]
) -> dict[Cell, tuple[int, str]]:
    """Return the cells that are not what they must be: status, and what was due."""
    needs = {(m, _PLACE.sub("a-1", path)): need for m, path, need in _routes(application)}
    due = {cell: _due(cell[1], needs[cell[:2]], sent[cell[2]]) for cell in found}
    return {
        cell: (status, due[cell])
        for cell, status in found.items()
        if due[cell] != {401: "unknown", 403: "forbidden"}.get(status, "answered")
    }


def _due(path: str, need: str | None, sent: Sent) -> str:
    if path in OPEN:
        return "answered"
    if sent.may is None:
        return "unknown"
    return "answered" if need in sent.may else "forbidden"


def test_each_cell_is_what_was_granted(application: Front, sent: dict[str, Sent]) -> None:
    """Nobody gets in who may not, and all who may are answered."""
    found = _cells(application, sent)
    assert _wrong(application, sent, found) == {}
    lists = ("/v1/models", "/v1/policies", "/metrics")
    answered = [found["GET", path, "token of auditor"] for path in lists]
    assert answered == [200, 200, 200]
    others = _other_methods(application, sent)
    assert {cell: status for cell, status in others.items() if status not in (307, 404, 405)} == {}
    assert len(found) + len(others) >= 2_000
    assert len({path for _, path, _ in found}) >= 24


def _other_methods(application: Front, sent: dict[str, Sent]) -> dict[Cell, int]:
    """Return the status of methods that no route has."""
    routes = {(m, _PLACE.sub("a-1", path)) for m, path, _ in _routes(application)}
    paths = sorted({path for _, path in routes})
    cells = [
        (method, path, name)
        for path in paths
        for method in OTHER_METHODS
        if (method, path) not in routes
        for name in ("nothing", "alg none", "revoked key", "key of ml_engineer")
    ]

    async def every() -> dict[Cell, int]:
        return {cell: await _ask(application, cell, sent[cell[2]]) for cell in cells}

    return asyncio.run(every())


def test_the_table_is_of_all_that_is_routed(application: Front) -> None:
    """What is asked here is what the guard knows, hot routes too, and nothing else is open."""
    routes = _routes(application)
    declared = Declared(application._behind.routes).table()  # type: ignore[attr-defined]
    assert {(m, p) for m, p, _ in routes} == {(m, p) for m, p, _ in declared}
    assert {("POST", path) for path in application._guard.hot} <= {(m, p) for m, p, _ in routes}
    assert {p for _, p, need in routes if need in (None, "anybody")} <= OPEN


def test_a_route_without_a_guard_is_found(application: Front, sent: dict[str, Sent]) -> None:
    """The mutant: one that was added behind the back of the guard."""

    async def forgotten() -> str:
        return "all of it"

    behind = application._behind
    behind.add_api_route("/v1/forgotten", forgotten)  # type: ignore[attr-defined]
    some = {name: sent[name] for name in ("nothing", "key of viewer")}
    wrong = _wrong(application, some, _cells(application, some))
    behind.routes.pop()  # type: ignore[attr-defined]
    assert wrong == {
        ("GET", "/v1/forgotten", "nothing"): (200, "unknown"),
        ("GET", "/v1/forgotten", "key of viewer"): (200, "forbidden"),
    }


@pytest.mark.parametrize(
    ("where", "name", "mutant"),
    [
        (guard, "may", lambda *_: None),
        (tokens.Tokens, "cached", lambda *_: NOBODY),
    ],
    ids=["every role may everything", "no token is believed"],
)
def test_a_wrong_matrix_is_found(
    application: Front,
    sent: dict[str, Sent],
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    mutant: Callable[..., Any],
) -> None:
    """The mutants of roles: too much, and too little."""
    some = {each: sent[each] for each in ("key of viewer", "token of viewer")}
    monkeypatch.setattr(where, name, mutant)
    assert len(_wrong(application, some, _cells(application, some))) >= 5


def test_no_one_writes_what_the_service_says(application: Front, sent: dict[str, Sent]) -> None:
    """Members of an answer, sent in a request: refused, whoever asks."""
    own = set(DecisionOut.model_fields) - set(DecisionRequest.model_fields)
    assert {"id", "score", "route", "basis"} <= own
    cell = ("POST", "/v1/decisions", "key of application")

    async def each() -> list[int]:
        bodies = [json.dumps({"lead": "x", name: "y"}).encode() for name in sorted(own)]
        return [await _ask(application, cell, sent[cell[2]], body) for body in bodies]

    assert set(asyncio.run(each())) == {422}
