"""A candidate in replicas of its own, without Ray: what is said, what runs, and what is refused."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from cluster.errors import Refusal
from cluster.settings import CandidateSettings, ServeSettings
from cluster.workspace import Workspace
from serving.answer.service import DecisionService
from serving.apart import deciding, keeper, unpacked, words
from serving.apart.deciding import CandidateArgs, Deciding, NotTaken
from serving.apart.keeper import Keeper
from serving.decide import Case
from serving.releases import own
from serving.releases.own import Own
from serving.releases.plan import Plan, load_plan
from serving.slots import arms, elsewhere, marking, policies
from serving.slots import releases as store
from serving.slots.elsewhere import Away, NotYet, OtherAnswer
from serving.slots.slot import Answer, Slot
from serving.slots.watcher import REFUSED, SWAPPED
from tests.serving import releasing
from tests.serving.simulated_releases import BEGAN, release

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cluster.settings import Settings
    from serving.answer.ticket import Ticket
    from serving.decide import Decision
    from serving.releases.release import Release
    from serving.slots.releases import Kept

ARCHIVE = "file:///srv/code/next.zip"
NOT_YET = NotYet(rule="somebody must answer", value="nobody", remedy="wait")


@pytest.fixture
def place(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the small world, its policies published."""
    with Workspace.open(copied(tmp_path / "home")) as opened:
        policies.begin(opened, policies.declared().values())
        yield opened


@pytest.fixture(scope="module")
def live(trained: Workspace) -> Slot:
    """What answers."""
    slot = Slot.load(trained, Answer(target=releasing.TARGET, policy="lead_routing"))
    assert isinstance(slot, Slot)
    return slot


@pytest.fixture(scope="module")
def cases(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> list[Case]:
    """Leads as they were recorded with their features."""
    home = tmp_path_factory.mktemp("cases") / "home"
    with (
        Workspace.open(copied(home)) as place,
        closing(DecisionService(place, releasing.LEAD)) as service,
    ):
        bodies = [releasing.decide(service, row) for row in releasing.leads(place, 8)]
    said = [(body["entity"], body["account"], body["features"]) for body in bodies]
    return [Case(entity=e, account=a, time=BEGAN, features=f) for e, a, f in said]


class There:
    """The slot of another service of this process, asked and answered in plain values as one in
    another process is.
    """

    name = "there"

    def __init__(self, deciding: Deciding) -> None:
        self.deciding = deciding

    def decide(self, cases: Sequence[Case], now: datetime, *, reasons: bool) -> list[Decision]:
        """Let that decide."""
        said = self.deciding.decide(words.asking(cases, now, reasons=reasons))
        return words.answered(said["made"])


def _isolated(release: Release, **changes: Any) -> Release:
    plan = release.plan.model_copy(update={"isolated": True, **changes})
    return release.model_copy(update={"plan": plan})


def _args(place: Workspace, **changes: str) -> CandidateArgs:
    parts = releasing.candidate(place).model_copy(update=changes)
    answer = releasing.LEAD["lead"]
    return CandidateArgs(settings=place.settings, kind="lead", answer=answer, parts=parts)


def test_what_is_decided_elsewhere_is_the_same_to_the_bit(
    place: Workspace, live: Slot, cases: list[Case]
) -> None:
    """Of all that a decision says; what goes there and back are plain values alone."""
    args = _args(place)
    there = There(deciding.begun(args.model_dump()))
    away = replace(live, elsewhere=there, basis=replace(live.basis, model=args.parts.model))
    for reasons in (True, False):
        here = live.decide(cases, BEGAN, reasons=reasons)
        made = away.decide(cases, BEGAN, reasons=reasons)
        assert made == [replace(each, basis=away.basis) for each in here]
    asked = words.asking(cases, BEGAN, reasons=True)
    assert _kinds((asked, there.deciding.decide(asked))) <= {
        *(str, int, float, bool, type(None), datetime, list, tuple, dict)
    }


def _kinds(said: Any) -> set[type]:
    inside = said.values() if isinstance(said, dict) else said
    more = inside if isinstance(said, dict | list | tuple) else ()
    return {type(said)}.union(*map(_kinds, more))


def test_what_fails_there_is_told_in_words(place: Workspace) -> None:
    """No object of the other's code comes back, an error neither."""
    made = Deciding(_args(place))
    case = Case(entity="x", account=None, time=BEGAN, features={})
    told = made.decide(words.asking([case], BEGAN, reasons=True))["failed"]
    assert told.startswith("WrongUse: a rule must name a feature")
    assert made.decide({})["failed"] == "KeyError: 'cases'"


def test_a_candidate_that_does_not_fit_is_not_begun(place: Workspace) -> None:
    """By the same loader as every slot."""
    with pytest.raises(NotTaken, match="0000"):
        Deciding(_args(place, model="0" * 64))


def test_a_call_that_does_not_return_is_seen(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that returns is not."""
    monkeypatch.setattr(deciding, "LOST_S", 0.2)
    made, go = Deciding(_args(place)), threading.Event()
    made.decide(words.asking((), BEGAN, reasons=False))
    made.must_be_well()
    monkeypatch.setattr(Slot, "decide", lambda *_, **__: go.wait(20) and [])
    asked = words.asking((), BEGAN, reasons=False)
    thread = threading.Thread(target=made.decide, args=(asked,))
    thread.start()
    time.sleep(0.5)
    with pytest.raises(deciding.Lost, match="must return"):
        made.must_be_well()
    go.set()
    thread.join()
    made.must_be_well()


WRONG: dict[str, Callable[[Decision], list[Decision]]] = {
    "of another model": lambda d: [replace(d, basis=replace(d.basis, model="x"))],
    "of another policy": lambda d: [replace(d, basis=replace(d.basis, policy="x"))],
    "about another": lambda d: [replace(d, entity="x")],
    "too few": lambda d: [],
    "too many": lambda d: [d, d],
    "no chance": lambda d: [replace(d, probability=float("nan"))],
    "certain": lambda d: [replace(d, probability=1.0)],
    "no interval": lambda d: [replace(d, low=d.high, high=d.low)],
}


@pytest.mark.parametrize("is_checked", [True, False], ids=["defence", "mutant"])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_is_not_taken(
    live: Slot,
    cases: list[Case],
    name: str,
    is_checked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the other code sends."""

    class Lies:
        name = "lies"

        def decide(self, cases: Sequence[Case], now: datetime, *, reasons: bool) -> list[Decision]:
            return WRONG[name](*live.decide(cases, now, reasons=reasons))

    if not is_checked:
        monkeypatch.setattr(elsewhere, "checked", lambda made, *_: made)
    away = replace(live, elsewhere=Lies())
    if is_checked:
        with pytest.raises(OtherAnswer):
            away.decide(cases[:1], BEGAN)
    else:
        away.decide(cases[:1], BEGAN)


def _begin(place: Workspace, release: Release) -> Kept:
    stable, candidate = releasing.blue(place), releasing.candidate(place)
    made = release.model_copy(update={"stable": stable, "candidate": candidate})
    kept = store.put(place, made, store.current(place, made.target), **releasing.SAID)
    assert not isinstance(kept, Refusal), str(kept)
    return kept


def test_a_service_without_ray_serve_has_nobody_to_ask(place: Workspace) -> None:
    """The candidate is refused: it never decides in a process that it was to be kept out of."""
    kept = _begin(place, _isolated(release(step=5)))
    assert kept.release.places == 10_000
    with closing(DecisionService(place, releasing.LEAD)) as service:
        (row,) = releasing.leads(place, 1)
        assert releasing.decide(service, row)["release"]["arm"] == "stable"
        (refused,) = service.watcher.refused
        assert "python -m serving" in refused.why
        assert not service.slots.is_waiting


def test_a_candidate_waits_for_its_replicas_and_is_loaded_once(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until they answer, its accounts are answered by what is stable; it is told once."""
    kept, told = _begin(place, _isolated(release(step=5))), [NOT_YET]
    there = There(Deciding(_args(place)))
    apart: Any = lambda _: told[0] if told else there  # noqa: E731
    with closing(DecisionService(place, releasing.LEAD, apart=apart)) as service:
        rows = releasing.leads(place, 2)
        monkeypatch.setattr(arms, "admitted", pytest.fail)
        for _ in range(3):
            service.watcher.refresh()
        body = releasing.decide(service, rows[0])
        assert (body["release"]["arm"], body["release"]["share"]) == ("stable", 0.0)
        assert len(_refusals(place)) == 1
        told.clear()
        assert not service.watcher.refresh().is_waiting
        assert service.watcher.refused == ()
        body = releasing.decide(service, rows[1])
        assert (body["release"]["arm"], body["release"]["share"]) == ("candidate", 1.0)
        assert body["basis"]["model"] == kept.release.candidate.model
        assert service.replayed(body).is_equal


def _refusals(place: Workspace) -> list[dict[str, Any]]:
    both = [*place.journal.entries(SWAPPED), *place.journal.entries(REFUSED)]
    return [each.body for each in both if each.body["refused"]]


class Names:
    """Runs nothing, and knows what it was to run."""

    def __init__(self) -> None:
        self.running: dict[str, CandidateArgs] = {}

    def names(self) -> set[str]:
        return set(self.running)

    def start(self, name: str, args: CandidateArgs, own: Own) -> None:
        self.running[name] = args

    def stop(self, name: str) -> None:
        del self.running[name]


def test_what_runs_is_what_open_releases_ask_for(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends when the release is over and services have seen that; others' are left alone."""
    runner = Names()
    kept = Keeper(place, releasing.LEAD, runner)
    kept.look()
    assert runner.running == {}
    under_way = _begin(place, _isolated(release())).release
    kept.look()
    (args,) = runner.running.values()
    assert set(runner.running) == {own.name_of(under_way)}
    assert (args.parts, args.kind) == (under_way.candidate, "lead")
    over = under_way.aborted("enough")
    assert not isinstance(over, Refusal)
    assert store.put(place, over, store.current(place, over.target), **releasing.SAID)
    kept.look()
    assert runner.running
    monkeypatch.setattr(keeper, "GRACE_S", 0.0)
    kept.look()
    assert (runner.running, kept.trouble) == ({}, "")


def test_an_ordinary_release_runs_nothing(place: Workspace) -> None:
    """Its candidate decides in the replicas of the service."""
    runner = Names()
    _begin(place, release())
    Keeper(place, releasing.LEAD, runner).look()
    assert runner.running == {}


def test_what_goes_wrong_is_told_once_and_tried_again(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever Ray raises."""
    runner = Names()
    kept = Keeper(place, releasing.LEAD, runner)
    _begin(place, _isolated(release()))
    with monkeypatch.context() as patch:
        patch.setattr(runner, "start", lambda *_: 1 / 0)
        kept.look()
        kept.look()
    assert "ZeroDivisionError" in kept.trouble
    assert len(caplog.records) == 1
    kept.look()
    assert (len(runner.running), kept.trouble) == (1, "")


@pytest.mark.parametrize(
    ("said", "allowed", "is_allowed"),
    [
        ({}, {}, True),
        ({"replicas": 2, "cpus": 1.5, "memory_mb": 512}, {}, True),
        ({"code": ARCHIVE}, {}, False),
        ({"code": ARCHIVE}, {"code": ("file:///srv/code/",)}, True),
        ({"code": ARCHIVE}, {"code": ("file:///srv/co/", "s3://bucket/")}, False),
        ({"code": "file:///srv/code/../x.zip"}, {"code": ("file:///srv/code/",)}, False),
        ({"environment": {"OMP_NUM_THREADS": "1"}}, {}, False),
        ({"environment": {"OMP_NUM_THREADS": "1"}}, {"variables": ("OMP_NUM_THREADS",)}, True),
        ({"environment": {"PYTHONPATH": "/x"}}, {"variables": ("OMP_NUM_THREADS",)}, False),
    ],
)
def test_what_replicas_run_is_for_the_settings_to_allow(
    place: Workspace, said: dict[str, Any], allowed: dict[str, Any], is_allowed: bool
) -> None:
    """Who may begin a release may not run code for that. Else nothing is started."""
    asked, settings = Own(**said), CandidateSettings(**allowed)
    assert (own.disallowed(asked, settings) is None) == is_allowed
    _begin(place, _isolated(release(), own=asked))
    serve = ServeSettings(candidates=settings)
    object.__setattr__(place, "settings", place.settings.model_copy(update={"serve": serve}))
    runner = Names()
    Keeper(place, releasing.LEAD, runner).look()
    assert bool(runner.running) == is_allowed


@pytest.mark.parametrize(
    "code", ["/srv/next.zip", "file:///srv/next", "file:///a b.zip", "file:///a%2e.zip", "x.zip"]
)
def test_code_is_an_archive_with_a_plain_uri(code: str) -> None:
    """So that what it begins with says where it is."""
    with pytest.raises(ValidationError):
        Own(code=code)
    with pytest.raises(ValidationError):
        CandidateSettings(code=(code,))


def test_who_runs_what_is_told_by_the_name() -> None:
    """The same for the same candidate, of whatever release; another for any other."""
    first = _isolated(release())
    others = [
        first.model_copy(update={"candidate": first.stable}),
        _isolated(first, own=Own(replicas=2)),
        first.model_copy(update={"policy": "another"}),
    ]
    assert own.name_of(first.model_copy(update={"id": "r2"})) == own.name_of(first)
    assert len({own.name_of(each) for each in (first, *others)}) == 4


def test_a_plan_that_is_not_isolated_has_no_replicas_of_its_own() -> None:
    """What would not be heeded is not taken."""
    said = load_plan("canary").model_dump(mode="json")
    with pytest.raises(ValidationError, match="isolated must be true"):
        Plan.model_validate({**said, "own": {"replicas": 2}})
    assert Plan.model_validate({**said, "isolated": True, "own": {"replicas": 2}}).own.replicas == 2


def test_an_archive_must_hold_our_packages(tmp_path: Path) -> None:
    """Else the code of the service would decide under the name of the candidate's."""
    before = list(sys.path)
    (tmp_path / "serving").mkdir()
    with pytest.raises(unpacked.NoCode, match="must hold"):
        unpacked.take(tmp_path)
    assert sys.path == before


@pytest.mark.parametrize(
    ("error", "calls"), [(Away("no"), 1), (ValueError("no"), 4)], ids=["away", "fails"]
)
def test_where_nobody_answers_nobody_is_asked_for_one_alone(
    place: Workspace, error: Exception, calls: int
) -> None:
    """A group that another process fails on is; no call is marked as one that may end this one."""
    asked: list[int] = []

    class Gone:
        name = "gone"

        def decide(self, cases: Sequence[Case], now: datetime, *, reasons: bool) -> list[Decision]:
            asked.append(len(cases))
            raise error

    _begin(place, _isolated(release(step=5)))
    with closing(DecisionService(place, releasing.LEAD, apart=lambda _: Gone())) as service:
        far: list[Ticket] = []
        service._lane._make = lambda tickets: far.extend(service._maker.make(tickets))
        rows = releasing.leads(place, 3)
        with ThreadPoolExecutor(3) as pool:
            told = [pool.submit(releasing.decide, service, row) for row in rows]
            until = time.monotonic() + 20
            while len(far) < 3:
                assert time.monotonic() < until
                time.sleep(0.02)
            (slot,) = {id(each.slot): each.slot for each in far}.values()
            assert marking.of_draws(slot, (each.draw for each in far)) is None
            assert marking.of_draws(slot.here, (each.draw for each in far)) is not None
            assert marking.of_slot(slot, service.slots) is None
            service._maker.decide(far)
        causes = {each.result()["fallback"]["cause"] for each in told}
    assert (asked[0], len(asked), causes) == (3, calls, {"model_failed"})
