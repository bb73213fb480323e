"""Simulations as jobs of Ray: what a service starts, one that is killed, one that is stopped, and
the process that waits for the next."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.simulations.spares import Spares
from tests.serving import asking
from tests.serving.asking import scenario
from tests.serving.running import Running, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.drill
PATH, MOST_S = "/v1/simulations", 300.0
LONG = {"draws": 4_000, "horizon": 52}  # so that there is time to kill it
EVER = datetime(2000, 1, 1, tzinfo=UTC)
OVER = {"done", "failed", "cancelled"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service over a small company."""
    folder = tmp_path_factory.mktemp("simulations")
    with Workspace.open(Settings(home=folder / "home", buckets=4)) as place:
        asking.fill(place, leads=2_200)
    given = {"FUNNELCAST_RAY__CPUS": "2", "FUNNELCAST_BUCKETS": "4"}
    with running(
        folder / "home", folder / "told", profile="portable", environ=given, ready="/healthz"
    ) as found:
        yield found


@pytest.fixture
def http(service: Running) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=service.url, timeout=60.0) as made:
        yield made


def _post(http: httpx.Client, **own: Any) -> tuple[str, dict[str, Any]]:
    sent = http.post(PATH, json={"scenarios": [scenario(**own)]})
    assert sent.status_code == 202, sent.text
    return sent.headers["location"], sent.json()


def _until(http: httpx.Client, where: str, *wanted: str) -> dict[str, Any]:
    """Wait until a simulation has one of some statuses; return how it is told then."""
    until = time.monotonic() + MOST_S
    while time.monotonic() < until:
        told: dict[str, Any] = http.get(where).json()
        if told["status"] in wanted:
            return told
        assert told["status"] not in OVER, told
        time.sleep(0.1)
    raise AssertionError(f"a simulation must become {wanted}, got {told}")


def _jobs(service: Running, option: str = "") -> list[int]:
    """Return the processes that simulate, or wait for it."""
    wanted = f" -m jobs.simulate --{option}"
    return [n for n, said in service.processes().items() if wanted in said]


def _gone(service: Running, numbers: list[int]) -> bool:
    return _waited(lambda: not set(numbers) & set(_jobs(service)))


def _waited(holds: Callable[[], object]) -> bool:
    until = time.monotonic() + 60
    while not holds() and time.monotonic() < until:
        time.sleep(0.2)
    return bool(holds())


def test_a_service_simulates_on_its_cluster(http: httpx.Client) -> None:
    """From POST to the result, by the Jobs API; again it is there."""
    where, told = _post(http)
    done = _until(http, where, "done")
    assert done["progress"]["done"] == done["progress"]["total"]
    result = http.get(f"{where}/result").json()
    assert (result["id"], result["draws"]) == (told["id"], 20)
    again = http.post(PATH, json={"scenarios": [scenario()]})
    assert (again.status_code, again.json()["unchanged"]) == (200, True)


def test_a_job_that_is_killed_is_told_and_goes_on_when_asked_again(
    http: httpx.Client, service: Running
) -> None:
    """By what the cluster says of it."""
    where, _ = _post(http, seed=2, **LONG)
    _until(http, where, "running")
    for number in _jobs(service):
        os.kill(number, signal.SIGKILL)
    failed = _until(http, where, "failed")
    assert "its job ended (FAILED" in failed["why"]
    assert failed["why"].endswith("submit it again")
    again, _ = _post(http, seed=2, **LONG)
    assert again == where
    assert _until(http, where, "done")["why"] is None


def test_a_simulation_that_is_stopped_leaves_no_process(
    http: httpx.Client, service: Running
) -> None:
    """Nor does a late word revive it."""
    where, _ = _post(http, seed=3, **LONG)
    _until(http, where, "running")
    there = _jobs(service)
    assert there
    assert http.post(f"{where}/cancel").json()["status"] == "cancelled"
    assert _gone(service, there)
    assert http.get(where).json()["status"] == "cancelled"
    assert http.get(f"{where}/result").status_code == 409


@pytest.fixture
def spares(service: Running) -> Iterator[Spares]:
    """The processes of the service that wait."""
    with Workspace.open(Settings(home=service.home, buckets=4)) as place:
        yield Spares(place.database)


def _ready(http: httpx.Client, service: Running, spares: Spares) -> int:
    """Look until a process waits, and is ready; return it."""
    assert _waited(
        lambda: http.get(PATH).is_success and (there := spares.there(EVER)) and there.code
    )
    (number,) = _jobs(service, "spare")
    return number


def test_the_next_runs_in_the_process_that_waits(
    http: httpx.Client, service: Running, spares: Spares
) -> None:
    """Which is killed, told, and stopped as any other; one that is dismissed leaves."""
    waits = _ready(http, service, spares)
    where, _ = _post(http, seed=4, **LONG)
    _until(http, where, "running")
    assert _jobs(service) == [waits]
    os.kill(waits, signal.SIGKILL)
    assert "its job ended (FAILED" in _until(http, where, "failed")["why"]
    waits = _ready(http, service, spares)
    again, _ = _post(http, seed=4, **LONG)
    _until(http, again, "running")
    assert _jobs(service) == [waits]
    assert http.post(f"{where}/cancel").json()["status"] == "cancelled"
    assert _gone(service, [waits])
    waits = _ready(http, service, spares)
    spares.dismiss()
    assert _gone(service, [waits])


def test_a_cluster_without_jobs_is_told(tmp_path: Path) -> None:
    """503 with the remedy."""
    with Workspace.open(Settings(home=tmp_path / "home", buckets=4)) as place:
        asking.fill(place)
    given = {"FUNNELCAST_RAY__CPUS": "2", "FUNNELCAST_SIMULATIONS__JOBS": "0"}
    with running(
        tmp_path / "home", tmp_path / "told", profile="portable", environ=given, ready="/healthz"
    ) as found:
        sent = httpx.post(found.url + PATH, json={"scenarios": [scenario()]}, timeout=60.0)
    assert sent.status_code == 503
    assert "FUNNELCAST_SIMULATIONS__JOBS=1" in sent.json()["detail"]
