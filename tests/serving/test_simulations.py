"""What planners ask is simulated once: submitted, joined, found again; refused with a line where it
is wrong; stopped, given up for dead and started again; each for the eyes of its own."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from cluster.errors import Refusal
from cluster.settings import Settings, SimulationSettings
from cluster.workspace import Workspace
from features import log
from jobs.simulate import followed
from serving.forecast import size
from serving.forecast.size import Sizes
from serving.simulations import checking, exported, known, retained, service
from serving.simulations.jobs import State, ended, entrypoint
from serving.simulations.records import Run
from serving.simulations.service import Simulations
from serving.simulations.starting import RUN
from serving.simulations.store import Store
from serving.simulations.words import (
    NoJobs,
    NoResult,
    NoSimulation,
    NotStopped,
    TooManySimulations,
    Wrong,
)
from serving.wire.simulations import SimulationOut
from tests.jobs.simulating import answered
from tests.serving import asking
from tests.serving.asking import (
    DESK,
    EFFECT,
    GONE,
    LEVER,
    Cluster,
    administrator,
    planner,
    request,
    scenario,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving.wire.simulations import SimulationRequest

ADA, BOB, ROOT = planner(), planner("bob"), administrator()
ROUTED = {"policy": "lead_routing", "routes": ["nurture"]}
CAMPAIGN = {
    "kind": "campaign",
    "budget": 2.0,
    "response": {"elasticity": 0.5, "sd": 0.1, "grade": "assumption"},
    "spend_per_step_cents": 1_000,
}
PRICE = {"kind": "price", "stages": ["negotiation"], "discount": 0.1, "effect": EFFECT}
MINUTE = timedelta(minutes=1)
AT_ONCE = 0.2  # seconds: the goal for what was asked before


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 7, 6, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time it is."""
        return self.now


@pytest.fixture(scope="module")
def clock() -> Time:
    """A clock for all tests here."""
    return Time()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, clock: Time) -> Iterator[Workspace]:
    """A workspace whose log holds a small company."""
    allowed = SimulationSettings(at_once=1_000, queue=1_000, per_day=10_000)
    settings = Settings(
        home=tmp_path_factory.mktemp("simulations") / "home", buckets=4, simulations=allowed
    )
    with Workspace.open(settings, clock=clock) as opened:
        asking.fill(opened)
        yield opened


@pytest.fixture
def cluster() -> Cluster:
    """A cluster that does what it is told."""
    return Cluster()


@pytest.fixture
def simulations(place: Workspace, cluster: Cluster) -> Simulations:
    """The simulations of the workspace, run there."""
    return Simulations(place, cluster)


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> SimulationRequest:
    """A question that no other test asks."""
    seed = int.from_bytes(request.node.name.encode()[-6:])
    return asking.request(scenario(seed=seed))


def submitted(
    simulations: Simulations, asked: SimulationRequest, clock: Time, who: Any = ADA
) -> SimulationOut:
    """Submit what is not refused."""
    found = simulations.submit(asked, who, clock())
    assert isinstance(found, SimulationOut), str(found)
    return found


def test_a_question_is_answered(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest,
) -> None:  # fmt: skip
    """From the question to the result; asked again it is there at once, and nothing is started."""
    told = submitted(simulations, fresh, clock)
    assert (told.status, told.unchanged, told.scenarios) == ("queued", False, ["more"])
    assert isinstance(simulations.result(told.id, ADA), NoResult)
    assert cluster.work(place) == 0
    done = simulations.get(told.id, ADA)
    assert isinstance(done, SimulationOut)
    assert (done.status, done.why, done.finished_at) == ("done", None, clock())
    assert done.progress is not None
    assert done.progress.done == done.progress.total
    result = simulations.result(told.id, ADA)
    assert not isinstance(result, Refusal)
    assert (result.id, result.draws, result.steps) == (told.id, 20, 6)
    assert [arm.name for arm in result.arms] == ["baseline", "more"]
    began = perf_counter()
    again = submitted(simulations, fresh, clock, BOB)
    assert perf_counter() - began < AT_ONCE * 5  # of a busy machine; the bench has the figure
    assert (again.id, again.unchanged, len(cluster.started)) == (told.id, True, 1)
    assert simulations.result(told.id, BOB) == result


def test_what_is_done_leaves_the_forecasts_of_others_alone(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time
) -> None:
    """A planner's scenario may have the name of one that ships."""
    submitted(simulations, request(scenario("outreach")), clock)
    cluster.work(place)
    assert place.refs.get("forecasts/outreach") is None
    assert place.tables.head("forecast") is None


def test_the_bands_are_exported(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time
) -> None:
    """One row for each scenario, measure and step: the numbers of the result."""
    told = submitted(simulations, request(scenario(seed=77)), clock)
    cluster.work(place)
    result = simulations.result(told.id, ADA)
    assert not isinstance(result, Refusal)
    table = exported.table(result)
    assert table.num_rows == (2 + 3) * 6
    last = [row for row in table.to_pylist() if row["scenario"] == "more" and row["step"] == 6]
    assert [row["measure"] for row in last] == ["won", "value_cents", "gain_cents"]
    assert last[0]["p50"] == result.arms[1].won.p50[-1]
    assert exported.csv(result).count(b"\n") == table.num_rows + 1
    assert exported.parquet(result)[:4] == b"PAR1"


def test_many_who_ask_at_once_share_one_job(
    simulations: Simulations, cluster: Cluster, clock: Time, fresh: SimulationRequest
) -> None:
    """Whoever they are."""
    with ThreadPoolExecutor(6) as pool:
        asked = [
            pool.submit(submitted, simulations, fresh, clock, planner(f"p{n}")) for n in range(6)
        ]
        assert len({each.result().id for each in asked}) == 1
    assert len(cluster.started) == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (scenario(funnel="salse"), "configured, got 'salse': did you mean 'sales'?"),
        (scenario(funnel="../../etc/passwd.yaml"), "a funnel must be a name"),
        (scenario(draws=10**9), "'draws': Input should be less than or equal to 100000"),
        (scenario(levers=[{**LEVER, "rate": -0.1}]), "greater than or equal to 0"),
        (scenario(levers=[{**LEVER, "rats": 1}]), "unknown key 'rats': did you mean 'rate'?"),
        (scenario(levers=[{**LEVER, "kind": "magic"}]), "kind must be known, got 'magic'"),
        (scenario(levers=[{**LEVER, "stages": ["leed"]}]), "did you mean 'lead'?"),
        (scenario(levers=[{**LEVER, "segments": ["dach ", "mars"]}]), "did you mean 'dach'?"),
        (scenario(levers=[{**LEVER, "teams": ["x"]}]), "a team must be one that the log knows"),
        (scenario(levers=[{**LEVER, "bands": [1]}]), "a band must be one that the log knows"),
        (scenario(levers=[{**LEVER, "first_step": 6}]), "first_step must be below the horizon 6"),
        (scenario(levers=[{"kind": "reps", "desk": "x", "more": 1}]), "desk must be one of"),
        (
            scenario(desks=[{**DESK, "name": name, "teams": ["a"]} for name in "xy"]),
            "every team must be of one desk",
        ),
        (
            scenario(levers=[{**LEVER, "effect": {**EFFECT, "grade": "randomised"}}]),
            "grade must be 'assumption'",
        ),
        (scenario(draws=100_000, horizon=520), "steps of one unit"),
        (
            scenario(levers=[CAMPAIGN, {**CAMPAIGN, "stages": ["proposal"]}]),
            "lever 2: a stage of a campaign must be one in which units begin, got 'proposal'",
        ),
        (scenario(levers=[{**CAMPAIGN, "segments": ["mars"]}]), "a segment must be one that the"),
        (
            scenario(levers=[CAMPAIGN, {**CAMPAIGN, "response": "estimated"}]),
            "lever 2: a response that is 'estimated' needs arrivals, and inputs that varied",
        ),
        (
            scenario(levers=[{**CAMPAIGN, "spend_per_step_cents": None}]),
            "lever 1: the spend of a campaign must be known, got none in the log: give `spend_per",
        ),
        (scenario(levers=[{**CAMPAIGN, "budget": -1.0}]), "greater than or equal to 0"),
        (scenario(levers=[{**LEVER, "routed": ROUTED}]), "lever 1: a policy routes by scores"),
        (
            scenario(levers=[{**LEVER, "routed": {**ROUTED, "routes": ["nurse"]}}]),
            "a route must be of policy 'lead_routing', got 'nurse': did you mean 'nurture'?",
        ),
        (
            scenario(levers=[{**LEVER, "routed": {**ROUTED, "policy": "lead_rooting"}}]),
            "did you mean 'lead_routing",
        ),
        (
            scenario(levers=[{**LEVER, "routed": {**ROUTED, "version": 9}}]),
            "a version of policy 'lead_routing' must have been published, got 9",
        ),
        (
            scenario(levers=[LEVER, {**PRICE, "effect": "estimated"}]),
            "lever 2: an effect that is 'estimated' must have been learnt from the log, got 'price'"
            ": run python -m jobs.effects --action price, or state it with grade 'assumption'",
        ),
        (
            scenario(levers=[{**LEVER, "effect": "estimated", "action": "webinar"}]),
            "got 'webinar': run python -m jobs.effects --action webinar",
        ),
        (
            scenario(levers=[{**LEVER, "rate": None, "more": 0.2, "action": "webinar"}]),
            "lever 1: `more` is more than there was, got no contacts in lead: give `rate`",
        ),
        (
            scenario(desks=[{**DESK, "name": f"desk {n}"} for n in range(101)]),
            "at most 100 items",
        ),
        (
            scenario(levers=[{**LEVER, "routed": {**ROUTED, "at_least": {"a": float("inf")}}}]),
            "finite number",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_a_line_before_anything_runs(
    simulations: Simulations, cluster: Cluster, clock: Time, asked: dict[str, Any], said: str
) -> None:
    """Rule, value and remedy; nothing is started, and nothing on record."""
    before = len(simulations.listed(ROOT, 200))
    found = simulations.submit(request(asked), ADA, clock())
    assert isinstance(found, Wrong), found
    assert said in str(found)
    assert "\n" not in str(found)
    assert (cluster.started, len(simulations.listed(ROOT, 200))) == ([], before)
    assert str(simulations.checked(request(asked))) == str(found)


def test_scenarios_are_checked_together(simulations: Simulations, clock: Time) -> None:
    """They share draws and horizon; what they are compared with is there; as_of is known."""
    late = datetime(2090, 1, 1, tzinfo=UTC)
    for asked, said in (
        (request(scenario("a"), scenario("b", horizon=5)), "horizon must be the same"),
        (request(scenario("a"), scenario("a")), "a name of its own"),
        (request(scenario("a"), against="b"), "a scenario must be one of"),
        (request(scenario("a"), as_of=late), "as_of must not be after what the log knows"),
    ):
        found = simulations.submit(asked, ADA, clock())
        assert isinstance(found, Wrong)
        assert said in str(found)


def test_a_service_that_checks_nothing_is_found(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The mutant of the checks: what is wrong is started, and the job fails with the same line."""
    monkeypatch.setattr(service.checking, "wrong", lambda *_: None)
    asked = request(scenario(levers=[{**LEVER, "segments": ["mars"]}]))
    told = submitted(simulations, asked, clock)
    with pytest.raises(Exception, match="mars"):
        cluster.work(place)
    failed = simulations.get(told.id, ADA)
    assert isinstance(failed, SimulationOut)
    assert failed.status == "failed"
    assert "mars" in str(failed.why)


def test_what_the_log_tells_is_counted(place: Workspace) -> None:
    """Segments and teams by their words; open units and arrivals near what is simulated."""
    funnel = service.questions.funnels.load_funnel("sales")
    found = known.read(place, funnel, log.pinned(place.tables))
    assert {"dach", "uk"} <= set(found.segments)
    assert (found.stages[0], found.bands) == ("lead", 0)
    assert found.units > 50
    assert found.arriving > 5
    one = checking.unit_steps(_comparison(scenario()), found)
    assert checking.unit_steps(_comparison(scenario("a"), scenario("b")), found) == one * 1.5
    desks = [DESK, {**DESK, "name": "field", "teams": ["dach"]}]
    both = (scenario("a", desks=desks), scenario("b", desks=desks), scenario("c", levers=[]))
    dear = {"hour_price": True, "plan": {"scenario": "a", "budget_cents": 1}}
    # usual, a, b, c, the plan, and two desks of a, of b and of the plan; one is of two arms
    assert checking.unit_steps(_comparison(*both, **dear), found) == one * 11 / 2


def _comparison(*scenarios: dict[str, Any], **other: Any) -> Any:
    found = service.questions.read(request(*scenarios, **other))
    assert not isinstance(found, Wrong)
    return found


def test_what_would_not_fit_into_memory_is_refused(place: Workspace, cluster: Cluster) -> None:
    """By draws, steps, groups, stages and arms; with how many draws would fit."""
    allowed = SimulationSettings(result_bytes=1_000_000)
    settings = place.settings.model_copy(update={"simulations": allowed})
    narrow = Simulations(Workspace(**{**vars(place), "settings": settings}), cluster)
    many = request(scenario(draws=1_000))
    found = narrow.checked(many)
    assert isinstance(found, Wrong)
    said = re.search(r"must take at most 0.001 GB .*: ask for (\d+) draws at most", str(found))
    assert said is not None
    fits, beyond = int(said[1]), int(said[1]) + 1
    assert narrow.checked(request(scenario(draws=fits))) is None
    assert isinstance(narrow.checked(request(scenario(draws=beyond))), Wrong)
    assert Simulations(place, cluster).checked(many) is None, "the mutant: a bound far away"


@pytest.mark.parametrize("folded", [False, True])
def test_the_size_of_a_question_is_that_of_its_outcomes(
    place: Workspace, tmp_path: Path, folded: bool
) -> None:
    """As they are held, folded or not, and the groups about those that the log tells."""
    asked = scenario(draws=16, horizon=3)
    found = answered(place, tmp_path, folded=folded, scenarios=[asked])
    labels = found.names.labels
    sizes = Sizes(
        groups=len(labels), stages=len(found.names.stages), units=found.asked.start.name.size
    )
    several = [outcome._asdict() for outcome in found.outcomes.values()]
    held = [each for one in several for name, each in one.items() if name != "timing"]
    held += [each for both in found.by_group.values() for each in both]
    bytes_held = sum(each.nbytes for each in held)
    asked_for = size.result_bytes(_comparison(asked), sizes, folded=folded)
    assert asked_for == pytest.approx(bytes_held, rel=0.02)
    funnel = service.questions.funnels.load_funnel("sales")
    told = known.read(place, funnel, log.pinned(place.tables)).groups
    assert told == pytest.approx(len(labels), rel=0.1)


def test_where_no_cluster_takes_jobs_it_is_said(
    simulations: Simulations, cluster: Cluster, clock: Time, fresh: SimulationRequest
) -> None:
    """With the remedy; asked again when there is one it starts."""
    cluster.refuses = NoJobs(rule="a cluster", value="none", remedy="start one")
    before = [each.id for each in simulations.listed(ROOT, 200)]
    assert simulations.submit(fresh, ADA, clock()) == cluster.refuses
    assert [each.id for each in simulations.listed(ROOT, 200)] == before, "it leaves no row"
    cluster.refuses = None
    assert submitted(simulations, fresh, clock).status == "queued"
    assert len(cluster.started) == 1


def test_a_service_without_ray_takes_none(place: Workspace, fresh: SimulationRequest) -> None:
    """The cluster of this process: there is none."""
    found = Simulations(place).submit(fresh, ADA, place.clock())
    assert isinstance(found, NoJobs)
    assert "FUNNELCAST_SIMULATIONS__JOBS=1" in str(found)


def test_a_quota_is_told(place: Workspace, cluster: Cluster, clock: Time) -> None:
    """With when to ask again."""
    few = place.settings.model_copy(update={"simulations": SimulationSettings(at_once=1)})
    narrow = Simulations(Workspace(**{**vars(place), "settings": few}), cluster)
    eve = planner("eve")
    submitted(narrow, request(scenario(seed=1_001)), clock, eve)
    found = narrow.submit(request(scenario(seed=1_002)), eve, clock())
    assert isinstance(found, TooManySimulations)
    assert found.again_s > 0


def test_a_simulation_is_stopped(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest,
) -> None:  # fmt: skip
    """With its job; what the job says after that counts no more, and it may be started again."""
    told = submitted(simulations, fresh, clock)
    stopped = simulations.cancel(told.id, ADA)
    assert isinstance(stopped, SimulationOut)
    assert (stopped.status, cluster.stopped) == ("cancelled", cluster.started)
    assert cluster.work(place) == 0  # one that was not stopped in time stops itself
    assert isinstance(simulations.cancel(told.id, ADA), NotStopped)
    again = submitted(simulations, fresh, clock)
    assert (again.id, again.status) == (told.id, "queued")
    assert [run.attempt for run in cluster.started] == [1, 2]


def test_a_job_that_is_cancelled_on_its_way_ends(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """At its next word; nothing is kept of it."""
    told = submitted(simulations, fresh, clock)
    monkeypatch.setattr(followed, "APART_S", 0.0)
    asked = followed.question.ask

    def cancelling(*given: Any) -> Any:
        simulations.cancel(told.id, ADA)
        return asked(*given)

    monkeypatch.setattr(followed.question, "ask", cancelling)
    assert cluster.work(place) == 0
    assert isinstance(simulations.result(told.id, ADA), NoResult)


def test_a_job_that_is_cancelled_at_its_end_leaves_no_result(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Between its last word and that it is done: the row names no blob, so none may stay."""
    told, results = submitted(simulations, fresh, clock), list[str]()
    simulated = followed.simulated

    def cancelling(*given: Any) -> Any:
        report = simulated(*given)
        results.append(str(report.wrote["result"]))
        assert place.blobs.has(results[0])
        simulations.cancel(told.id, ADA)
        return report

    monkeypatch.setattr(followed, "simulated", cancelling)
    assert cluster.work(place) == 0
    assert [place.blobs.has(each) for each in results] == [False]


@pytest.mark.parametrize("end", ["cancelled", "dead", "overdue"])
def test_of_a_job_that_was_stopped_no_question_is_left(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest, end: str,
) -> None:  # fmt: skip
    """One that is killed does not delete it."""
    told = submitted(simulations, fresh, clock)
    run = cluster.started[-1]
    simulations._store.running(run, None, clock())
    file = place.settings.home / retained.FOLDER / f"{run}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("scenarios: []")
    assert isinstance(simulations.get(told.id, ADA), SimulationOut) and file.exists()
    if end == "cancelled":
        simulations.cancel(told.id, ADA)
    else:
        cluster.says = GONE if end == "dead" else cluster.says
        clock.now += MINUTE if end == "dead" else 600 * MINUTE
        simulations.get(told.id, ADA)
    assert not file.exists()


def test_who_asked_may_stop_it_unless_others_wait(
    simulations: Simulations, cluster: Cluster, clock: Time, fresh: SimulationRequest
) -> None:
    """An administrator may."""
    told = submitted(simulations, fresh, clock)
    submitted(simulations, fresh, clock, BOB)
    refused = simulations.cancel(told.id, ADA)
    assert isinstance(refused, NotStopped)
    assert "bob" not in str(refused)
    assert isinstance(simulations.cancel(told.id, ROOT), SimulationOut)


def test_each_sees_ones_own(
    simulations: Simulations, clock: Time, fresh: SimulationRequest
) -> None:
    """What another asked does not exist, until it is shared; then it is seen, and not stopped."""
    told, eve = submitted(simulations, fresh, clock), planner("mallory")
    for look in (simulations.get, simulations.asked, simulations.result, simulations.cancel):
        hidden = look(told.id, eve)
        assert isinstance(hidden, NoSimulation)
        assert str(hidden) == str(simulations.get(told.id[::-1], eve)).replace(
            told.id[::-1], told.id
        )
    assert simulations.listed(eve) == []
    assert told.id in {each.id for each in simulations.listed(ROOT, 200)}
    simulations.share(told.id, ADA)
    assert simulations.asked(told.id, eve) == fresh
    assert isinstance(simulations.cancel(told.id, eve), NotStopped)
    assert simulations.listed(eve) == []


def test_a_service_that_shows_all_is_found(
    simulations: Simulations, clock: Time, fresh: SimulationRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The mutant: everybody manages."""
    told = submitted(simulations, fresh, clock)
    monkeypatch.setattr(service, "_manages", lambda _: True)
    assert isinstance(simulations.get(told.id, planner("mallory")), SimulationOut)


def test_a_job_that_died_without_a_word_has_failed(
    simulations: Simulations, cluster: Cluster, clock: Time, fresh: SimulationRequest
) -> None:
    """Noticed when somebody looks, told with the remedy; asked again it starts again."""
    told = submitted(simulations, fresh, clock)
    over = "its job ended (FAILED: killed): submit it again"
    cluster.says = State(is_known=True, over=over)
    assert _status(simulations, told) == "queued"  # it was heard of just now
    clock.now += MINUTE
    dead = simulations.get(told.id, ADA)
    assert isinstance(dead, SimulationOut)
    assert (dead.status, dead.why) == ("failed", over)
    assert submitted(simulations, fresh, clock).status == "queued"
    assert [run.attempt for run in cluster.started] == [1, 2]


def test_a_job_that_runs_for_too_long_is_ended(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest,
) -> None:  # fmt: skip
    """By who looks, and by who asks for another; from its first word on: one that waits may wait.
    What it says after that counts no more.
    """
    told = submitted(simulations, fresh, clock)
    store, (run,) = Store(place.database), cluster.started
    clock.now += 600 * MINUTE
    assert _status(simulations, told) == "queued"
    assert store.running(run, None, clock.now)
    for _ in range(119):
        clock.now += MINUTE
        assert store.running(run, None, clock.now), "it goes on to say that it runs"
        assert _status(simulations, told) == "running"
    clock.now += 2 * MINUTE
    submitted(simulations, request(scenario(seed=3_003)), clock, BOB)
    assert cluster.stopped == [run]
    late = simulations.get(told.id, ADA)
    assert isinstance(late, SimulationOut)
    assert (late.status, "within 120 minutes" in str(late.why)) == ("failed", True)
    assert not store.running(run, None, clock.now)


def test_a_job_that_is_on_its_way_to_the_cluster_is_no_dead_one(
    simulations: Simulations, cluster: Cluster, clock: Time, fresh: SimulationRequest
) -> None:
    """For half a minute; one that never came has failed."""
    told = submitted(simulations, fresh, clock)
    cluster.says = GONE
    clock.now += timedelta(seconds=10)
    assert _status(simulations, told) == "queued"
    clock.now += MINUTE
    assert _status(simulations, told) == "failed"


def test_the_dead_keep_no_place_from_others(
    place: Workspace, cluster: Cluster, clock: Time
) -> None:
    """Though whoever asked for them never looks again; those that go on keep theirs."""
    few = SimulationSettings(queue=len(Store(place.database).under_way()) + 1)
    settings = place.settings.model_copy(update={"simulations": few})
    narrow = Simulations(Workspace(**{**vars(place), "settings": settings}), cluster)
    submitted(narrow, request(scenario(seed=2_001)), clock, planner("yan"))
    clock.now += MINUTE
    asked, zoe = request(scenario(seed=2_002)), planner("zoe")
    assert isinstance(narrow.submit(asked, zoe, clock()), TooManySimulations)
    cluster.says = GONE
    assert submitted(narrow, asked, clock, zoe).status == "queued"


def test_a_cluster_that_says_nothing_leaves_it_under_way(
    simulations: Simulations, clock: Time, fresh: SimulationRequest
) -> None:
    """However long it takes."""
    told = submitted(simulations, fresh, clock)
    clock.now += 600 * MINUTE
    assert _status(simulations, told) == "queued"


def _status(simulations: Simulations, told: SimulationOut) -> str:
    found = simulations.get(told.id, ADA)
    assert isinstance(found, SimulationOut)
    return found.status


def _result_of(place: Workspace, cluster: Cluster, told: SimulationOut) -> str:
    """Work a simulation off, and return the digest of its result."""
    cluster.work(place)
    kept = Store(place.database).get(told.id)
    assert kept is not None and kept.result is not None
    return kept.result


def test_a_result_that_is_lost_is_made_again(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest,
) -> None:  # fmt: skip
    """And until then it says so."""
    told = submitted(simulations, fresh, clock)
    place.blobs.delete(_result_of(place, cluster, told))
    assert "lost" in str(simulations.result(told.id, ADA))
    assert submitted(simulations, fresh, clock).status == "queued"
    cluster.work(place)
    assert not isinstance(simulations.result(told.id, ADA), Refusal)


def test_a_result_that_is_damaged_is_replaced(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest,
) -> None:  # fmt: skip
    """Once somebody finds it so: the same question is no answer then, it is started."""
    told = submitted(simulations, fresh, clock)
    place.blobs.path_of(_result_of(place, cluster, told)).write_bytes(b"x")
    assert "lost" in str(simulations.result(told.id, ADA))
    assert submitted(simulations, fresh, clock).status == "queued"


def test_a_question_to_newer_scores_is_another(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time,
    fresh: SimulationRequest,
) -> None:  # fmt: skip
    """What an answer rests on is part of the question: a learnt effect too. A job that finds
    another than was asked about fails."""
    told = submitted(simulations, fresh, clock)
    place.refs.move(
        "effects/sales/outreach", to="x", expect_epoch=0, actor="a", reason="b", now=clock()
    )
    with pytest.raises(followed.Moved, match="submit it again"):
        cluster.work(place)
    assert submitted(simulations, fresh, clock).id != told.id


def test_progress_is_told_four_times_a_second(
    place: Workspace, simulations: Simulations, clock: Time, cluster: Cluster,
    fresh: SimulationRequest,
) -> None:  # fmt: skip
    """And the last of all."""
    told = submitted(simulations, fresh, clock)
    at = 0.0
    says = followed.Said(Store(place.database), cluster.started[-1], place, lambda: at)
    seen = []
    for done in range(1, 101):
        at += 0.01
        says(done, 100, "chunks")
        found = simulations.get(told.id, ADA)
        assert isinstance(found, SimulationOut)
        assert found.progress is not None
        seen.append(found.progress.done)
    assert sorted(set(seen)) == [1, 26, 51, 76, 100]


def test_nothing_that_is_asked_is_in_the_command() -> None:
    """Which a shell reads."""
    command = entrypoint([RUN, str(Run(id="4f2a", attempt=1))])
    assert command.endswith(" -m jobs.simulate --simulation 4f2a.1")


def test_a_job_reads_what_was_asked(
    place: Workspace, simulations: Simulations, cluster: Cluster, clock: Time
) -> None:
    """Numbers and texts that YAML writes otherwise than JSON."""
    odd = {**LEVER, "effect": {**EFFECT, "sd": 1e-05}}
    desk = {**DESK, "name": "Nordé"}
    told = submitted(simulations, request(scenario(desks=[desk], levers=[odd])), clock)
    kept = Store(place.database).get(told.id)
    assert kept is not None
    odd = {**odd, "routed": {**ROUTED, "routes": ["\x7f"]}}
    asked = request(scenario(goals={"won": 1e16}, levers=[odd], desks=[desk]))
    kept = replace(kept, asked=asked.model_dump(mode="json"))
    with followed._settings(place, kept) as settings:
        found = followed.question.load(settings)
    assert found == service.questions.read(asked)
    assert not list((place.settings.home / "simulations").iterdir()), "it is left nowhere"


def test_planners_are_told_no_paths_of_what_broke() -> None:
    """Neither of an error that is not ours, nor of the log of a job; both are in the log."""
    assert followed._why(OSError(28, "No space left", "/srv/home/x")) == (
        "OSError: see the log of its job"
    )
    said = "Job entrypoint command failed with exit code 1, last available logs (truncated to"
    said += " 20,000 chars):\nFile /srv/home/x.py"
    assert ended("FAILED", said) == (
        "its job ended (FAILED: Job entrypoint command failed with exit code 1): submit it again"
    )


def test_a_run_that_is_not_on_record_is_none(place: Workspace) -> None:
    """Nor one of another attempt."""
    with pytest.raises(followed.WrongUse, match="on record"):
        followed.follow(place, Run(id="4f2a", attempt=1))
    assert followed.main(["--simulation", "x"]) == 2
