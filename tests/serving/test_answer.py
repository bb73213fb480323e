"""The engine in this process: one decision per key, in time whatever the model does, on record."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa

from cluster.workspace import Workspace
from serving import decide
from serving.answer import breaker, fallback, lane, maker, prober, questions, recorder
from serving.answer import service as services
from serving.answer.gather import Gatherer
from serving.answer.questions import Question
from serving.answer.service import DecisionService, Unwell
from serving.answer.ticket import Answered, Ticket
from serving.api import problems
from serving.api.desk import Desk
from serving.model import Model
from serving.slots import slot as slots
from serving.slots.slot import Answer
from serving.wire.decisions import DecisionRequest

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


@pytest.fixture(scope="module")
def steady(opened: Workspace) -> Iterator[DecisionService]:
    """Return a service for the tests in which nothing fails: breakers have nothing to remember."""
    made = DecisionService(opened, ANSWERS)
    yield made
    made.close()


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


def test_a_key_names_one_decision(steady: DecisionService, rows: list[dict[str, Any]]) -> None:
    """Asked again it is given back, whoever asks; for another request it is refused."""
    first = _body(steady.decide(_about(rows[0]), key="order-7", deadline_ms=LONG_MS))
    with ThreadPoolExecutor(8) as pool:
        again = list(
            pool.map(
                lambda _: steady.decide(_about(rows[0]), key="order-7", deadline_ms=LONG_MS),
                range(16),
            )
        )
    assert [_body(each) for each in again] == [first] * 16
    assert all(each.is_replayed for each in again if isinstance(each, Answered))
    assert first["id"] == questions.id_of_key("order-7")
    other = steady.decide(_about(rows[1]), key="order-7", deadline_ms=LONG_MS)
    assert isinstance(other, questions.KeyReused)
    assert "'order-7' of another request" in str(other)


def test_two_at_once_with_one_key_are_one_decision(
    steady: DecisionService, opened: Workspace, rows: list[dict[str, Any]]
) -> None:
    """Though neither is durable when the other comes; another replica's would be found as well."""
    other = DecisionService(opened, ANSWERS)
    with ThreadPoolExecutor(16) as pool:
        asked = [(steady, other)[n % 2] for n in range(32)]
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
    steady: DecisionService, rows: list[dict[str, Any]]
) -> None:
    """And the score is the same to the bit."""
    bare = _body(steady.decide(_about(rows[0], reasons=False), deadline_ms=LONG_MS))
    full = _body(steady.decide(_about(rows[0]), deadline_ms=LONG_MS))
    assert bare["reasons"] is None
    assert full["reasons"]
    assert bare["probability"] == full["probability"] == rows[0]["probability"]


def test_together_and_alone_the_record_is_the_same(
    steady: DecisionService, rows: list[dict[str, Any]]
) -> None:
    """But for its id and the time: what waits together is scored together."""
    with ThreadPoolExecutor(32) as pool:
        together = list(
            pool.map(lambda r: steady.decide(_about(r), deadline_ms=LONG_MS), rows[:64])
        )
    alone = [steady.decide(_about(row), deadline_ms=LONG_MS) for row in rows[:64]]
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
    score = {"raises": _raises, "hangs": _hangs(4.0), "nan": _nan}[what]
    monkeypatch.setattr(Model, "score", score)
    answered = _asked(service, rows, 40, 2_000)
    assert max(spent for _, spent in answered) < 2_000
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
    answered = _asked(service, rows, 60, 2_000)
    assert max(spent for _, spent in answered) < 2_000
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
    append, gate = opened.journal.append_all, threading.Event()

    def late(*args: Any, **more: Any) -> Any:
        gate.wait(2)
        return append(*args, **more)

    monkeypatch.setattr(opened.journal, "append_all", late)
    outcome = service.decide(_about(rows[0]), key="late", deadline_ms=300)
    assert isinstance(outcome, questions.NotRecorded)
    gate.set()
    again = _body(service.decide(_about(rows[0]), key="late", deadline_ms=LONG_MS))
    assert service.recorded(again["id"]) == again


# -- answered together -----------------------------------------------------------------------------


def test_one_that_cannot_be_found_costs_no_other_its_answer(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules answer for that one, and its error is in no other record."""
    search, bad = service.store._searched, rows[1]["entity"]

    def broken(kind: str, key: str) -> Any:
        if key == bad:
            raise OSError("its shard cannot be read")
        return search(kind, key)

    monkeypatch.setattr(service.store, "_searched", broken)
    service.store._open.homes._homes.clear()
    tickets = [_ticket(service, row) for row in rows[:6]]
    service._maker.make(tickets)
    _until(lambda: all(ticket.outcome is not None for ticket in tickets))
    bodies = [_body(ticket.outcome) for ticket in tickets]
    assert [body["fallback"] is not None for body in bodies] == [False, True, *[False] * 4]
    assert "shard" in bodies[1]["fallback"]["detail"]


def test_two_of_a_key_in_one_group_are_one_decision(
    steady: DecisionService, rows: list[dict[str, Any]]
) -> None:
    """The second is told that it is one again, though both are equal to the byte."""
    first, second = (_ticket(steady, rows[2]) for _ in "12")
    for ticket in (first, second):
        ticket.id, ticket.key = questions.id_of_key("in one group"), "in one group"
    steady._maker.make([first, second])
    _until(lambda: first.outcome is not None and second.outcome is not None)
    assert _body(first.outcome) == _body(second.outcome)
    assert [each.outcome.is_replayed for each in (first, second)] == [False, True]  # type: ignore[union-attr]


def test_an_error_after_the_journal_settles_the_ticket_too(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A future keeps to itself what its callback raises."""
    ticket = _ticket(service, rows[2])
    ticket.id, ticket.key = questions.id_of_key("raises"), "raises"
    assert isinstance(service.decide(_about(rows[3]), key="raises", deadline_ms=LONG_MS), Answered)

    def broken(*_: Any) -> Any:
        raise OSError("gone")

    monkeypatch.setattr(recorder, "_before", broken)
    service._maker.make([ticket])
    _until(lambda: ticket.outcome is not None)
    assert isinstance(ticket.outcome, questions.NotRecorded)


# -- a journal that is held up ---------------------------------------------------------------------


@contextmanager
def _held_up(workspace: Workspace) -> Iterator[None]:
    """Hold the write lock as another process may; at the end all that was queued is through."""
    path = sa.make_url(workspace.settings.database).database
    journal, now = workspace.journal, workspace.clock()
    with closing(sqlite3.connect(str(path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        first = journal.append("note", {}, now=now)
        _until(first.running)
        yield
    journal.record("note", {}, now=now)


def _by_thread(service: DecisionService, row: dict[str, Any], key: str) -> Any:
    return service.decide(_about(row), key=key, deadline_ms=300)


def _by_desk(service: DecisionService, row: dict[str, Any], key: str) -> Any:
    said = {"lead": row["entity"], "as_of": row["time"], "deadline_ms": 300}

    async def ask() -> Any:
        asked = DecisionRequest.model_validate(said)
        return (await Desk(service).one(asked, key, time.perf_counter())).outcome

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [_by_thread, _by_desk])
def test_what_was_refused_is_not_recorded_later(
    service: DecisionService, opened: Workspace, rows: list[dict[str, Any]], ask: Any
) -> None:
    """And asked again with its key it is decided, once."""
    key = f"held up {ask.__name__}"
    with _held_up(opened):
        assert isinstance(ask(service, rows[3], key), questions.NotRecorded)
    assert service.recorded(questions.id_of_key(key)) is None
    again = service.decide(_about(rows[3]), key=key, deadline_ms=LONG_MS)
    assert isinstance(again, Answered)
    assert not again.is_replayed
    assert _body(ask(service, rows[3], key)) == again.body


@pytest.mark.parametrize("ask", [_by_thread, _by_desk])
def test_without_taking_it_back_it_would_be(
    service: DecisionService,
    opened: Workspace,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    ask: Any,
) -> None:
    """The defence switched off."""
    monkeypatch.setattr(Ticket, "abandon", lambda _: None)
    key = f"not taken back {ask.__name__}"
    with _held_up(opened):
        assert isinstance(ask(service, rows[3], key), questions.NotRecorded)
    assert service.recorded(questions.id_of_key(key)) is not None


def test_what_is_abandoned_before_it_is_queued_is_taken_back_too(
    service: DecisionService, opened: Workspace, rows: list[dict[str, Any]]
) -> None:
    """The caller may go while the decision is being made."""
    ticket = _ticket(service, rows[3])
    with _held_up(opened):
        ticket.abandon()
        service._maker.make([ticket])
        assert isinstance(ticket.outcome, questions.NotRecorded)
    assert service.recorded(ticket.id) is None


@pytest.mark.parametrize(("most", "waiting"), [(2, 3), (1_000, 8)])
def test_no_more_records_wait_than_may(
    service: DecisionService,
    opened: Workspace,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    waiting: int,
) -> None:
    """Further requests are refused at once, to be asked again; without the limit all wait."""
    monkeypatch.setattr(services, "MOST_UNRECORDED", most)
    with _held_up(opened):
        outcomes = [service.decide(_about(rows[0]), deadline_ms=200) for _ in range(8)]
        assert opened.journal.waiting == waiting
    assert all(isinstance(each, questions.NotRecorded) for each in outcomes)
    refused = [each for each in outcomes if f"at most {most} records" in str(each)]
    assert refused == outcomes[waiting:]
    answers = [problems.response(problems.of_refusal(each)) for each in refused]
    assert {(each.status_code, "retry-after" in each.headers) for each in answers} <= {(503, True)}
    assert isinstance(service.decide(_about(rows[0]), deadline_ms=LONG_MS), Answered)


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
    assert [each.name for each in found.replace_stuck(0.01)] == ["stuck"]  # type: ignore[attr-defined]
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
    assert services.budget_ms(10_000) == 9_400


def test_of_an_account_the_best_open_lead_is_taken(
    steady: DecisionService, rows: list[dict[str, Any]]
) -> None:
    """The others of the account leave no record."""
    row = max((r for r in rows if r["account"]), key=lambda r: r["probability"])
    asked = Question(kind="account", key=row["account"], as_of=row["time"])
    body = _body(steady.decide(asked, deadline_ms=LONG_MS))
    assert (body["entity"], body["probability"]) == (row["entity"], row["probability"])


# -- whose fault it is -----------------------------------------------------------------------------


def _ticket(service: DecisionService, row: dict[str, Any]) -> Ticket:
    """Return a ticket that no lane has."""
    slot = service.slots.of("lead")
    assert slot is not None
    return Ticket(
        question=_about(row),
        id=f"by hand {time.monotonic_ns()}",
        key=None,
        slot=slot,
        at=row["time"],
        notify=lambda _: None,
    )


def _open_kinds(service: DecisionService) -> set[str]:
    """Return the kinds for which no model is asked."""
    by_kind = service.slots.by_kind.items()
    return {kind for kind, slot in by_kind if service._maker.breaker(slot).is_open}


@pytest.mark.parametrize("slowest_s", [0.0, 60.0])
def test_deadlines_within_one_call_are_at_most_one_failure(
    service: DecisionService,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    slowest_s: float,
) -> None:
    """And none where the call is not slow, however many callers gave it up."""
    monkeypatch.setattr(breaker, "SLOWEST_S", slowest_s)
    for call in range(1, breaker.IN_A_ROW + 1):
        _all_expire(service, rows[: 2 * breaker.IN_A_ROW], monkeypatch)
        is_too_much = call == breaker.IN_A_ROW and slowest_s == 0.0
        assert ("lead" in _open_kinds(service)) == is_too_much


def _all_expire(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let all tickets of one call be given up while the model is at it."""
    tickets = [_ticket(service, row) for row in rows]

    def score(model: Model, matrix: np.ndarray, points: Any = None) -> Any:
        for ticket in tickets:
            service.expire(ticket)
        return _SCORE(model, matrix, points)

    monkeypatch.setattr(Model, "score", score)
    service._maker.make(tickets)


def _of_a_poisoned_group(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> list[str | None]:
    """Ask for a group of which one row makes the model raise; return why each is not the model's.

    Each of them is the poisoned one once, so that its place says nothing.
    """
    whys = []
    for poisoned in rows:
        name = poisoned["entity"]

        def deadly(model: Model, policy: Any, cases: Any, *rest: Any, **more: Any) -> Any:
            if any(case.entity == name for case in cases):  # noqa: B023
                raise ValueError("no")
            return decide.decide(model, policy, cases, *rest, **more)

        monkeypatch.setattr(slots, "decide", deadly)
        tickets = [_ticket(service, row) for row in rows]
        service._maker.make(tickets)
        _until(lambda: all(ticket.outcome for ticket in tickets))  # noqa: B023
        bodies = [_body(ticket.outcome) for ticket in tickets]
        found = {each["entity"]: (each["fallback"] or {}).get("cause") for each in bodies}
        whys += [found.pop(name), *found.values()]
    return whys


def test_a_row_that_a_model_fails_on_costs_no_other_its_answer(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the group is asked for alone; failures are those of the row, and open nothing."""
    whys = _of_a_poisoned_group(service, rows[:5], monkeypatch)
    assert whys == ["model_failed", None, None, None, None] * 5
    slot = service.slots.of("lead")
    assert slot is not None
    counted = service.breaker(slot)._calls
    assert (counted.count(False), counted.count(True)) == (4, 16)  # the window holds twenty


def test_without_asking_for_each_alone_all_of_a_group_would_fall_back(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: then no model is asked for anybody."""

    def at_once(self: maker.Maker, tickets: list[Ticket], call: Any, error: Exception) -> None:
        call.came_back(self._monotonic(), well=False)
        for ticket in tickets:
            self._claimed_fall_back(ticket, "model_failed", str(error))

    monkeypatch.setattr(maker.Maker, "_failed", at_once)
    whys = _of_a_poisoned_group(service, rows[:5], monkeypatch)
    assert set(whys) == {"model_failed", "breaker_open"}


@pytest.mark.parametrize(
    ("hangs", "opened_kinds"), [("model", {"lead", "account"}), ("store", set())]
)
def test_a_group_that_is_stuck_is_laid_to_the_model_in_it(
    service: DecisionService,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    hangs: str,
    opened_kinds: set[str],
) -> None:
    """Not to the model of who waits behind it, and to none where the store hangs."""
    monkeypatch.setattr(services, "STUCK_S", 60.0)
    at_it, free = threading.Event(), threading.Event()

    def held(*_: Any, **__: Any) -> Any:
        at_it.set()
        free.wait(10)
        raise RuntimeError("out of time")

    where = (Model, "score") if hangs == "model" else (Gatherer, "find")
    monkeypatch.setattr(*where, held)
    first = service.submit(_about(rows[0]), lambda _: None)
    assert isinstance(first, Ticket)
    at_it.wait(10)
    service.expire(first)  # the rules answer it: that it is stuck shows later
    behind = service.submit(Question(kind="opportunity", key="any"), lambda _: None)
    assert isinstance(behind, Ticket)
    monkeypatch.setattr(services, "STUCK_S", 0.0)
    service.expire(behind)
    assert service._lane._lost == 1
    assert _open_kinds(service) == opened_kinds & set(service.slots.by_kind)
    free.set()


def test_probes_that_do_not_come_back_are_counted(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others follow them up to a limit, and then the process is unwell; one that is well closes."""
    monkeypatch.setattr(breaker, "LONGEST_S", 0.1)
    monkeypatch.setattr(prober, "MOST_OUT", 2)
    free, ask = threading.Event(), prober._ask
    monkeypatch.setattr(prober, "_ask", lambda _: free.wait(10))
    slot = service.slots.by_kind["lead"]
    service._maker.breaker(slot).trip(time.monotonic() - 10)
    service.must_be_well()
    _until(lambda: service._prober.is_spent)
    with pytest.raises(Unwell):
        service.must_be_well()
    monkeypatch.setattr(prober, "_ask", ask)
    free.set()
    _until(lambda: not _open_kinds(service))
    service.must_be_well()


def test_a_probe_without_a_thread_is_one_that_failed(
    service: DecisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next is sent by the same loop."""
    monkeypatch.setattr(breaker, "LONGEST_S", 0.1)
    start, refused = threading.Thread.start, []

    def none_left(thread: threading.Thread) -> None:
        if thread.name == "probe" and len(refused) < 2:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", none_left)
    slot = service.slots.by_kind["lead"]
    service._maker.breaker(slot).trip(time.monotonic() - 10)
    _until(lambda: not _open_kinds(service))
    assert len(refused) == 2


def test_features_that_come_while_the_rules_answer_are_left_out(
    service: DecisionService, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record says what the rules saw, and so the decision can be made again."""
    ticket, by_rules = _ticket(service, rows[0]), fallback.decision
    look = service._gatherer.look([ticket.question])
    found = service._gatherer.find(ticket.slot, ticket.question, ticket.at, look)

    def overtaken(*args: Any, **more: Any) -> Any:
        ticket.found = found  # type: ignore[assignment]
        return by_rules(*args, **more)

    monkeypatch.setattr(fallback, "decision", overtaken)
    assert ticket.claim()
    service._maker.make([ticket])
    assert ticket.found is None  # nobody hands features to a ticket that is claimed
    service._maker.fall_back(ticket, "deadline", "still at 'features'")
    monkeypatch.undo()
    _until(lambda: ticket.outcome is not None)
    body = _body(ticket.outcome)
    assert body["seen"] is None
    assert service.replayed(body).is_equal
