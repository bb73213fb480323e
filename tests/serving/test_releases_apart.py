"""A candidate in replicas of its own that die, hang or are slow: others see nothing of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical
from cluster.errors import Refusal
from cluster.workspace import Workspace
from serving.answer import maker
from serving.answer.service import DecisionService
from serving.policy import load_policy
from serving.releases import own
from serving.releases.plan import Step
from serving.slots.elsewhere import NotYet
from tests.serving import apart_processes, releasing

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings
    from serving.apart.calling import Apart
    from serving.releases.release import Parts

pytestmark = [pytest.mark.ray, pytest.mark.drill]  # a Serve of its own; test_apart is without
SLOW_S, HUNG_S = 1.4, 3.0  # less than a call may take, and more
SOON_MS = 1_200.0  # the model has 864 of them
HEAD_S = 0.2  # that who has the candidate asks before the others


@pytest.fixture
def place(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the small world."""
    with Workspace.open(copied(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def service(place: Workspace, finds_apart: Apart) -> Iterator[DecisionService]:
    """A service over it, whose candidates decide apart."""
    with closing(DecisionService(place, releasing.LEAD, apart=finds_apart)) as made:
        yield made


def _arms(service: DecisionService) -> dict[str, list[dict[str, Any]]]:
    """Return some leads by the arm that answers them, each without a fallback."""
    found: dict[str, list[dict[str, Any]]] = {"stable": [], "candidate": []}
    for row in releasing.leads(service.workspace, 24):
        body = releasing.decide(service, row)
        assert body["fallback"] is None
        found[body["release"]["arm"]].append(row)
    assert min(map(len, found.values())) >= 4
    return found


@pytest.mark.parametrize(
    ("for_s", "is_apart"),
    [(SLOW_S, True), (SLOW_S, False), (HUNG_S, True), (HUNG_S, False)],
)
def test_nobody_waits_for_a_candidate_but_who_has_it(
    service: DecisionService, for_s: float, is_apart: bool
) -> None:
    """The mutant: one lane for both arms."""
    kept = releasing.begin(service, releasing.candidate(service.workspace), Step(weight=50.0))
    arms, make = _arms(service), service._maker.make
    if not is_apart:
        service._lane._make = lambda tickets: service._maker.decide(make(tickets))
    with ThreadPoolExecutor(1) as pool, apart_processes.stopped(kept.release) as found:
        assert found
        until = time.monotonic() + for_s
        held = pool.submit(releasing.decide, service, arms["candidate"][0])
        time.sleep(HEAD_S)
        told = [releasing.decide(service, row, deadline_ms=SOON_MS) for row in arms["stable"][:3]]
        is_untouched = all(each["fallback"] is None for each in told)
        time.sleep(max(0.0, until - time.monotonic()))
    assert is_untouched == is_apart
    late = held.result()
    assert late["release"]["arm"] == "candidate"
    if for_s == SLOW_S and is_apart:
        assert late["fallback"] is None  # it took its time
    if for_s == HUNG_S:
        assert late["fallback"]["cause"] == "model_failed"
        assert "must answer in 2 s" in late["fallback"]["detail"]


@pytest.mark.parametrize("is_apart", [True, False], ids=["defence", "mutant"])
def test_a_candidate_that_dies_takes_nothing_with_it_and_comes_back(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch, is_apart: bool
) -> None:
    """Of one model, as a policy is released. The mutant: one breaker for both arms."""
    if not is_apart:
        monkeypatch.setattr(maker, "_where", lambda slot: "")
    kept = releasing.begin(service, _policy(service), Step(weight=50.0))
    arms = _arms(service)
    with apart_processes.stopped(kept.release):
        apart_processes.kill(kept.release)
        _until_open(service, arms["candidate"])
        told = [releasing.decide(service, row) for row in arms["stable"]]
    assert all(each["fallback"] is None for each in told) == is_apart
    until = time.monotonic() + 90
    while releasing.decide(service, arms["candidate"][0])["fallback"]:
        assert time.monotonic() < until
        time.sleep(0.5)


def _policy(service: DecisionService) -> Parts:
    """Return the parts of a candidate that differs in its policy alone."""
    place = service.workspace
    path = place.settings.home / "new.yaml"
    said = {**load_policy("lead_routing").model_dump(mode="json", exclude_none=True), "version": 2}
    path.write_text(json.dumps(said))
    digest = place.blobs.put(canonical.dumps(load_policy(str(path)).document))
    return releasing.blue(place).model_copy(update={"policy": digest})


def _until_open(service: DecisionService, rows: list[dict[str, Any]]) -> None:
    """Ask the candidate until it is not asked any more; each answer is that of the rules."""
    for row in (*rows, *rows):
        body = releasing.decide(service, row, deadline_ms=SOON_MS)
        assert body["fallback"] is not None
        if body["fallback"]["cause"] == "breaker_open":
            return
    raise AssertionError("the breaker must open")


def test_a_call_that_never_returns_costs_no_replica_of_the_service(
    service: DecisionService,
) -> None:
    """Its thread comes back when the call is given up: however often, none is lost."""
    kept = releasing.begin(service, releasing.candidate(service.workspace), Step(weight=50.0))
    row = _arms(service)["candidate"][0]
    with apart_processes.stopped(kept.release):
        for _ in range(3):
            assert releasing.decide(service, row, deadline_ms=SOON_MS)["fallback"]
        time.sleep(2.5)
        service.must_be_well()
        assert service._far._lost == 0


def test_replicas_that_are_gone_are_waited_for_in_the_next_release(
    service: DecisionService, finds_apart: Apart
) -> None:
    """In the one under way they stay the candidate's: that they are gone speaks against it."""
    from serving.apart.running import OnServe

    kept = releasing.begin(service, releasing.candidate(service.workspace), Step(weight=50.0))
    row = _arms(service)["candidate"][0]
    OnServe().stop(own.name_of(kept.release))
    until = time.monotonic() + 60
    while not releasing.decide(service, row)["fallback"]:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert not isinstance(finds_apart(kept.release), Refusal)
    next_one = kept.release.model_copy(update={"id": "r2"})
    assert isinstance(finds_apart(next_one), NotYet)
