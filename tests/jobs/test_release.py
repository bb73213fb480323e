"""A release by a person: begun, looked at, led from step to step, and undone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical
from cluster.access import keyring
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore
from cluster.errors import WrongUse
from cluster.workspace import Workspace
from jobs import console
from jobs.release.run import JOB, ReleaseSettings, run
from serving.answer.service import DecisionService
from serving.leading.begun import ReleaseRefused
from serving.policy import load_policy
from serving.registry import Registry, alias
from serving.slots import policies, releases
from serving.slots.slot import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings
    from jobs.console import Report

TARGET = "lead_qualification"


@pytest.fixture
def place(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the small world, its policies published."""
    with Workspace.open(copied(tmp_path / "home")) as opened:
        policies.begin(opened, policies.declared().values())
        yield opened


def _model(place: Workspace) -> str:
    """Keep another model, and return its id."""
    packed = Registry(place.blobs, place.refs, place.journal).bundle(alias(TARGET))[1]
    said = json.loads(packed.manifest)
    said["provenance"]["card"] = "the candidate"
    return place.blobs.put(canonical.dumps(said))


def _do(place: Workspace, action: str, actor: str = "ada", **more: Any) -> Report:
    if action not in ("status", "history"):
        more |= {"actor": actor, "reason": "a test"}
    settings = ReleaseSettings(action=action, target=TARGET, **more)
    return run(place, settings, lambda *_: None)


def _state(place: Workspace) -> tuple[str, int]:
    found = releases.current(place, TARGET)
    assert found is not None
    return found.release.state.value, found.release.step


def test_a_release_is_led_to_its_end_and_back(place: Workspace) -> None:
    """Each step as the plan says; the live model follows at the end, and comes back."""
    before, candidate = place.refs.get(alias(TARGET)), _model(place)
    said = _do(place, "start", plan="canary", model=candidate)
    assert said.decided[0].startswith("r1 of lead_qualification is running at 0 % of the accounts")
    for action in ("advance", "advance", "advance", "approve", "advance", "advance", "approve"):
        _do(place, action)
    assert _state(place) == ("running", 5)
    assert _do(place, "advance").wrote["state"] == "promoted"
    live = place.refs.get(alias(TARGET))
    assert live is not None and before is not None
    assert (live.target, live.epoch) == (candidate, before.epoch + 1)
    registry = Registry(place.blobs, place.refs, place.journal)
    assert candidate in registry.models()
    _do(place, "rollback")
    live = place.refs.get(alias(TARGET))
    assert live is not None and live.target == before.target
    told = _do(place, "history")
    assert [row["state"] for row in told.table.to_dict("records")][-2:] == [
        "promoted",
        "rolled_back",
    ]  # type: ignore[union-attr]
    assert place.journal.verify()


def test_a_policy_alone_may_be_released(place: Workspace) -> None:
    """By the number of its version."""
    path = place.settings.home / "new.yaml"
    changed = load_policy("lead_routing")
    said = {**changed.model_dump(mode="json", exclude_none=True), "version": 2}
    path.write_text(json.dumps(said))
    policies.publish(place, load_policy(str(path)), actor="ada", reason="a test")
    policies.activate(place, "lead_routing", 1, actor="ada", reason="a test")
    _do(place, "start", plan="blue_green", version=2)
    found = releases.current(place, TARGET)
    assert found is not None
    assert found.release.candidate.model == found.release.stable.model
    assert found.release.candidate.policy != found.release.stable.policy


def test_where_it_stands_is_told(place: Workspace) -> None:
    """Every step, and the one that it is at."""
    _do(place, "start", plan="canary", model=_model(place))
    rows = _do(place, "status").table.to_dict("records")  # type: ignore[union-attr]
    assert [row[""] for row in rows] == ["here, running", "", "", "", "", ""]
    assert rows[3]["asks for"] == "300 accounts, approval"


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ((), ("pause", {}), "must have begun, got none: begin one with"),
        (("start",), ("start", {"plan": "canary"}), "must be over before the next begins, got r1"),
        (("start",), ("approve", {}), "must be awaiting approval to be approved, got running"),
        (("start", "abort"), ("rollback", {}), "must be open or promoted to be rolled back"),
    ],
)
def test_a_step_that_may_not_be_is_refused(
    place: Workspace, first: tuple[str, ...], then: tuple[str, dict[str, Any]], said: str
) -> None:
    """And changes nothing."""
    for action in first:
        _do(
            place,
            action,
            **({"plan": "canary", "model": _model(place)} if action == "start" else {}),
        )
    before = releases.current(place, TARGET)
    more = {"model": _model(place)} if then[0] == "start" else {}
    with pytest.raises(ReleaseRefused, match=said):
        _do(place, then[0], **then[1], **more)
    assert releases.current(place, TARGET) == before


def test_a_candidate_that_would_not_be_taken_is_refused_at_once(place: Workspace) -> None:
    """Before any service tries."""
    with pytest.raises(ReleaseRefused, match="must be admitted"):
        _do(place, "start", plan="canary", model="0" * 64)
    with pytest.raises(ReleaseRefused, match="must differ from what answers"):
        _do(place, "start", plan="canary")
    with pytest.raises(ReleaseRefused, match="version of 'lead_routing' must be published, got 9"):
        _do(place, "start", plan="canary", version=9)
    with pytest.raises(WrongUse, match="pause must have no --plan"):
        ReleaseSettings(action="pause", target=TARGET, plan="canary")


def test_who_began_it_does_not_approve_it(place: Workspace) -> None:
    """Where several people work; on a laptop there is nobody else."""
    _do(place, "start", plan="canary", model=_model(place))
    for _ in range(3):
        _do(place, "advance")
    asked = Asked(name="eve", roles=("administrator",), lifetime=timedelta(days=1))
    act = Act(actor="eve", reason="a test", now=place.clock())
    pepper = keyring.read_pepper(place.database, place.settings)
    KeyStore(place.database, load_roles()).issue(asked, act, pepper=pepper)
    with pytest.raises(ReleaseRefused, match="by another person than who began it, got ada"):
        _do(place, "approve")
    _do(place, "approve", actor="eve")
    assert _state(place) == ("running", 3)


def test_a_hold_is_waived_by_name(place: Workspace) -> None:
    """What was heard and is meant to be."""
    _do(place, "start", plan="canary", model=_model(place))
    _do(place, "pause")
    _do(place, "resume", waive="shift, outcome")
    found = releases.current(place, TARGET)
    assert found is not None
    assert found.release.waived == ("shift", "outcome")


def test_the_command_asks_for_leave(place: Workspace) -> None:
    """Who moves the ref is in the journal, by the permission that it took."""
    settings = ReleaseSettings(
        action="start", target=TARGET, plan="canary", model=_model(place), reason="a test"
    )
    done = console.perform(JOB, replace(settings), place, lambda *_: None)
    assert done.report["wrote"] == {"release": "r1", "state": "running"}
    (entry,) = place.journal.entries("admin.release")
    assert entry.body["permission"] == "releases:change"
    assert entry.body["ref"] == releases.ref_of(TARGET)


def test_the_same_words_again_are_another_step(place: Workspace) -> None:
    """Nothing of a release is remembered as done: each command is carried out."""

    def told(action: str, **more: Any) -> dict[str, Any]:
        settings = ReleaseSettings(action=action, target=TARGET, **more)
        return console.perform(JOB, settings, place, lambda *_: None).report

    told("start", plan="canary", model=_model(place))
    steps = [told("advance")["wrote"]["state"] for _ in range(2)]
    assert (steps, _state(place)) == (["running", "running"], ("running", 2))
    first = told("status")["decided"]
    told("pause")
    assert told("status")["decided"] != first


def test_who_may_not_change_a_policy_may_not_release_one(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked when it begins, of every ref that it would move in the end."""
    asked: list[str] = []
    monkeypatch.setattr(place.refs, "ask", asked.append)
    _do(place, "start", plan="canary", model=_model(place))
    assert asked == [alias(TARGET)]


def test_a_guard_that_is_none_cannot_be_waived(place: Workspace) -> None:
    """Its name is told."""
    _do(place, "start", plan="canary", model=_model(place))
    _do(place, "pause")
    with pytest.raises(WrongUse, match="did you mean 'errors'"):
        _do(place, "resume", waive="error")


def test_a_running_service_follows_while_the_command_waits(place: Workspace) -> None:
    """It is told how many did, and how long it took."""
    answers = {"lead": Answer(target=TARGET, policy="lead_routing")}
    with closing(DecisionService(place, answers)):
        for action, more in (("start", {"plan": "canary", "model": _model(place)}), ("abort", {})):
            said = _do(place, action, **more).decided[-1]
            assert re.fullmatch(r"followed by 1 of 1 replicas in \d\.\d s", said), said
    assert _do(place, "status").decided[-1] == "no replica is alive: what starts follows"


def test_an_experiment_is_estimated_before_it_begins(place: Workspace) -> None:
    """By the pace of the log; the plan of another kind is refused."""
    settings = ReleaseSettings(action="estimate", target=TARGET, plan="experiment")
    said = run(place, settings, lambda *_: None)
    assert said.figures["outcomes"] > 100
    assert said.figures["days"] > said.figures["accounts"] / said.figures["accounts_per_day"]
    assert said.decided[0].startswith("a rate 1.25 times as high is found with power 80% after")
    with pytest.raises(ReleaseRefused, match="must be of an experiment"):
        run(place, replace(settings, plan="canary"), lambda *_: None)


def test_outcomes_are_told_by_the_job(place: Workspace) -> None:
    """Without decisions there are none."""
    _do(place, "start", plan="canary", model=_model(place))
    assert _do(place, "outcomes").wrote == {"outcomes": 0}
