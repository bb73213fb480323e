"""Exploration in the service: what was drawn is on record and in the answer, and comes again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cluster.workspace import Workspace
from jobs.console import perform
from jobs.score import run as scoring
from serving import batch
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.moved import replay
from serving.policy import Policy, load_policy
from serving.slots import policies
from serving.slots.slot import Answer
from serving.wire import records
from serving.wire.decisions import DecisionOut

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings

TARGET, NAME = "lead_qualification", "lead_routing"
ROUTES = ["account_executive", "sales_development", "automated_outreach", "nurture"]
SAID: Any = {"actor": "ada", "reason": "a test"}


@pytest.fixture
def place(copied: Callable[[Path], Settings], tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the small world, whose policy explores."""
    with Workspace.open(copied(tmp_path / "home")) as opened:
        policies.begin(opened, [load_policy(NAME)])
        said = load_policy(NAME).document | {"version": 2, "review": None}
        explore = {"share": 0.05, "routes": ROUTES}
        policy = Policy.model_validate(said | {"explore": explore})
        assert policies.publish(opened, policy, **SAID)
        yield opened


@pytest.fixture
def service(place: Workspace) -> Iterator[DecisionService]:
    """A service over it."""
    with closing(DecisionService(place, {"lead": Answer(target=TARGET, policy=NAME)})) as made:
        yield made


def _decide(service: DecisionService, row: dict[str, Any]) -> dict[str, Any]:
    asked = Question(kind="lead", key=row["entity"], as_of=row["time"], reasons=False)
    done = service.decide(asked, deadline_ms=20_000.0)
    assert isinstance(done, Answered), str(done)
    return done.body


def _scored(place: Workspace) -> list[dict[str, Any]]:
    """Score everyone anew by the policy that explores."""
    settings = scoring.ScoreSettings(target=TARGET, policy=NAME)
    perform(scoring.JOB, settings, place, lambda *_: None)
    found: list[dict[str, Any]] = place.tables.read(f"scores_{TARGET}").to_pylist()
    return found


def test_batches_and_the_service_draw_alike_and_replay_agrees(service: DecisionService) -> None:
    """Route, propensity and whether it was drawn; some were."""
    rows = _scored(service.workspace)
    drawn = [row for row in rows if row["explored"]]
    assert drawn
    assert {row["explored"] for row in rows} == {True, False}
    for row in [*drawn[:20], *rows[:20]]:
        body = _decide(service, row)
        told = body["verdict"]["exploration"]
        assert (body["verdict"]["route"], told["explored"], told["propensity"]) == (
            row["route"], row["explored"], row["propensity"],
        )  # fmt: skip
        assert service.replayed(body).is_equal
        answer = DecisionOut.model_validate(records.answer(body))
        assert answer.exploration is not None
        assert answer.exploration.model_dump() == told
        assert answer.model_dump_json().encode() == records.answer_bytes(body)


def test_why_a_score_moved_is_told_of_the_routes_that_were_given(service: DecisionService) -> None:
    """A stage of a replay draws as the scoring did."""
    place, slot = service.workspace, service.slots.by_kind["lead"]
    given = {row["entity"]: row["route"] for row in _scored(place)}
    rows = batch.plain(place.tables.read(slot.target.scoring_table))
    names, made = rows["entity"].to_pylist(), replay.stage(slot.model, slot.policy, rows)
    told = {name: route for name, route in zip(names, made.routes, strict=True) if name in given}
    assert told == given
    plain = slot.policy.model_copy(update={"explore": None})
    assert replay.stage(slot.model, plain, rows).routes != made.routes


def test_the_fallback_draws_nothing(service: DecisionService) -> None:
    """Its propensity is 1."""
    (row,) = service.workspace.tables.read(f"scores_{TARGET}").to_pylist()[:1]
    service._maker.breaker(service.watcher.current.by_kind["lead"]).trip(time.monotonic())
    body = _decide(service, row)
    assert body["fallback"]["cause"] == "breaker_open"
    told = body["verdict"]["exploration"]
    assert (told["explored"], told["propensity"]) == (False, 1.0)
    assert service.replayed(body).is_equal


def test_a_policy_that_explores_nothing_says_nothing_of_it(service: DecisionService) -> None:
    """Its records are as they were before there was exploration."""
    place = service.workspace
    (row,) = place.tables.read(f"scores_{TARGET}").to_pylist()[:1]
    explored = _decide(service, row)
    assert policies.activate(place, NAME, 1, **SAID)
    service.watcher.refresh()
    plain = _decide(service, row)
    assert plain["basis"]["policy"] == load_policy(NAME).id
    assert set(explored["verdict"]) - set(plain["verdict"]) == {"exploration"}
    assert b'"exploration":null' in records.answer_bytes(plain)
