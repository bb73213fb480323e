"""A process waits for the next simulation: one, which is given one run, and no run to the dead."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from cluster import runs
from cluster.settings import Settings, SimulationSettings
from cluster.workspace import Workspace
from features import log
from jobs.simulate import basis, question, spare
from jobs.simulate.basis import Bases
from serving.simulations import service, starting
from serving.simulations.jobs import State
from serving.simulations.questions import JOB
from serving.simulations.records import DONE, Run
from serving.simulations.service import Simulations
from serving.simulations.spares import KEPT, Spare, Spares
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


def test_one_waits_and_is_given_one_run(database: Database) -> None:
    """When it is ready, which it says itself."""
    spares = Spares(database)
    assert spares.put("a", NOW, SINCE)
    assert not spares.put("b", NOW, SINCE), "one prepares already"
    assert not spares.give("a", RUNS[0]), "it is not ready"
    assert spares.there(SINCE) == Spare("a", NOW, None, None)
    assert spares.ready("a", "code") and not spares.ready("b", "code")
    assert spares.there(SINCE) == Spare("a", NOW, "code", None)
    with ThreadPoolExecutor(len(RUNS)) as pool:
        given = list(pool.map(lambda run: spares.give("a", run), RUNS))
    assert sum(given) == 1
    run = RUNS[given.index(True)]
    there = Spare("a", NOW, "code", run)
    assert (spares.place("a"), spares.of(run), spares.there(SINCE)) == (there, there, None)
    assert not spares.leave("a"), "it is to do its run"
    spares.dismiss()
    assert spares.of(run) == there, "who has a run is not dismissed"


def test_who_should_have_left_is_waited_for_no_more(database: Database) -> None:
    """A process that was killed has not said so. One that waits is dismissed, or leaves."""
    spares = Spares(database)
    assert spares.put("a", NOW, SINCE)
    later = NOW + timedelta(seconds=1)
    assert not spares.put("b", later, NOW)
    assert spares.there(NOW) is not None and spares.there(later) is None
    assert spares.put("b", later, later)
    assert spares.place("a") is None and not spares.ready("a", "code")
    assert spares.leave("b") and spares.there(SINCE) is None
    assert spares.put("c", NOW, SINCE)
    spares.dismiss()
    assert spares.place("c") is None


def test_whose_run_is_over_is_forgotten(database: Database) -> None:
    """However long a run takes, it is known where it runs."""
    spares, later = Spares(database), NOW + KEPT + timedelta(seconds=1)
    for job, run in zip("ab", RUNS, strict=False):
        assert spares.put(job, NOW, SINCE) and spares.ready(job, "x") and spares.give(job, run)
    assert spares.put("c", later, later, [RUNS[1]])
    assert spares.of(RUNS[0]) is None and spares.of(RUNS[1]) is not None


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
    asked = request(scenario(seed=seed), **more)
    told = Simulations(place, jobs).submit(asked, ADA, place.clock())
    assert isinstance(told, SimulationOut), str(told)
    kept = Store(place.database).get(told.id)
    assert kept is not None
    return kept.run


def _ready(place: Workspace, cluster: ByName, code: str = "") -> str:
    """Say that the process that was started last is ready."""
    (job, *_) = cluster.took[-1]
    assert Spares(place.database).ready(job, code or runs.code_version(JOB))
    return job


def test_a_run_is_given_to_the_process_that_waits(place: Workspace, cluster: ByName) -> None:
    """It holds no core; the next asks for one, as the first is under way."""
    jobs = _starting(cluster, place)
    jobs.expect()
    jobs.expect()
    job = _ready(place, cluster)
    assert cluster.took == [(job, [SPARE, job], 0.0)]
    run = _submitted(place, jobs, 1)
    assert len(cluster.took) == 1
    for ask in (jobs.state, jobs.stop):
        ask(run)
    assert cluster.asked[-2:] == [job, job]
    jobs.expect()
    assert len(cluster.took) == 1, "the cores are those of the run"
    other = _submitted(place, jobs, 2)
    assert cluster.took[1:] == [(other.job, [RUN, str(other)], 1.0)]
    jobs.stop(other)
    assert cluster.asked[-1] == other.job


def test_of_two_runs_under_way_none_is_given_to_who_holds_no_core(
    place: Workspace, cluster: ByName
) -> None:
    jobs = _starting(cluster, place)
    jobs.expect()
    _ready(place, cluster)
    _submitted(place, asking.Cluster(), 3)
    run = _submitted(place, jobs, 4)
    assert cluster.took[-1][0] == run.job


@pytest.mark.parametrize("code", [None, "older"])
def test_who_is_not_ready_or_of_other_code_is_let_go(
    place: Workspace, cluster: ByName, code: str | None
) -> None:
    """Whatever it still learns, no run waits for that, or dies of it; no code takes up what another
    has begun.
    """
    jobs = _starting(cluster, place)
    jobs.expect()
    (job, *_) = cluster.took[-1]
    if code:
        _ready(place, cluster, code)
    run = _submitted(place, jobs, 5 if code else 6)
    assert cluster.took[-1][0] == run.job
    assert not Spares(place.database).ready(job, "late")


@pytest.mark.parametrize("says", [GONE, SILENT])
def test_no_run_is_given_to_who_is_not_known_to_live(
    place: Workspace, cluster: ByName, says: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is known to be dead is waited for no more. Mutant: believe all that is on record."""
    monkeypatch.setattr(starting, "TO_SUBMIT", timedelta(0))
    jobs = _starting(cluster, place)
    jobs.expect()
    job = _ready(place, cluster)
    cluster.says = says
    seed = 7 if says is GONE else 8
    run = _submitted(place, jobs, seed)
    assert cluster.took[-1][0] == run.job
    spares = Spares(place.database)
    assert (spares.place(job) is None) == (says is GONE)
    Store(place.database).cancelled(run, place.clock())
    jobs.expect()
    if says is GONE:
        _ready(place, cluster)
    monkeypatch.setattr(Starting, "_lives", lambda *_: True)
    lost = _submitted(place, jobs, seed + 10)
    assert cluster.took[-1][0] != lost.job


def test_the_dead_are_replaced(
    place: Workspace, cluster: ByName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody looks, a minute apart; one that is on its way to the cluster is not dead."""
    at = 0.0
    jobs = _starting(cluster, place, lambda: at)
    jobs.expect()
    jobs.expect()
    cluster.says, at = GONE, starting.APART_S
    jobs.expect()
    assert len(cluster.took) == 1, "it was asked for just now"
    monkeypatch.setattr(starting, "TO_SUBMIT", timedelta(0))
    jobs.expect()
    assert len(cluster.took) == 1, "it was looked at just now"
    at = 2 * starting.APART_S
    jobs.expect()
    assert len(cluster.took) == 2
    assert Spares(place.database).place(cluster.took[0][0]) is None


def test_a_dead_run_of_another_keeps_nobody_from_it(
    place: Workspace, cluster: ByName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up when the next is asked for, when it should have begun long ago."""
    dead, gone = _submitted(place, asking.Cluster(), 9), asking.Cluster()
    gone.says = GONE
    with monkeypatch.context() as patched:
        _submitted(place, gone, 10)
        kept = Store(place.database).get(dead.id)
        assert kept is not None and kept.is_under_way, "it may be on its way"
        patched.setattr(service, "TO_SUBMIT", timedelta(0))
        patched.setattr(service, "QUIET", timedelta(0))
        _submitted(place, gone, 11)
    kept = Store(place.database).get(dead.id)
    assert kept is not None and kept.status == "failed"


def test_where_none_is_wanted_or_taken_none_waits(place: Workspace, cluster: ByName) -> None:
    """A cluster that takes no jobs is not asked at every look."""
    at = 0.0
    jobs = _starting(cluster, place, lambda: at)
    cluster.refuses = True
    jobs.expect()
    jobs.expect()
    assert len(cluster.took) == 1
    assert Spares(place.database).there(SINCE) is None
    at = starting.APART_S
    jobs.expect()
    assert len(cluster.took) == 2
    cluster.refuses = False
    for none in (SimulationSettings(spare_minutes=0), SimulationSettings(jobs=False)):
        settings = place.settings.model_copy(update={"simulations": none})
        with Workspace.open(settings) as other:
            _starting(cluster, other).expect()
    assert len(cluster.took) == 2


def test_who_looks_at_what_is_over_is_expected_to_ask_again(place: Workspace) -> None:
    class Expecting(asking.Cluster):
        expected = 0

        def expect(self) -> None:
            self.expected += 1

    jobs = Expecting()
    run = _submitted(place, jobs, 12)
    simulations = Simulations(place, jobs)
    simulations.get(run.id, ADA)
    assert jobs.expected == 0
    simulations.cancel(run.id, ADA)
    simulations.listed(ADA)
    assert jobs.expected == 2


def test_a_cluster_that_does_not_answer_keeps_nobody_waiting(place: Workspace) -> None:
    """Nor is it asked twice at once, which would leave two processes that wait."""

    class Slow(ByName):
        asked_for, goes_on = Event(), Event()

        def submit(self, job: str, options: Sequence[str], cpus: float) -> NoJobs | None:
            self.asked_for.set()
            self.goes_on.wait(60)
            return super().submit(job, options, cpus)

    cluster = Slow()
    jobs = Starting(cluster, place)
    jobs.expect()
    assert cluster.asked_for.wait(60)
    Spares(place.database).dismiss()
    jobs.expect()
    assert cluster.took == []
    cluster.goes_on.set()
    until = time.monotonic() + 60
    while jobs._adds.locked() and time.monotonic() < until:
        time.sleep(0.01)
    assert len(cluster.took) == 1


def test_who_cannot_begin_may_try_again(place: Workspace, cluster: ByName) -> None:
    def full(_: object) -> None:
        raise RuntimeError("can't start new thread")

    jobs = Starting(cluster, place, time.monotonic, full)
    with pytest.raises(RuntimeError):
        jobs.expect()
    assert not jobs._adds.locked()


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
    _submitted(place, alone, 13)
    assert alone.work(place) == 0
    learnt, waited, times = basis.learnt, spare.waited, []

    def counting(*given: Any) -> Any:
        times.append(1)
        return learnt(*given)

    def late(spares: Spares, job: str, rest_s: float) -> Run | None:
        assert spares.give(job, run)  # while it waits
        return waited(spares, job, rest_s)

    monkeypatch.setattr(basis, "learnt", counting)
    monkeypatch.setattr(spare, "waited", late)
    env.put("a", NOW, SINCE)
    run = _submitted(place, asking.Cluster(), 14, hour_price=True)
    assert spare.main([SPARE, "a"]) == 0
    there = env.place("a")
    assert there is not None and there.code == runs.code_version(JOB)
    kept = Store(place.database).get(run.id)
    assert kept is not None and (kept.status, len(times)) == (DONE, 1)
    here = place.blobs.get(str(kept.result))
    Store(place.database).lost(kept.run, place.clock())
    _submitted(place, alone, 14, hour_price=True)
    assert alone.work(place) == 0
    redone = Store(place.database).get(run.id)
    assert redone is not None and place.blobs.get(str(redone.result)) == here
    assert len(times) == 2


def test_who_is_let_go_leaves(
    place: Workspace, env: Spares, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it learns, or when it has; a run that was asked for meanwhile has its own job."""
    assert spare.main([SPARE, "nobody"]) == 0
    env.put("b", NOW, SINCE)
    monkeypatch.setattr(spare, "prepare", lambda *_: env.leave("b"))
    monkeypatch.setattr(spare, "waited", lambda *_: pytest.fail("it waits"))
    assert spare.main([f"{SPARE}=b"]) == 0
    assert spare.main([SPARE, "e", "f"]) == 2


def test_who_is_given_nothing_leaves(env: Spares) -> None:
    """After its time, or when it is dismissed; one that was given a run at that moment does it."""
    env.put("c", NOW, SINCE)
    assert spare.waited(env, "c", -1.0) is None
    assert env.place("c") is None
    assert spare.waited(env, "c", 60.0) is None
    env.put("d", NOW, SINCE)
    env.ready("d", "code")
    times = iter([0.0, 2.0])

    def given() -> float:
        at = next(times)
        if at:
            env.give("d", RUNS[0])
        return at

    assert spare.waited(env, "d", 1.0, given) == RUNS[0]


@pytest.mark.parametrize("error", [None, ValueError("of an older form"), OSError(2, "no file")])
def test_what_cannot_be_prepared_is_left_to_the_run(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
) -> None:
    """Of an empty log nothing is learnt; an old question may not be read."""

    def failing(_: Workspace) -> None:
        raise error or AssertionError

    if error:
        monkeypatch.setattr(spare, "_newest", failing)
    with Workspace.open(Settings(home=tmp_path / "home", buckets=4)) as empty:
        spare.prepare(empty, Bases())
    assert "not prepared: " in capsys.readouterr().err


def test_what_nobody_has_asked_for_is_business_as_usual(tmp_path: Path) -> None:
    with Workspace.open(Settings(home=tmp_path / "home", buckets=4)) as workspace:
        asking.fill(workspace)
        bases = Bases()
        spare.prepare(workspace, bases)
        assert bases._last is not None


def test_what_rests_on_something_else_is_learnt_anew(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer log, another horizon. Mutants: what was learnt is taken for either."""
    _submitted(place, asking.Cluster(), 15)
    asked, bases = spare._newest(place), Bases()
    assert asked is not None
    old = bases.get(place, asked)
    assert bases.get(place, asked) is old
    last = asked.scenario.model_copy(update={"horizon": 20})
    comparison = asked.comparison.model_copy(update={"scenarios": (last,)})
    longer = bases.get(place, replace(asked, comparison=comparison))
    assert longer is not old and bases.get(place, asked) is not longer
    events = place.tables.read(log.TABLE)
    place.tables.append(log.TABLE, events.slice(0, 50))
    newer = spare._newest(place)
    assert newer is not None and newer.snapshot != asked.snapshot
    again = bases.get(place, asked)
    assert bases.get(place, newer) is not again
    monkeypatch.setattr(question, "rests_on", lambda *_: {"log": "1"})
    same = bases.get(place, asked)
    assert bases.get(place, newer) is same
