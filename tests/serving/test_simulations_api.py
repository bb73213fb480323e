"""Simulations over HTTP and by the client: statuses, headers, who may, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keyring import KeyRing
from cluster.access.keystore import Asked, KeyStore
from cluster.settings import Settings, SimulationSettings
from cluster.workspace import Workspace
from serving.access.credentials import Credentials
from serving.answer.service import DecisionService
from serving.api.application import make_application
from serving.client import AsyncClient, Client, Conflict, Invalid, NotFound, Overloaded, Unfinished
from serving.simulations.service import Simulations
from serving.simulations.words import NoJobs
from tests.serving import asking
from tests.serving.asking import Cluster, scenario
from tests.serving.listening import listening

if TYPE_CHECKING:
    import httpx

    from serving.simulations.records import Run

PATH, PEPPER, HERE = "/v1/simulations", bytes(32), "http://127.0.0.1"
AT_ONCE = 4
type Keys = Callable[..., dict[str, str]]


class Working(Cluster):
    """A cluster that does what it takes, at once and beside."""

    def __init__(self, place: Workspace) -> None:
        super().__init__()
        self._place = place

    def start(self, run: Run) -> NoJobs | None:
        """Take a job and do it."""
        refused = super().start(run)
        if refused is None:
            threading.Thread(target=self._try, args=[run]).start()
        return refused

    def _try(self, run: Run) -> None:
        with contextlib.suppress(asking.followed.FunnelcastError):  # it is on record
            asking.followed.follow(self._place, run)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose log holds a small company."""
    allowed = SimulationSettings(at_once=AT_ONCE, queue=1_000)
    home = tmp_path_factory.mktemp("simulations") / "home"
    with Workspace.open(Settings(home=home, buckets=4, simulations=allowed)) as opened:
        asking.fill(opened)
        yield opened


@pytest.fixture(scope="module")
def service(place: Workspace) -> Iterator[DecisionService]:
    """A service without models."""
    with closing(DecisionService(place, {})) as made:
        yield made


@pytest.fixture
def cluster() -> Cluster:
    """A cluster that does what it is told."""
    return Cluster()


@pytest.fixture
def http(service: DecisionService, place: Workspace, cluster: Cluster) -> Iterator[httpx.Client]:
    """A client of an application that asks for credentials."""
    asks = Credentials(required=True, keys=KeyRing(place.database, load_roles(), PEPPER))
    application = make_application(service, asks, Simulations(place, cluster))
    with TestClient(application, base_url=HERE) as made:
        yield made


@pytest.fixture
def keys(place: Workspace, request: pytest.FixtureRequest) -> Keys:
    """Issues a key to a person of this test, and returns the header that sends it."""
    store = KeyStore(place.database, load_roles())

    def issue(name: str, role: str = "planner", **more: Any) -> dict[str, str]:
        name = f"{name} of {request.node.name}"
        asked = replace(Asked(name=name, roles=(role,), lifetime=timedelta(days=1)), **more)
        act = Act(actor="root", reason="a test", now=place.clock())
        return {"authorization": f"Bearer {store.issue(asked, act, pepper=PEPPER).key.text}"}

    return issue


def body(seed: int, **other: Any) -> dict[str, Any]:
    """Return a request that is told apart by its seed."""
    return {"scenarios": [scenario(seed=seed, **other)]}


def test_a_simulation_goes_its_way(
    http: httpx.Client, place: Workspace, cluster: Cluster, keys: Keys
) -> None:
    """202 and where to ask; 200 when it is known; the result as JSON, CSV and Parquet."""
    ada = keys("ada")
    sent = http.post(PATH, json=body(1), headers=ada)
    where, told = sent.headers["location"], sent.json()
    assert (sent.status_code, where) == (202, f"{PATH}/{told['id']}")
    assert http.get(where, headers=ada).json()["status"] == "queued"
    assert http.get(f"{where}/result", headers=ada).status_code == 409
    cluster.work(place)
    assert http.get(where, headers=ada).json()["status"] == "done"
    again = http.post(PATH, json=body(1), headers=ada)
    assert (again.status_code, again.json()["unchanged"]) == (200, True)
    assert again.headers["location"] == where
    result = http.get(f"{where}/result", headers=ada).json()
    bands = pd.read_csv(io.BytesIO(http.get(f"{where}/result.csv", headers=ada).content))
    won = bands[(bands["scenario"] == "more") & (bands["measure"] == "won")]
    assert won["p95"].tolist() == result["arms"][1]["won"]["p95"]
    parquet = http.get(f"{where}/result.parquet", headers=ada)
    assert pq.read_table(io.BytesIO(parquet.content)).num_rows == len(bands)
    assert http.post(f"{where}/cancel", headers=ada).status_code == 409
    assert [each["id"] for each in http.get(PATH, headers=ada).json()["simulations"]] == [
        told["id"]
    ]


def test_what_is_refused_is_a_problem(http: httpx.Client, cluster: Cluster, keys: Keys) -> None:
    """422 before anything runs, 404, 409, 503, and 429 with when to ask again."""
    ada = keys("ada")
    wrong = http.post(PATH, json=body(2, stages=[]), headers=ada)
    assert (wrong.status_code, wrong.json()["status"]) == (422, 422)
    assert "unknown key 'stages'" in wrong.json()["detail"]
    assert http.post(PATH, json={"scenarios": [], "x": 1}, headers=ada).status_code == 422
    assert http.get(f"{PATH}/{'0' * 32}", headers=ada).status_code == 404
    cluster.refuses = NoJobs(rule="a cluster", value="none", remedy="start one")
    gone = http.post(PATH, json=body(2), headers=ada)
    assert (gone.status_code, "retry-after" in gone.headers) == (503, True)
    cluster.refuses = None
    for seed in range(3, 3 + AT_ONCE):
        assert http.post(PATH, json=body(seed), headers=ada).status_code == 202
    much = http.post(PATH, json=body(30), headers=ada)
    assert (much.status_code, int(much.headers["retry-after"]) > 0) == (429, True)
    first = http.post(PATH, json=body(3), headers=ada)
    assert http.post(f"{first.headers['location']}/cancel", headers=ada).status_code == 200
    assert http.post(PATH, json=body(30), headers=ada).status_code == 202


def test_who_may(http: httpx.Client, keys: Keys) -> None:
    """Planners see their own, administrators all; a viewer nothing, and nobody who is bound."""
    ada, bob, root = keys("ada"), keys("bob"), keys("root", "administrator")
    others = keys("v", "viewer"), keys("r", regions=("north",)), keys("t", teams=("a",))
    where = http.post(PATH, json=body(40), headers=ada).headers["location"]
    assert http.get(where, headers=bob).status_code == 404
    assert http.post(f"{where}/cancel", headers=bob).status_code == 404
    assert http.post(f"{where}/share", headers=bob).status_code == 404
    assert http.get(where, headers=root).status_code == 200
    assert http.get(PATH, headers=bob).json() == {"simulations": []}
    assert len(http.get(PATH, headers=root).json()["simulations"]) > 0
    assert http.post(f"{where}/share", headers=ada).status_code == 200
    assert http.get(where, headers=bob).status_code == 200
    assert http.post(f"{where}/cancel", headers=bob).status_code == 409
    for other in others:
        for path in (PATH, where, f"{where}/result", f"{where}/result.csv"):
            assert http.get(path, headers=other).status_code == 403
        assert http.post(PATH, json=body(40), headers=other).status_code == 403
    assert http.get(PATH).status_code == 401


def test_a_path_names_all_its_methods(http: httpx.Client, keys: Keys) -> None:
    """Also where two routes share it."""
    found = http.put(PATH, json={}, headers=keys("ada"))
    assert (found.status_code, found.headers["allow"]) == (405, "GET, POST")


@pytest.fixture(scope="module")
def url(service: DecisionService, place: Workspace) -> Iterator[str]:
    """A service on loopback whose cluster works."""
    application = make_application(service, planning=Simulations(place, Working(place)))
    with listening(application) as found:
        yield found


def test_the_client_waits_for_what_comes_out(url: str) -> None:
    """With progress; frames of bands and payoffs; asked again it is there."""
    seen: list[tuple[int, int]] = []
    with Client(url) as client:
        found = client.simulate(
            [scenario("a", seed=50), scenario("b", seed=50)],
            hour_price=False,
            progress=lambda done, of: seen.append((done, of)),
        )
        assert found.bands.shape == (3 * 2 * 6 + 2 * 6, 9)
        assert list(found.payoffs.index) == ["a", "b"]
        assert found.payoffs.loc["a", "gain_cents"] == found.payoffs.loc["b", "gain_cents"]
        assert all(done <= of for done, of in seen)
        (told, *_) = client.simulations(limit=1).simulations
        assert client.simulation(told.id).status == "done"
        assert client.simulation_result(told.id).bands.equals(found.bands)
        assert client.share_simulation(told.id).id == told.id
        with pytest.raises(Conflict, match="under way to be cancelled"):
            client.cancel_simulation(told.id)


def test_the_client_raises_what_is_wrong(
    url: str, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong scenario, one that is not there, and a job that failed."""
    with Client(url) as client:
        with pytest.raises(Invalid, match="did you mean 'lead'"):
            client.simulate([scenario(levers=[{**asking.LEVER, "stages": ["leed"]}])])
        with pytest.raises(NotFound):
            client.simulation("0" * 32)
        monkeypatch.setattr("serving.simulations.checking.wrong", lambda *_: None)
        with pytest.raises(Unfinished, match="mars"):
            client.simulate([scenario(levers=[{**asking.LEVER, "segments": ["mars"]}])])


def test_the_client_of_asyncio_does_the_same(url: str) -> None:
    """Awaited."""

    async def ask() -> pd.DataFrame:
        async with AsyncClient(url) as client:
            return (await client.simulate([scenario(seed=51)])).bands

    assert set(asyncio.run(ask())["scenario"]) == {"baseline", "more"}


def test_too_many_is_overloaded(place: Workspace, service: DecisionService) -> None:
    """For the client, as other services say it."""
    few = place.settings.model_copy(update={"simulations": SimulationSettings(per_day=0)})
    narrow = Simulations(Workspace(**{**vars(place), "settings": few}), Cluster())
    with (
        listening(make_application(service, planning=narrow)) as found,
        Client(found) as client,
        pytest.raises(Overloaded, match="may start 0 simulations within a day"),
    ):
        client.simulate([scenario(seed=52)])
