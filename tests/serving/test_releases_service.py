"""A release in the service: each account keeps its arm, what mirrors is not seen, and going back
needs nothing but the database. All of it in this process, and in replicas of the candidate's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from cluster import canonical
from cluster.workspace import Workspace
from serving.answer import mirror
from serving.answer.service import DecisionService
from serving.policy import load_policy
from serving.releases import assignment
from serving.releases.plan import Pilot, Step
from serving.releases.release import Release, State
from serving.slots import releases as store
from serving.slots.slot import Slot
from tests.serving import releasing
from tests.serving.simulated_releases import BEGAN

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings


@pytest.fixture
def place(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the small world."""
    with Workspace.open(copied(tmp_path / "home")) as opened:
        yield opened


LATE = pytest.param("apart", marks=(pytest.mark.ray, pytest.mark.drill))


@pytest.fixture(params=["here", LATE])
def service(place: Workspace, request: pytest.FixtureRequest) -> Iterator[DecisionService]:
    """A service over it; candidates decide in it, or apart."""
    apart = request.getfixturevalue("finds_apart") if request.param == "apart" else None
    with closing(DecisionService(place, releasing.LEAD, apart=apart)) as made:
        yield made


def test_each_account_keeps_its_arm(service: DecisionService) -> None:
    """In its record are the arm and the epoch; the model is that of its arm, and replay agrees."""
    candidate = releasing.candidate(service.workspace)
    kept = releasing.begin(service, candidate, Step(weight=50.0))
    rows = releasing.leads(service.workspace, 24)
    first, again = ([releasing.decide(service, row) for row in rows] for _ in range(2))
    assert [each["release"]["arm"] for each in first] == [a["release"]["arm"] for a in again]
    arms = {each["release"]["arm"] for each in first}
    assert arms == {"stable", "candidate"}
    for each in first:
        drawn = each["release"]
        place = assignment.place("s", "r1", each["seen"]["shard"])
        assert (drawn["arm"] == "candidate") == (place < 5_000)
        assert (drawn["epoch"], drawn["share"], drawn["step"]) == (kept.epoch, 0.5, 0)
        is_its = each["basis"]["model"] == candidate.model
        assert is_its == (drawn["arm"] == "candidate")
        assert service.replayed(each).is_equal


def test_without_a_release_nothing_is_said_of_one(service: DecisionService) -> None:
    """And an open one without weight gives the candidate to nobody."""
    (row,) = releasing.leads(service.workspace, 1)
    assert "release" not in releasing.decide(service, row)
    releasing.begin(service, releasing.candidate(service.workspace), Step(mirror=1.0))
    assert releasing.decide(service, row)["release"]["arm"] == "stable"


def test_a_pilot_is_for_those_it_names(service: DecisionService) -> None:
    """Nobody else draws."""
    rows = releasing.leads(service.workspace, 12)
    plain = [releasing.decide(service, row)["features"] for row in rows]
    name = next(n for n in plain[0] if 1 < len({str(each[n]) for each in plain}) < 6)
    value = str(plain[0][name])
    pilot = Pilot(feature=name, values=(value,))
    releasing.begin(
        service, releasing.candidate(service.workspace), Step(weight=100.0), pilot=pilot
    )
    told = ["release" in releasing.decide(service, row) for row in rows]
    assert told == [str(each[name]) == value for each in plain]


def test_what_mirrors_is_journalled_beside_and_not_seen(service: DecisionService) -> None:
    """All answers are the stable model's; each has its pair."""
    candidate = releasing.candidate(service.workspace)
    releasing.begin(service, candidate, Step(mirror=100.0))
    answers = [releasing.decide(service, row) for row in releasing.leads(service.workspace, 8)]
    assert {each["basis"]["model"] for each in answers} == {releasing.blue(service.workspace).model}
    pairs = _shadows(service.workspace, 8)
    assert {each["decision"] for each in pairs} == {each["id"] for each in answers}
    for each in pairs:
        assert each["shadow"]["basis"]["model"] == candidate.model
        assert each["shadow"]["probability"] == each["stable"]["probability"]  # it scores alike
        assert (each["release"]["arm"], each["failed"]) == ("candidate", None)


def _shadows(place: Workspace, count: int) -> list[dict[str, Any]]:
    until = time.monotonic() + 20
    while len(found := [e.body for e in place.journal.entries(mirror.KIND)]) < count:
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_a_candidate_that_hangs_does_not_stop_the_mirror(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread goes on; the mutant waits for the first, and lets go what comes."""
    candidate, released, before = releasing.candidate(service.workspace), Event(), Slot.decide
    releasing.begin(service, candidate, Step(mirror=100.0))
    rows, asked = releasing.leads(service.workspace, 3), []

    def hanging(self: Slot, *given: Any, **more: Any) -> Any:
        if self.basis.model == candidate.model:
            asked.append(given)
            if len(asked) == 1:
                released.wait(30)
        return before(self, *given, **more)

    monkeypatch.setattr(Slot, "decide", hanging)
    monkeypatch.setattr(mirror, "HUNG_S", 1e9)
    for row in rows[:2]:
        releasing.decide(service, row)
    time.sleep(0.2)
    assert (len(asked), service.mirror.made) == (1, 0)  # the mutant
    monkeypatch.setattr(mirror, "HUNG_S", 0.1)
    releasing.decide(service, rows[2])
    assert len(_shadows(service.workspace, 2)) == 2
    assert service.mirror.dropped == 1
    released.set()


def test_a_mirror_that_fails_or_is_full_costs_no_answer(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the candidate raised is on record; what there was no room for is counted."""

    candidate, decide = releasing.candidate(service.workspace), Slot.decide

    def broken(self: Slot, *asked: Any, **more: Any) -> Any:
        if self.basis.model == candidate.model:
            raise ValueError("no")
        return decide(self, *asked, **more)

    releasing.begin(service, candidate, Step(mirror=100.0))
    monkeypatch.setattr(Slot, "decide", broken)
    rows = releasing.leads(service.workspace, 2)
    assert releasing.decide(service, rows[0])["fallback"] is None
    (pair,) = _shadows(service.workspace, 1)
    assert (pair["failed"], pair["shadow"]["probability"]) == ("ValueError: no", None)
    monkeypatch.setattr(service.mirror._queue, "maxsize", -1)
    monkeypatch.setattr(service.mirror._queue, "put_nowait", _full)
    assert releasing.decide(service, rows[1])["fallback"] is None
    assert service.mirror.dropped == 1


def _full(_: Any) -> None:
    from queue import Full

    raise Full


def test_going_back_needs_no_artefact(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an undone canary nor an undone promotion, with the store of artefacts away."""
    blue, candidate = releasing.blue(service.workspace), releasing.candidate(service.workspace)
    kept = releasing.begin(service, candidate, Step(weight=100.0))
    (row,) = releasing.leads(service.workspace, 1)
    assert releasing.decide(service, row)["basis"]["model"] == candidate.model

    def away(*_: Any) -> bytes:
        raise OSError("the store is away")

    monkeypatch.setattr(type(service.workspace.blobs), "get", away)
    last = kept.release.model_copy(update={"step": 1})
    promoted = releasing.put(service, last.advanced("well", BEGAN), kept)
    assert promoted.release.state == State.PROMOTED
    told = releasing.decide(service, row)
    assert (told["basis"]["model"], "release" in told) == (candidate.model, False)
    releasing.put(service, promoted.release.rolled_back("a complaint"), promoted)
    assert service.watcher.away == ""
    assert releasing.decide(service, row)["basis"]["model"] == blue.model


def test_without_what_is_warm_it_would_need_one(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: what went is forgotten, and must be loaded again."""
    kept = releasing.begin(service, releasing.candidate(service.workspace), Step(weight=100.0))
    promoted = releasing.put(
        service, kept.release.model_copy(update={"step": 1}).advanced("", BEGAN), kept
    )
    slots = service.watcher.current
    service.watcher.current = replace(slots, warm=())

    def away(*_: Any) -> bytes:
        raise OSError("the store is away")

    monkeypatch.setattr(type(service.workspace.blobs), "get", away)
    releasing.put(service, promoted.release.rolled_back("a complaint"), promoted)
    assert "the store is away" in service.watcher.away


def test_a_replica_that_came_after_a_promotion_goes_back_too(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loaded what may be gone back to while it could."""
    with closing(DecisionService(place, releasing.LEAD)) as first:
        blue, candidate = releasing.blue(place), releasing.candidate(place)
        kept = releasing.begin(first, candidate, Step(weight=100.0))
        last = kept.release.model_copy(update={"step": 1})
        promoted = releasing.put(first, last.advanced("well", BEGAN), kept)
    with closing(DecisionService(place, releasing.LEAD)) as later:
        (row,) = releasing.leads(place, 1)
        assert releasing.decide(later, row)["basis"]["model"] == candidate.model

        def away(*_: Any) -> bytes:
            raise OSError("the store is away")

        monkeypatch.setattr(type(place.blobs), "get", away)
        releasing.put(later, promoted.release.rolled_back("a complaint"), promoted)
        assert later.watcher.away == ""
        assert releasing.decide(later, row)["basis"]["model"] == blue.model


def test_a_candidate_that_is_not_taken_answers_nobody(service: DecisionService) -> None:
    """It is refused with its reason, and what was there goes on."""
    lies = releasing.candidate(service.workspace).model_copy(update={"model": "0" * 64})
    releasing.begin(service, lies, Step(weight=100.0))
    (row,) = releasing.leads(service.workspace, 1)
    assert releasing.decide(service, row)["release"]["arm"] == "stable"
    refused = {each.what: each.why for each in service.watcher.refused}
    assert "0000" in refused[store.ref_of(releasing.TARGET)]
    (row,) = releasing.leads(service.workspace, 1)
    assert releasing.decide(service, row)["release"]["share"] == 0.0


def test_arms_of_one_model_are_decided_apart(service: DecisionService) -> None:
    """A release of a policy alone: asked at once, each gets the policy of its arm."""
    place = service.workspace
    path = place.settings.home / "new.yaml"
    said = {**load_policy("lead_routing").model_dump(mode="json", exclude_none=True), "version": 2}
    path.write_text(json.dumps(said))
    digest = place.blobs.put(canonical.dumps(load_policy(str(path)).document))
    candidate = releasing.blue(place).model_copy(update={"policy": digest})
    releasing.begin(service, candidate, Step(weight=50.0))
    rows = releasing.leads(place, 24)
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda row: releasing.decide(service, row), rows))
    told = {(each["release"]["arm"], each["basis"]["policy"].split("-")[0]) for each in answers}
    assert told == {("stable", "lead_routing@1"), ("candidate", "lead_routing@2")}


def test_a_candidate_that_recovers_is_asked_again(service: DecisionService) -> None:
    """Its breaker is probed as that of any model."""
    releasing.begin(service, releasing.candidate(service.workspace), Step(weight=100.0))
    (row,) = releasing.leads(service.workspace, 1)
    candidate = service.slots.arms["lead"].candidate
    assert candidate is not None
    breaker = service.breaker(candidate)
    breaker.trip(time.monotonic())
    assert breaker.is_open
    until = time.monotonic() + 20
    while breaker.is_open:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert releasing.decide(service, row)["fallback"] is None


def test_a_release_that_other_code_wrote_stops_nothing(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused with its reason, and other refs are followed on."""

    def newer(self: Release, **more: Any) -> dict[str, Any]:
        return {**BaseModel.model_dump(self, **more), "format": 2}

    monkeypatch.setattr(Release, "model_dump", newer)
    releasing.begin(service, releasing.candidate(service.workspace), Step(weight=100.0))
    (row,) = releasing.leads(service.workspace, 1)
    assert "release" not in releasing.decide(service, row)
    refused = {each.what: each.why for each in service.watcher.refused}
    assert "run the code that wrote it" in refused[store.ref_of(releasing.TARGET)]
