"""The engine in this process: one decision per key, in time whatever the model does, on record."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cluster.workspace import Workspace
from serving.answer import fallback, lane, questions
from serving.answer import service as services
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.model import Model
from serving.slots.slot import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.errors import Refusal
    from cluster.settings import Settings

ANSWERS = {
    "lead": Answer(target="lead_qualification", policy="lead_routing"),
    "opportunity": Answer(target="opportunity_win", policy="deal_routing"),
}
LONG_MS = 5_000  # a deadline that a busy machine keeps


@pytest.fixture(scope="module")
def opened(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    """Open a copy of the small world: its journal is written."""
    home = tmp_path_factory.mktemp("answer") / "home"
    with Workspace.open(copied(home)) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def rows(opened: Workspace) -> list[dict[str, Any]]:
    """Return the batch scores of the open leads."""
    found: list[dict[str, Any]] = opened.tables.read("scores_lead_qualification").to_pylist()
    return found


@pytest.fixture
def service(opened: Workspace) -> Iterator[DecisionService]:
    """Return a service of its own for each test: breakers remember."""
    made = DecisionService(opened, ANSWERS)
    yield made
    made.close()


def _about(row: dict[str, Any], **more: Any) -> Question:
    return Question(kind="lead", key=row["entity"], as_of=row["time"], **more)


def _body(outcome: Answered | Refusal | Any) -> dict[str, Any]:
    assert isinstance(outcome, Answered), str(outcome)
    return outcome.body


def test_a_key_names_one_decision(service: DecisionService, rows: list[dict[str, Any]]) -> None:
    """Asked again it is given back, whoever asks; for another request it is refused."""
    first = _body(service.decide(_about(rows[0]), key="order-7", deadline_ms=LONG_MS))
    with ThreadPoolExecutor(8) as pool:
        again = list(
            pool.map(
                lambda _: service.decide(_about(rows[0]), key="order-7", deadline_ms=LONG_MS),
                range(16),
            )
        )
    assert [_body(each) for each in again] == [first] * 16
    assert all(each.is_replayed for each in again if isinstance(each, Answered))
    assert first["id"] == questions.id_of_key("order-7")
    other = service.decide(_about(rows[1]), key="order-7", deadline_ms=LONG_MS)
    assert isinstance(other, questions.KeyReused)
    assert "'order-7' of another request" in str(other)


def test_two_at_once_with_one_key_are_one_decision(
    service: DecisionService, opened: Workspace, rows: list[dict[str, Any]]
) -> None:
    """Though neither is durable when the other comes; another replica's would be found as well."""
    other = DecisionService(opened, ANSWERS)
    with ThreadPoolExecutor(16) as pool:
        asked = [(service, other)[n % 2] for n in range(32)]
        made = list(
            pool.map(
                lambda each: each.decide(_about(rows[2]), key="together", deadline_ms=LONG_MS),
                asked,
            )
        )
    other.close()
    assert len({_body(each)["decided_at"] for each in made}) == 1
    assert sum(not each.is_replayed for each in made if isinstance(each, Answered)) == 1


def test_reasons_are_left_out_when_not_wanted(
    service: DecisionService, rows: list[dict[str, Any]]
) -> None:
    """And the score is the same to the bit."""
    bare = _body(service.decide(_about(rows[0], reasons=False), deadline_ms=LONG_MS))
    full = _body(service.decide(_about(rows[0]), deadline_ms=LONG_MS))
    assert bare["reasons"] is None
    assert full["reasons"]
    assert bare["probability"] == full["probability"] == rows[0]["probability"]


def test_together_and_alone_the_record_is_the_same(
    service: DecisionService, rows: list[dict[str, Any]]
) -> None:
    """But for its id and the time: what waits together is scored together."""
    with ThreadPoolExecutor(32) as pool:
        together = list(
            pool.map(lambda r: service.decide(_about(r), deadline_ms=LONG_MS), rows[:64])
        )
    alone = [service.decide(_about(row), deadline_ms=LONG_MS) for row in rows[:64]]
    for one, other in zip(together, alone, strict=True):
        left, right = _body(one), _body(other)
        assert {k for k in left if left[k] != right[k]} <= {"id", "decided_at"}


# -- what a model may do ---------------------------------------------------------------------------


def _raises(*_: Any, **__: Any) -> Any:
    raise RuntimeError("out of trees")


def _nan(model: Model, matrix: np.ndarray, points: Any = None) -> Any:
    scores = _SCORE(model, matrix, points)
    scores.probability[:] = np.nan
    return scores


_SCORE = Model.score


def _hangs(seconds: float) -> Callable[..., Any]:
    return lambda *_: time.sleep(seconds)


def _slow(factor: float) -> Callable[..., Any]:
    def score(model: Model, matrix: np.ndarray, points: Any = None) -> Any:
        began = time.perf_counter()
        found = _SCORE(model, matrix, points)
        time.sleep(factor * (time.perf_counter() - began))
        return found

    return score


def _asked(
    service: DecisionService, rows: list[dict[str, Any]], count: int, deadline_ms: float
) -> list[tuple[Any, float]]:
    """Return outcome and milliseconds of several requests, a few at once."""

    def ask(row: dict[str, Any]) -> tuple[Any, float]:
        began = time.perf_counter()
        outcome = service.decide(_about(row), deadline_ms=deadline_ms)
        return outcome, (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(ask, (rows * 10)[:count]))


@pytest.mark.parametrize("what", ["raises", "hangs", "nan"])
def test_whatever_a_model_does_every_request_is_answered_in_time(
    service: DecisionService,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    """By the rules, flagged and on record; the breaker opens, and closes again when it is well."""
    score = {"raises": _raises, "hangs": _hangs(2.5), "nan": _nan}[what]
    monkeypatch.setattr(Model, "score", score)
    answered = _asked(service, rows, 40, 1_000)
    assert max(spent for _, spent in answered) < 1_000
    bodies = [_body(outcome) for outcome, _ in answered]
    assert {body["fallback"]["cause"] for body in bodies} <= {
        *("model_failed", "deadline", "breaker_open")
    }
    assert bodies[-1]["fallback"]["cause"] == "breaker_open"
    assert all(service.recorded(body["id"]) == body for body in bodies)
    assert all(body["verdict"]["confidence"] == "low" for body in bodies)
    assert all((body["low"], body["high"]) == (0.0, 1.0) for body in bodies)
    monkeypatch.undo()
    ask = lambda: _body(service.decide(_about(rows[0]), deadline_ms=LONG_MS))  # noqa: E731
    _until(lambda: ask()["fallback"] is None, within_s=20)


def test_a_model_ten_times_as_slow_still_answers_or_is_flagged(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request waits beyond its deadline, and none is given by the rules without a word."""
    monkeypatch.setattr(Model, "score", _slow(10))
    answered = _asked(service, rows, 60, 500)
    assert max(spent for _, spent in answered) < 500
    assert all(isinstance(outcome, Answered) for outcome, _ in answered)


def test_rules_that_fail_too_are_said_at_once_and_stop_nothing(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the deadline, and the next request is answered by the same thread."""
    monkeypatch.setattr(Model, "score", _raises)
    monkeypatch.setattr(fallback, "decision", _raises)
    outcome = service.decide(_about(rows[0]), deadline_ms=LONG_MS)
    assert isinstance(outcome, questions.NotRecorded)
    assert "out of trees" in str(outcome)
    monkeypatch.undo()
    assert _body(service.decide(_about(rows[0]), deadline_ms=LONG_MS))["fallback"] is None


def test_without_the_rules_a_hanging_model_is_no_answer(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: the request ends without a decision."""
    monkeypatch.setattr(Model, "score", _hangs(1.0))
    monkeypatch.setattr(DecisionService, "expire", lambda *_: None)
    assert isinstance(service.decide(_about(rows[0]), deadline_ms=300), questions.NotRecorded)


def test_without_the_check_nonsense_would_be_served(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: the journal, which holds no NaN, is the next to refuse it."""
    from serving import decide

    monkeypatch.setattr(Model, "score", _nan)
    monkeypatch.setattr(decide, "_chances", lambda c, p: (p, *c.intervals(p)))
    outcome = service.decide(_about(rows[0]), deadline_ms=LONG_MS)
    assert isinstance(outcome, questions.NotRecorded)
    assert "JSON" in str(outcome)


def test_a_record_that_is_not_durable_is_no_decision(
    service: DecisionService,
    opened: Workspace,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The journal takes longer than the deadline: asked again with its key, it is there."""
    append, gate = opened.journal.append, threading.Event()

    def late(*args: Any, **more: Any) -> Any:
        gate.wait(2)
        return append(*args, **more)

    monkeypatch.setattr(opened.journal, "append", late)
    outcome = service.decide(_about(rows[0]), key="late", deadline_ms=300)
    assert isinstance(outcome, questions.NotRecorded)
    gate.set()
    again = _body(service.decide(_about(rows[0]), key="late", deadline_ms=LONG_MS))
    assert service.recorded(again["id"]) == again


# -- threads ---------------------------------------------------------------------------------------


def test_a_lane_goes_on_beside_a_group_that_does_not_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits behind it is taken by another thread; the lost one ends when it comes back."""
    monkeypatch.setattr(lane, "TOGETHER", 1)
    free, made = threading.Event(), []

    def make(group: list[Any]) -> None:
        if group[0].name == "stuck":
            free.wait(5)
        made.append(group[0].name)

    found = lane.Lane(make, time.monotonic)
    for name in ("stuck", "next"):
        found.put(SimpleNamespace(name=name, is_claimed=False))  # type: ignore[arg-type]
    time.sleep(0.05)
    assert not found.replace_stuck(1.0)
    assert found.replace_stuck(0.01)
    _until(lambda: "next" in made)
    free.set()
    _until(lambda: "stuck" in made)
    found.close()


def _until(done: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_budgets_leave_time_for_the_rules() -> None:
    """A part of short deadlines, no more than a fixed time of long ones."""
    assert services.budget_ms(100) == 70
    assert services.budget_ms(10_000) == 9_700


def test_of_an_account_the_best_open_lead_is_taken(
    service: DecisionService, rows: list[dict[str, Any]]
) -> None:
    """The others of the account leave no record."""
    row = max((r for r in rows if r["account"]), key=lambda r: r["probability"])
    asked = Question(kind="account", key=row["account"], as_of=row["time"])
    body = _body(service.decide(asked, deadline_ms=LONG_MS))
    assert (body["entity"], body["probability"]) == (row["entity"], row["probability"])
