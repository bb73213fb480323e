"""A process waits for the next simulation: one, which is given one run, and no run to the dead."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from cluster import runs
from cluster.database import open_database
from cluster.settings import Settings, SimulationSettings
from cluster.workspace import Workspace
from features import log
from jobs.simulate import basis, question, spare
from jobs.simulate.basis import Bases
from serving.simulations import starting
from serving.simulations.jobs import State
from serving.simulations.questions import JOB
from serving.simulations.records import DONE, Run
from serving.simulations.service import Simulations
from serving.simulations.spares import Spares
from serving.simulations.starting import RUN, SPARE, Starting
from serving.simulations.store import Store
from serving.simulations.words import NoJobs
from serving.wire.simulations import SimulationOut
from tests.serving import asking
from tests.serving.asking import GOES_ON, GONE, planner, request, scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cluster.database import Database

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=12)
RUNS = [Run(id=f"r{n}", attempt=1) for n in range(8)]
SILENT = State(is_known=True, over=None, is_told=False)
ADA = planner()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database of either kind."""
    here = f"sqlite:///{tmp_path / 'x.db'}"
    url = here if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    with closing(open_database(url)) as opened:
        yield opened


def test_one_waits_and_is_given_one_run(database: Database) -> None:
    spares = Spares(database)
    assert spares.put("a", "code", NOW, SINCE)
    assert not spares.put("b", "code", NOW, SINCE), "one waits already"
    assert spares.waiting("code", SINCE) == "a" and spares.waiting("newer", SINCE) is None
    with ThreadPoolExecutor(len(RUNS)) as pool:
        given = list(pool.map(lambda run: spares.give("a", run), RUNS))
    assert sum(given) == 1
    run = RUNS[given.index(True)]
    place = spares.place("a")
    assert place is not None and place.run == run
    assert spares.of(run) == "a" and spares.waiting("code", SINCE) is None
    assert not spares.leave("a"), "it is to do its run"
    spares.dismiss()
    assert spares.of(run) == "a", "who has a run is not dismissed"


def test_who_should_have_left_is_waited_for_no_more(database: Database) -> None:
    """A process that was killed has not said so. One that waits is dismissed, or leaves."""
    spares = Spares(database)
    assert spares.put("a", "code", NOW, SINCE)
    later = NOW + timedelta(seconds=1)
    assert not spares.put("b", "code", later, NOW)
    assert spares.waiting("code", NOW) == "a" and spares.waiting("code", later) is None
    assert spares.put("b", "code", later, later)
    assert (spares.waiting("code", SINCE), spares.place("a")) == ("b", None)
    assert not spares.give("a", RUNS[0])
    assert spares.leave("b") and spares.waiting("code", SINCE) is None
    assert spares.put("c", "code", NOW, SINCE)
    spares.dismiss()
    assert spares.place("c") is None


class ByName:
    """A cluster that takes jobs by name; it says of all what it is told to say."""

    def __init__(self) -> None:
        self.took: list[tuple[str, list[str], float]] = []
        self.asked: list[str] = []
        self.says, self.refuses = GOES_ON, False

    def submit(self, job: str, options: Sequence[str], cpus: float) -> NoJobs | None:
        """Take a job, unless it is to refuse."""
        self.took.append((job, list(options), cpus))
        return NoJobs(rule="a cluster", value="none", remedy="start it") if self.refuses else None

    def state(self, job: str) -> State:
        """Say what it is told to say."""
        self.asked.append(job)
        return self.says

    def stop(self, job: str) -> None:
        """Remember what was to be stopped."""
        self.asked.append(job)


def _starting(cluster: ByName, place: Workspace, timer: Any = time.monotonic) -> Starting:
    """Jobs of a workspace there; what is done beside is done at once."""
    return Starting(cluster, place, timer, lambda work: work())


@pytest.fixture
def cluster() -> ByName:
    """A cluster."""
    return ByName()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose log holds a small company."""
    settings = Settings(home=tmp_path_factory.mktemp("spares") / "home", buckets=4)
    with Workspace.open(settings) as opened:
        asking.fill(opened)
        yield opened


@pytest.fixture
def place(small: Workspace) -> Workspace:
    """That workspace; nothing waits, or is under way."""
    store = Store(small.database)
    for each in store.under_way():
        store.cancelled(each.run, small.clock())
    Spares(small.database).dismiss()
    return small


def _submitted(place: Workspace, jobs: Any, seed: int, **more: Any) -> Run:
    """Ask for a simulation; return its run."""
    asked = request(scenario(seed=seed, **more))
    told = Simulations(place, jobs).submit(asked, ADA, place.clock())
    assert isinstance(told, SimulationOut), str(told)
    kept = Store(place.database).get(told.id)
    assert kept is not None
    return kept.run


def test_a_run_is_given_to_the_process_that_waits(place: Workspace, cluster: ByName) -> None:
    """It holds no core; the next asks for one, as the first is under way."""
    jobs = _starting(cluster, place)
    jobs.expect()
    jobs.expect()
    (job, options, cpus) = cluster.took.pop()
    assert (cluster.took, options, cpus) == ([], [SPARE, job], 0.0)
    run = _submitted(place, jobs, 1)
    assert cluster.took == []
    for ask in (jobs.state, jobs.stop):
        ask(run)
    assert cluster.asked[-2:] == [job, job]
    jobs.expect()
    assert cluster.took == [], "the cores are those of the run"
    other = _submitted(place, jobs, 2)
    assert cluster.took == [(other.job, [RUN, str(other)], 1.0)]
    jobs.stop(other)
    assert cluster.asked[-1] == other.job


def test_of_two_runs_under_way_none_is_given_to_who_holds_no_core(
    place: Workspace, cluster: ByName
) -> None:
    jobs = _starting(cluster, place)
    jobs.expect()
    elsewhere = asking.Cluster()
    _submitted(place, elsewhere, 3)
    run = _submitted(place, jobs, 4)
    assert cluster.took[-1][0] == run.job


@pytest.mark.parametrize("says", [GONE, SILENT])
def test_no_run_is_given_to_who_is_not_known_to_live(
    place: Workspace, cluster: ByName, says: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is known to be dead is waited for no more. Mutant: believe all that is on record."""
    jobs = _starting(cluster, place)
    jobs.expect()
    (spare_job, *_) = cluster.took[-1]
    cluster.says = says
    seed = 5 if says is GONE else 6
    run = _submitted(place, jobs, seed)
    assert cluster.took[-1][0] == run.job
    assert (Spares(place.database).place(spare_job) is None) == (says is GONE)
    Store(place.database).cancelled(run, place.clock())
    jobs.expect()
    spares = Spares(place.database)

    def believing(_: Starting, run: Run) -> bool:
        job = spares.waiting(runs.code_version(JOB), SINCE)
        return job is not None and spares.give(job, run)

    monkeypatch.setattr(Starting, "_is_given", believing)
    lost = _submitted(place, jobs, seed + 10)
    assert cluster.took[-1][0] != lost.job


def test_a_service_of_other_code_starts_its_own(
    place: Workspace, cluster: ByName, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = _starting(cluster, place)
    jobs.expect()
    monkeypatch.setattr(runs, "code_version", lambda *_: "newer")
    run = _submitted(place, jobs, 7)
    assert cluster.took[-1][0] == run.job


def test_where_none_is_wanted_or_taken_none_waits(place: Workspace, cluster: ByName) -> None:
    """A cluster that takes no jobs is not asked at every look."""
    at = 0.0
    jobs = _starting(cluster, place, lambda: at)
    cluster.refuses = True
    jobs.expect()
    assert len(cluster.took) == 1
    assert Spares(place.database).waiting(runs.code_version(JOB), SINCE) is None
    jobs.expect()
    assert len(cluster.took) == 1
    at = starting.APART_S
    jobs.expect()
    assert len(cluster.took) == 2
    none = place.settings.model_copy(update={"simulations": SimulationSettings(spare_minutes=0)})
    cluster.refuses = False
    with Workspace.open(none) as other:
        _starting(cluster, other).expect()
    assert len(cluster.took) == 2


def test_a_cluster_that_does_not_answer_keeps_nobody_waiting(place: Workspace) -> None:
    """Nor is it asked twice at once, which would leave two processes that wait."""

    class Slow(ByName):
        goes_on = Event()

        def submit(self, job: str, options: Sequence[str], cpus: float) -> NoJobs | None:
            self.goes_on.wait(60)
            return super().submit(job, options, cpus)

    cluster = Slow()
    jobs = Starting(cluster, place)
    jobs.expect()
    Spares(place.database).dismiss()
    jobs.expect()
    assert cluster.took == []
    cluster.goes_on.set()
    until = time.monotonic() + 60
    while jobs._adds.locked() and time.monotonic() < until:
        time.sleep(0.01)
    assert len(cluster.took) == 1


def test_who_looks_at_what_is_over_is_expected_to_ask_again(place: Workspace) -> None:
    class Expecting(asking.Cluster):
        expected = 0

        def expect(self) -> None:
            self.expected += 1

    jobs = Expecting()
    run = _submitted(place, jobs, 8)
    simulations = Simulations(place, jobs)
    simulations.get(run.id, ADA)
    assert jobs.expected == 0
    simulations.cancel(run.id, ADA)
    simulations.listed(ADA)
    assert jobs.expected == 2


@pytest.fixture
def env(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> Spares:
    """The environment of a process that waits."""
    monkeypatch.setenv("FUNNELCAST_HOME", str(place.settings.home))
    monkeypatch.setenv("FUNNELCAST_BUCKETS", "4")
    monkeypatch.setattr(os, "nice", lambda _: 0)  # not of the tests
    return Spares(place.database)


def test_who_waits_answers_as_a_process_of_its_own(
    place: Workspace, env: Spares, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, though it has learnt before; nothing of the question that it learnt for is in it.
    What was learnt is used: without, it is learnt again.
    """
    alone = asking.Cluster()
    first = _submitted(place, alone, 9)
    assert alone.work(place) == 0
    learnt, waited, times = basis.learnt, spare.waited, []

    def counting(*given: Any) -> Any:
        times.append(1)
        return learnt(*given)

    monkeypatch.setattr(basis, "learnt", counting)

    def late(spares: Spares, job: str, rest_s: float) -> Run | None:
        assert spares.give(job, run)  # while it waits
        return waited(spares, job, rest_s)

    monkeypatch.setattr(spare, "waited", late)
    env.put("a", "code", NOW, SINCE)
    run = _submitted(place, asking.Cluster(), 10)
    assert spare.main([SPARE, "a"]) == 0
    kept = Store(place.database).get(run.id)
    assert kept is not None and (kept.status, len(times)) == (DONE, 1)
    here = place.blobs.get(str(kept.result))
    again = Simulations(place, alone).submit(request(scenario(seed=9)), ADA, place.clock())
    assert isinstance(again, SimulationOut) and again.id == first.id
    Store(place.database).lost(kept.run, place.clock())
    _submitted(place, alone, 10)
    assert alone.work(place) == 0
    redone = Store(place.database).get(run.id)
    assert redone is not None and place.blobs.get(str(redone.result)) == here
    assert len(times) == 2


def test_who_is_given_a_run_at_once_prepares_nothing(
    place: Workspace, env: Spares, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.put("b", "code", NOW, SINCE)
    run = _submitted(place, asking.Cluster(), 11)
    env.give("b", run)
    monkeypatch.setattr(spare, "prepare", lambda *_: pytest.fail("it prepares"))
    assert spare.main([f"{SPARE}=b"]) == 0
    kept = Store(place.database).get(run.id)
    assert kept is not None and kept.status == DONE


def test_who_is_given_nothing_leaves(place: Workspace, env: Spares) -> None:
    """After its time, or when it is dismissed; one that was given a run at that moment does it."""
    env.put("c", "code", NOW, SINCE)
    assert spare.waited(env, "c", -1.0) is None
    assert env.place("c") is None
    assert spare.main([SPARE, "c"]) == 0, "it is on record no more"
    env.put("d", "code", NOW, SINCE)
    times = iter([0.0, 2.0])

    def given() -> float:
        at = next(times)
        if at:
            env.give("d", RUNS[0])
        return at

    assert spare.waited(env, "d", 1.0, given) == RUNS[0]
    assert spare.main([SPARE, "e", "f"]) == 2


def test_what_cannot_be_prepared_is_left_to_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an empty log nothing is learnt."""
    with Workspace.open(Settings(home=tmp_path / "home", buckets=4)) as empty:
        spare.prepare(empty, Bases())
    assert "not prepared: " in capsys.readouterr().err


def test_a_newer_log_is_learnt_from_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what was learnt of one log is taken for that of another."""
    with Workspace.open(Settings(home=tmp_path / "home", buckets=4)) as workspace:
        asking.fill(workspace)
        _submitted(workspace, asking.Cluster(), 1)
        asked, bases = spare._newest(workspace), Bases()
        assert asked is not None
        old = bases.get(workspace, asked)
        assert bases.get(workspace, asked) is old
        events = workspace.tables.read(log.TABLE)
        workspace.tables.append(log.TABLE, events.slice(0, 50))
        newer = spare._newest(workspace)
        assert newer is not None and newer.snapshot != asked.snapshot
        assert bases.get(workspace, newer) is not old
        monkeypatch.setattr(question, "rests_on", lambda *_: {"log": "1"})
        same = bases.get(workspace, asked)
        assert bases.get(workspace, newer) is same
