"""`jobs.replay`: decisions made again by both paths, and what is said of those that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cluster.errors import FunnelcastError, WrongUse
from cluster.workspace import Workspace
from jobs.replay.run import KIND, ReplaySettings, run
from serving.answer import again as again_module
from serving.answer.questions import Question
from serving.answer.record import KIND as KIND_OF_ONE
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.observe.exposition import exposition
from serving.observe.folder import Folder
from serving.slots.slot import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings

LEAD = Answer(target="lead_qualification", policy="lead_routing")
DECISIONS, MANY = 30, 1_000


@pytest.fixture(scope="module")
def decided(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    """Open a copy of the small world in which some decisions were made."""
    home: Path = tmp_path_factory.mktemp("replay") / "home"
    with Workspace.open(copied(home)) as workspace:
        service = DecisionService(workspace, {"lead": LEAD})
        for row in workspace.tables.read("scores_lead_qualification").to_pylist()[:DECISIONS]:
            asked = Question(kind="lead", key=row["entity"], as_of=row["time"])
            assert isinstance(service.decide(asked, deadline_ms=10_000), Answered)
        service.close()
        yield workspace


@pytest.mark.drill
def test_a_thousand_come_out_again_to_the_byte(
    copied: Callable[[Path], Settings], tmp_path: Path
) -> None:
    """With reasons and without, at several moments, some with events of the request."""
    with Workspace.open(copied(tmp_path / "home")) as workspace:
        service = DecisionService(workspace, {"lead": LEAD})
        rows = workspace.tables.read("scores_lead_qualification").to_pylist()
        made = 0
        for number in range(20 * MANY):
            asked = _question(rows[number % len(rows)], number)
            made += isinstance(service.decide(asked, deadline_ms=10_000), Answered)
            if made == MANY:
                break
        service.close()
        report = run(workspace, ReplaySettings(sample=MANY), _quiet)
    assert report.figures == {"equal": MANY, "differs": 0, "gone": 0}


def _question(row: dict[str, Any], number: int) -> Question:
    at = row["time"] - timedelta(hours=number // 7)
    visit = {
        "kind": "touch", "name": "web_visit", "event_time": at - timedelta(hours=2),
        "lead": row["entity"], "account": row["account"], "number": 30,
    }  # fmt: skip
    return Question(
        kind="lead",
        key=row["entity"],
        as_of=at,
        reasons=number % 2 == 0,
        events=(visit,) if number % 3 == 0 else (),
    )


def _quiet(done: int, of: int, what: str) -> None:
    return None


def test_every_decision_comes_out_again_to_the_byte(decided: Workspace) -> None:
    """By the path of requests and by that of batches; the count is journalled."""
    report = run(decided, ReplaySettings(), _quiet)
    assert report.figures == {"equal": DECISIONS, "differs": 0, "gone": 0}
    told = [entry.body for entry in decided.journal.entries(KIND)]
    assert told[-1] == {"equal": DECISIONS, "differs": 0, "gone": 0, "sample": DECISIONS}
    assert 'replayed_decisions{verdict="differs"} 0' in _metrics(decided)


def test_a_sample_is_chosen_at_random_and_alike_for_a_seed(decided: Workspace) -> None:
    """Ten of them, and not the first ten."""
    assert run(decided, ReplaySettings(sample=10), _quiet).figures["equal"] == 10


def test_one_that_differs_fails_and_is_named(
    decided: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the engine of batches gives another score."""
    monkeypatch.setattr(again_module, "skew", lambda *_: ("probability",))
    with pytest.raises(FunnelcastError, match=r"30 of 30 that are not, .* batch prob"):
        run(decided, ReplaySettings(), _quiet)
    assert f'replayed_decisions{{verdict="differs"}} {DECISIONS}' in _metrics(decided)


def _metrics(workspace: Workspace) -> str:
    """Return what a service of this workspace tells Prometheus."""
    return exposition(Folder.of(workspace.settings).read())


def test_an_input_that_is_gone_is_said(decided: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no difference: nothing came out."""
    from cluster.errors import Refusal
    from serving.answer import replay

    gone = Refusal(rule="the model must be there", value="none", remedy="restore it")
    monkeypatch.setattr(replay, "slot_of", lambda *_: gone)
    report = run(decided, ReplaySettings(sample=5), _quiet)
    assert report.figures == {"equal": 0, "differs": 0, "gone": 5}
    assert report.decided == ["5 x the model must be there, got none: restore it"]


def test_a_record_of_an_older_format_is_gone(
    copied: Callable[[Path], Settings], tmp_path: Path
) -> None:
    """The first format did not say which it was, and lacks what a decision is made again from."""
    with Workspace.open(copied(tmp_path / "home")) as workspace:
        for number in range(3):
            body = {"id": f"old-{number}", "entity": "lead-1", "time": "2026-02-01T00:00:00+00:00"}
            workspace.journal.record(KIND_OF_ONE, body, id=body["id"], now=workspace.clock())
        report = run(workspace, ReplaySettings(), _quiet)
    assert report.figures == {"equal": 0, "differs": 0, "gone": 3}
    assert report.table is not None
    assert set(report.table["decision"]) == {"old-0", "old-1", "old-2"}
    (told,) = report.decided
    assert told.startswith("3 x a record must be of format 2, got 1: ")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ReplaySettings(id="nobody"), "must be that of a decision"),
        (ReplaySettings(since="yesterday"), "--since must be a time"),
    ],
)
def test_wrong_use_is_one_line(decided: Workspace, settings: Any, words: str) -> None:
    """It names the option."""
    with pytest.raises(WrongUse, match=words):
        run(decided, settings, _quiet)
