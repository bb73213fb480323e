"""Both clients against a real server that fails on purpose: keys, counts, waits, and frames."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from cluster.settings import ROOT
from serving.client import (
    AsyncClient,
    BadAnswer,
    Client,
    ClientError,
    Conflict,
    Gone,
    Invalid,
    NotFound,
    Overloaded,
    Problem,
    Retries,
    Unavailable,
    retries,
)
from serving.client.many import COLUMNS
from tests.serving import flaky
from tests.serving.flaky import Got, answer, problem, running

if TYPE_CHECKING:
    from collections.abc import Callable

T = "2026-02-01T09:30:00Z"
DECISION = {
    "id": "d-1", "entity": "lead-1", "account": None, "as_of": T, "score": 0.5,
    "interval": [0.25, 0.75], "confidence": "low", "route": "nurture", "route_reason": "unlikely",
    "reasons": [], "trace": ["nurture: 0.5 >= 0: True"], "decided_at": T,
    "fallback": None, "release": None, "exploration": None, "overridden": None,
    "basis": {"target": "t@1", "model": "m", "calibrator": "c", "policy": "p@1", "view": "v@1",
              "code": "x"},
}  # fmt: skip
PLENTY = Retries(reserve=1000)


def waiting(url: str, ask: Callable[[Any], Any], **options: Any) -> tuple[Any, list[float]]:
    """Ask by the client that blocks; returns the answer and the waits between attempts."""
    waits: list[float] = []
    with Client(url, rng=random.Random(7), sleep=waits.append, **options) as client:
        return ask(client), waits


def awaiting(url: str, ask: Callable[[Any], Any], **options: Any) -> tuple[Any, list[float]]:
    """Ask by the client that awaits; the same."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def main() -> Any:
        async with AsyncClient(url, rng=random.Random(7), sleep=sleep, **options) as client:
            return await ask(client)

    return asyncio.run(main()), waits


both = pytest.mark.parametrize("through", [waiting, awaiting])


def _decide(client: Any) -> Any:
    return client.decide(lead="lead-1", as_of=datetime(2026, 2, 1, tzinfo=UTC))


def _after(failures: int, fail: Callable[[Any], Any]) -> flaky.Play:
    """Fail so many times, then answer."""

    def play(got: Got, writer: asyncio.StreamWriter) -> Any:
        return fail(writer) if got.number < failures else answer(writer, 200, DECISION)

    return play


def _half(writer: asyncio.StreamWriter) -> None:
    """Promise 1,000 bytes, give 10."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789")
    writer.close()


def _garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff is not HTTP\r\n\r\n")
    writer.close()


async def _hangs(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(2)


async def _drips(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then: no single wait is long, the whole is."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(60):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


FAILURES: dict[str, Callable[[Any], Any]] = {
    "reset": flaky.reset,
    "half an answer": _half,
    "no HTTP": _garbage,
    **{
        str(status): lambda writer, status=status: problem(writer, status, "busy")
        for status in (429, 500, 502, 503, 504)
    },
    "500 of HAProxy": lambda writer: answer(writer, 500, b"Internal Server Error"),
}


@both
@pytest.mark.parametrize("failure", FAILURES)
def test_what_may_pass_is_asked_again_under_the_same_key(through: Any, failure: str) -> None:
    """Three failures, then the answer: one key, one body, and waits within their bounds."""
    with running(_after(3, FAILURES[failure])) as server:
        decision, waits = through(server.url, _decide)
    assert decision.model_dump(mode="json") == DECISION
    assert len(server.got) == 4
    assert len({(got.key, got.body) for got in server.got}) == 1
    assert server.got[0].json == {"lead": "lead-1", "as_of": "2026-02-01T00:00:00Z"}
    assert len(waits) == 3
    assert all(0 <= wait <= bound for wait, bound in zip(waits, (0.1, 0.2, 0.4), strict=True))
    assert len(set(waits)) == 3


def test_without_retries_each_of_these_fails() -> None:
    """The mutant of the test above: it is the retries that answer."""
    for failure in FAILURES.values():
        with running(_after(3, failure)) as server, pytest.raises(Problem):
            waiting(server.url, _decide, retries=Retries(most=0))
        assert len(server.got) == 1


@both
@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Invalid), (404, NotFound), (409, Conflict), (410, Gone), (413, Invalid), (422, Invalid),
     (403, Problem), (302, Problem)],
)  # fmt: skip
def test_what_stays_wrong_is_raised_at_once(through: Any, status: int, kind: type) -> None:
    """With the document, in one line; it is asked once."""
    play = lambda got, writer: problem(writer, status, "a\nb must hold")  # noqa: E731
    with running(play) as server, pytest.raises(kind) as caught:
        through(server.url, _decide)
    assert type(caught.value) is kind
    assert len(server.got) == 1
    assert str(caught.value) == f"POST /v1/decisions: {status} Said: a b must hold" or status == 302
    assert caught.value.document.title in {"Said", "Found"}


@both
def test_when_retries_end_the_last_refusal_is_raised(through: Any) -> None:
    """It says what the service said, and how often it was asked."""
    play = lambda got, writer: problem(writer, 429, "too many")  # noqa: E731
    with running(play) as server, pytest.raises(Overloaded) as caught:
        through(server.url, _decide, retries=Retries(most=2))
    assert len(server.got) == 3
    assert (caught.value.attempts, caught.value.status) == (3, 429)
    assert str(caught.value).endswith("429 Said: too many (tried 3 times)")


@both
def test_nobody_there_is_unavailable(through: Any) -> None:
    """One clear line, after the retries."""
    with running(lambda got, writer: None) as server:
        url = server.url
    with pytest.raises(Unavailable, match="the service must answer, got ConnectError") as caught:
        through(url, _decide)
    assert (caught.value.attempts, caught.value.status) == (7, None)


@both
@pytest.mark.parametrize(
    ("header", "least"),
    [
        (lambda: "2", 2.0),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True), 2.5),
        (lambda: "soon", 0.0),
        (lambda: "-1", 0.0),
    ],
)
def test_retry_after_is_honoured(through: Any, header: Callable[[], str], least: float) -> None:
    """Seconds or a date; jitter is added, so that not all come at that moment."""
    fail = lambda writer: problem(writer, 503, "busy", retry_after=header())  # noqa: E731
    with running(_after(1, fail)) as server:
        _, waits = through(server.url, _decide)
    assert least <= waits[0] <= least + 1.6
    assert waits[0] != least


def test_a_client_that_forgets_retry_after_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of the test above."""
    from serving.client import errors

    monkeypatch.setattr(errors, "retry_after", lambda header, now: None)
    fail = lambda writer: problem(writer, 503, "busy", retry_after="2")  # noqa: E731
    with running(_after(1, fail)) as server:
        _, waits = waiting(server.url, _decide)
    assert waits[0] < 2


@both
def test_a_wait_beyond_the_calls_time_is_not_begun(through: Any) -> None:
    """The refusal comes at once, and says how long the service asked to wait."""
    play = lambda got, writer: problem(writer, 503, "busy", retry_after="3600")  # noqa: E731
    with running(play) as server, pytest.raises(Unavailable) as caught:
        through(server.url, _decide)
    assert (len(server.got), caught.value.retry_after_s) == (1, 3600.0)


@both
@pytest.mark.parametrize("fail", [_hangs, _drips])
def test_an_attempt_that_hangs_leaves_time_for_another(through: Any, fail: Any) -> None:
    """Half of the call's time is for the first attempt; the second is answered."""
    with running(_after(1, fail)) as server:
        start = time.monotonic()
        decision, _ = through(server.url, _decide, timeout_s=1.0)
        took = time.monotonic() - start
    assert (decision.id, len(server.got)) == ("d-1", 2)
    assert 0.45 < took < 1.0
    assert server.got[0].key == server.got[1].key


def test_an_attempt_that_may_take_all_the_time_leaves_none() -> None:
    """The mutant of the test above: the first attempt hangs to the end of the call."""
    greedy = Retries(attempt_share=1.0)
    with running(_after(1, _hangs)) as server, pytest.raises(Unavailable, match="Timeout"):
        waiting(server.url, _decide, timeout_s=0.3, retries=greedy)
    assert len(server.got) == 1


@both
def test_a_call_ends_within_its_time(through: Any) -> None:
    """However often it hangs."""
    with running(_after(99, _hangs)) as server:
        start = time.monotonic()
        with pytest.raises(Unavailable, match="Timeout"):
            through(server.url, _decide, timeout_s=0.4)
        assert time.monotonic() - start < 0.8


def _all_fail(calls: int) -> int:
    """Return the requests that calls make of a service that refuses everything."""
    with running(lambda got, writer: problem(writer, 503, "busy")) as server:
        with Client(server.url, sleep=lambda _: None) as client:
            for _ in range(calls):
                with pytest.raises(Unavailable):
                    client.decide(lead="lead-1")
        return len(server.got)


def test_a_service_that_fails_is_not_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 calls make 200 requests, 10 % more, and the reserve of 10; without the budget 1,400."""
    assert _all_fail(200) <= 200 + 20 + 10
    monkeypatch.setattr(retries.Budget, "spend", lambda self: True)
    assert _all_fail(20) == 20 * 7


def test_the_budget_fills_up_again_and_holds_no_more_than_its_reserve() -> None:
    """Ten calls earn one retry; threads together spend no more than there is."""
    budget = retries.Budget(Retries(reserve=3))
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    for _ in range(10):
        budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False]
    for _ in range(1000):
        budget.earn()
    spent: list[bool] = []
    threads = [
        threading.Thread(target=lambda: spent.extend(budget.spend() for _ in range(50)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(spent) == 3


def test_waits_double_to_their_bound_and_are_spread() -> None:
    """Full jitter: from nothing to the bound, evenly."""
    pace = retries.Pace(retries=PLENTY, budget=retries.Budget(PLENTY), rng=random.Random(1))
    for retry, bound in ((1, 0.1), (2, 0.2), (6, 2.0)):
        waits = pd.Series([pace.wait_s(retry, left_s=9.0) for _ in range(160)])
        assert waits.between(0, bound).all()
        assert waits.min() < bound * 0.1
        assert waits.max() > bound * 0.9
    assert pace.wait_s(7, left_s=9.0) is None


@both
@pytest.mark.parametrize(
    "body", [b"<html>hello", b"[]", b"{}", json.dumps({**DECISION, "score": 2}).encode()]
)
def test_an_answer_that_the_api_does_not_give_is_said(through: Any, body: bytes) -> None:
    """It is no decision service, or another version: in one line, at once."""
    play = lambda got, writer: answer(writer, 200, body)  # noqa: E731
    with running(play) as server, pytest.raises(BadAnswer, match="is this the dec") as caught:
        through(server.url, _decide)
    assert "\n" not in str(caught.value)
    assert len(server.got) == 1


@both
def test_a_newer_service_may_say_more(through: Any) -> None:
    """A member that this client does not know is let pass."""
    play = lambda got, writer: answer(writer, 200, {**DECISION, "mood": 1})  # noqa: E731
    with running(play) as server:
        decision, _ = through(server.url, _decide)
    assert decision.id == "d-1"


@both
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "exactly one of lead"),
        ({"lead": 7}, "lead: "),
        ({"lead": "a", "as_of": datetime(2026, 2, 1)}, "timezone"),  # noqa: DTZ001
        ({"lead": "a", "idempotency_key": "\n"}, "idempotency_key: "),
        ({"lead": "a", "events": [{"kind": "touch"}]}, "events.0.name"),
    ],
)
def test_a_wrong_request_is_not_sent(through: Any, members: dict[str, Any], words: str) -> None:
    """It is refused here, as the service would."""
    with running(_batch) as server, pytest.raises(Invalid, match=words) as caught:
        through(server.url, lambda client: client.decide(**members))
    assert not server.got
    assert caught.value.status == 422


@both
def test_what_is_sent(through: Any) -> None:
    """The caller's key, the client's deadline, its own name, and the key of the API."""
    touch = {"kind": "touch", "name": "visit", "event_time": "2026-02-01T00:00:00Z"}
    with running(_after(0, flaky.reset)) as server:
        ask = lambda c: c.decide(  # noqa: E731
            account="a", events=[touch], reasons=False, idempotency_key="order 7"
        )
        through(server.url + "/under/", ask, deadline_ms=200, api_key="secret")
    got = server.got[0]
    assert got.json == {"account": "a", "events": [touch], "reasons": False, "deadline_ms": 200}
    assert (got.target, got.key) == ("/under/v1/decisions", "order 7")
    assert got.headers["authorization"] == "Bearer secret"
    assert got.headers["user-agent"] == "funnelcast-client/1"
    assert "x-request-disconnect-disabled" not in got.headers


def test_two_calls_have_two_keys() -> None:
    """Else they would be one decision."""
    with running(_after(0, flaky.reset)) as server, Client(server.url) as client:
        for _ in range(50):
            client.decide(lead="lead-1")
    assert len({got.key for got in server.got}) == 50


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", ""])
def test_an_address_must_be_one(url: str) -> None:
    """Else the first call would fail in words of another library."""
    with pytest.raises(ClientError, match="an address must be"):
        Client(url)


# ---- frames


def _item(asked: dict[str, Any]) -> dict[str, Any]:
    if asked.get("lead") == "nobody":
        said = {"title": "Not Found", "status": 404, "detail": "must be in the event log"}
        return {"status": 404, "problem": said}
    entity = asked.get("lead") or asked.get("opportunity") or asked["account"]
    made = {**DECISION, "id": f"d-{entity}", "entity": entity}
    return {"status": 200, "decision": {**made, "as_of": asked.get("as_of", T)}}


def _batch(got: Got, writer: asyncio.StreamWriter) -> None:
    answer(writer, 200, {"decisions": [_item(each) for each in got.json["decisions"]]})


@both
def test_a_frame_of_2500_rows_comes_back_in_order(through: Any) -> None:
    """Three pages, the frame's own index, and a key for each row that nobody else has."""
    frame = pd.DataFrame({"lead": [f"lead-{n}" for n in range(2500)]}).sample(
        frac=1, random_state=1
    )
    told: list[tuple[int, int]] = []
    with running(_batch) as server:
        found, _ = through(
            server.url, lambda c: c.decide_many(frame, progress=lambda *at: told.append(at))
        )
    assert found.index.equals(frame.index)
    assert found["entity"].tolist() == frame["lead"].tolist()
    assert tuple(found.columns) == COLUMNS
    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]
    keys = [each["idempotency_key"] for got in server.got for each in got.json["decisions"]]
    assert len(set(keys)) == 2500
    assert server.got[0].target == "/v1/decisions:batch"
    assert server.got[0].json["decisions"][0]["reasons"] is False


@both
def test_missing_values_are_not_sent_and_wrong_rows_stand_alone(through: Any) -> None:
    """Each row names one of lead, opportunity, account; one that does not has a problem."""
    frame = pd.DataFrame(
        {
            "lead": ["lead-1", None, float("nan"), None, "nobody", "lead-2"],
            "opportunity": [None, "deal-1", None, None, None, "deal-2"],
            "account": [None, None, "account-1", None, None, None],
            "as_of": [pd.Timestamp(T), pd.NaT, pd.NaT, pd.NaT, pd.NaT, pd.NaT],
            "reasons": [True, None, None, None, None, None],
        },
        index=list("abcdea"),
    )
    with running(_batch) as server:
        found, _ = through(server.url, lambda c: c.decide_many(frame))
    sent = [
        {k: v for k, v in each.items() if k != "idempotency_key"}
        for each in server.got[0].json["decisions"]
    ]
    assert sent == [
        {"lead": "lead-1", "as_of": T},
        {"opportunity": "deal-1", "reasons": False},
        {"account": "account-1", "reasons": False},
        {"lead": "nobody", "reasons": False},
    ]
    assert found["status"].tolist() == [200, 200, 200, 422, 404, 422]
    assert found.index.tolist() == list("abcdea")
    assert "exactly one of" in found["problem"].iloc[3]
    assert found["problem"].isna().tolist() == [True, True, True, False, False, False]
    assert found["score"].isna().tolist() == [False, False, False, True, True, True]


@both
def test_an_empty_frame_has_the_same_columns_and_types(through: Any) -> None:
    """Nothing is asked."""
    with running(_batch) as server:
        full, _ = through(server.url, lambda c: c.decide_many(pd.DataFrame({"lead": ["a"]})))
        empty, _ = through(server.url, lambda c: c.decide_many(pd.DataFrame({"lead": []})))
    assert len(server.got) == 1
    assert empty.empty
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
    assert str(full["as_of"].dtype) == "datetime64[us, UTC]"
    assert full["score"].dtype == "float64"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({"lead": ["a"], "as_off": ["b"]}), "as_off"),
        (pd.DataFrame({"as_of": ["a"]}), "must have a column of lead"),
        (pd.DataFrame([["a", "b"]], columns=["lead", "lead"]), "must stand once"),
    ],
)
def test_a_frame_that_says_something_else_is_refused(frame: pd.DataFrame, words: str) -> None:
    """A misspelt column would be a question that nobody meant."""
    with running(_batch) as server, pytest.raises(Invalid, match=words):
        waiting(server.url, lambda c: c.decide_many(frame))
    assert not server.got


@both
def test_rows_that_may_pass_are_asked_again_alone(through: Any) -> None:
    """Under their keys; those that were answered are not sent again."""

    def play(got: Got, writer: asyncio.StreamWriter) -> None:
        said = [_item(each) for each in got.json["decisions"]]
        if got.number == 0:
            busy = {"title": "Busy", "status": 503, "detail": "busy"}
            said[1] = {"status": 503, "problem": busy}
        answer(writer, 200, {"decisions": said})

    with running(play) as server:
        frame = pd.DataFrame({"lead": ["a", "b", "c"]})
        found, waits = through(server.url, lambda c: c.decide_many(frame))
    first, second = (got.json["decisions"] for got in server.got)
    assert (second, len(waits)) == ([first[1]], 1)
    assert found["entity"].tolist() == ["a", "b", "c"]


@both
def test_rows_that_stay_refused_are_rows_all_the_same(through: Any) -> None:
    """With their status; the frame is not lost for one of them."""
    busy = {"status": 503, "problem": {"title": "Busy", "status": 503, "detail": "busy"}}

    def play(got: Got, writer: asyncio.StreamWriter) -> None:
        answer(writer, 200, {"decisions": [busy for _ in got.json["decisions"]]})

    with running(play) as server:
        found, _ = through(server.url, lambda c: c.decide_many(pd.DataFrame({"lead": ["a"]})))
    assert (found["status"].tolist(), found["problem"].tolist()) == ([503], ["busy"])
    assert len(server.got) == 7


def _of_key(got: Got, made: Counter[str]) -> list[dict[str, Any]]:
    """Answer a batch as the service does: a key that was decided before is not decided anew."""
    for each in got.json["decisions"]:
        made[each["lead"]] += not made[each["idempotency_key"]]
        made[each["idempotency_key"]] += 1
    return [_item(each) for each in got.json["decisions"]]


def _lost(got: Got, writer: asyncio.StreamWriter, made: Counter[str]) -> None:
    """Decide, and drop the connection before the answer."""
    _of_key(got, made)
    flaky.reset(writer)


NO_PAGE: dict[str, Callable[..., Any]] = {
    "unavailable": lambda got, writer, made: problem(writer, 503, "busy"),
    "overloaded": lambda got, writer, made: problem(writer, 429, "busy"),
    "answer lost": _lost,
}
FIVE = pd.DataFrame({"lead": ["nobody", "b", "c", "d", "e"], "account": None}, index=list("vwxyx"))


def _second_fails(failure: str, made: Counter[str], up: threading.Event) -> flaky.Play:
    """Count decisions by lead and by key; the page of c fails until the service is up."""

    def play(got: Got, writer: asyncio.StreamWriter) -> None:
        if not up.is_set() and got.json["decisions"][0]["lead"] == "c":
            NO_PAGE[failure](got, writer, made)
        else:
            answer(writer, 200, {"decisions": _of_key(got, made)})

    return play


@both
@pytest.mark.parametrize("failure", NO_PAGE)
@pytest.mark.parametrize("keeps_keys", [True, False])
def test_pages_that_were_answered_are_kept_when_one_is_not(
    through: Any, failure: str, keeps_keys: bool
) -> None:
    """The rest is not asked; asked again under the keys of the answers, nothing is decided twice.

    The mutant of it: without the keys, the first page is.
    """
    made: Counter[str] = Counter()
    up = threading.Event()
    told: list[tuple[int, int]] = []
    ask = {"page": 2, "progress": lambda *at: told.append(at)}
    with running(_second_fails(failure, made, up)) as server:
        first, _ = through(
            server.url, lambda c: c.decide_many(FIVE, **ask), retries=Retries(most=1)
        )
        assert [len(got.json["decisions"]) for got in server.got] == [2, 2, 2]
        up.set()
        keys = {"idempotency_key": first["idempotency_key"]} if keeps_keys else {}
        again, _ = through(server.url, lambda c: c.decide_many(FIVE.assign(**keys), **ask))
    assert first["status"].tolist() == [404, 200, 503, 503, 503]
    assert first.index.tolist() == list("vwxyx")
    assert first["problem"].iloc[2:4].str.contains("POST /v1/decisions:batch: .*tried 2").all()
    assert first["problem"].iloc[4] == "was not asked"
    assert first["idempotency_key"].nunique() == 5
    assert told == [(2, 5), (2, 5), (4, 5), (5, 5)]
    assert again["status"].tolist() == [404, 200, 200, 200, 200]
    assert again["idempotency_key"].equals(first["idempotency_key"]) == keeps_keys
    assert ({made[lead] for lead in FIVE["lead"]} == {1}) == keeps_keys


@both
def test_answers_of_a_page_are_kept_when_its_rest_is_not_answered(through: Any) -> None:
    """And a wrong row behind it is still wrong: it has no key, for it was not sent."""

    def play(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.number:
            return problem(writer, 503, "gone away")
        busy = {"status": 503, "problem": {"title": "Busy", "status": 503, "detail": "busy"}}
        return answer(writer, 200, {"decisions": [_item(got.json["decisions"][0]), busy]})

    frame = pd.DataFrame({"lead": ["a", "b", None, "d"]})
    with running(play) as server:
        found, _ = through(server.url, lambda c: c.decide_many(frame, page=2))
    assert found["status"].tolist() == [200, 503, 422, 503]
    assert "gone away" in found["problem"].iloc[1]
    assert found["idempotency_key"].isna().tolist() == [False, False, True, False]


@both
def test_a_page_that_is_wrong_is_raised(through: Any) -> None:
    """It would be wrong again: that is not said in a row of a frame."""
    play = lambda got, writer: problem(writer, 413, "too long")  # noqa: E731
    with running(play) as server, pytest.raises(Invalid, match="too long"):
        through(server.url, lambda c: c.decide_many(FIVE))
    assert len(server.got) == 1


def test_an_answer_too_few_is_said() -> None:
    """Else rows would stand beside the answers of others."""
    play = lambda got, writer: answer(writer, 200, {"decisions": []})  # noqa: E731
    with running(play) as server, pytest.raises(BadAnswer, match="be 1 answers, got 0"):
        waiting(server.url, lambda c: c.decide_many(pd.DataFrame({"lead": ["a"]})))


def _arrivals(got: Got, writer: asyncio.StreamWriter) -> None:
    each = [{"id": e["id"], "source": e["source"], "status": "accepted", "reasons": ""}
            for e in got.json]  # fmt: skip
    answer(writer, 200, {"accepted": len(each), "duplicate": 0, "refused": 0, "events": each})


@both
def test_events_of_a_frame_are_cloud_events(through: Any) -> None:
    """In requests of 1,000; whole numbers of a column with gaps are whole."""
    frame = pd.DataFrame(
        {
            "id": [f"visit-{n}" for n in range(1500)],
            "source": "/web",
            "time": pd.Timestamp(T),
            "kind": "touch",
            "name": "visit",
            "lead": ["lead-1", None] * 750,
            "number": [40.0, None] * 750,
        }
    )
    with running(_arrivals) as server:
        found, _ = through(server.url, lambda c: c.send_events(frame))
    assert (found.accepted, [len(got.json) for got in server.got]) == (1500, [1000, 500])
    assert [each.id for each in found.events] == frame["id"].tolist()
    assert server.got[0].headers["content-type"] == "application/cloudevents-batch+json"
    assert server.got[0].json[0] == {
        "specversion": "1.0", "id": "visit-0", "source": "/web",
        "time": "2026-02-01T09:30:00+00:00",
        "type": "funnelcast.touch.visit", "data": {"lead": "lead-1", "number": 40},
    }  # fmt: skip
    assert server.got[0].json[1]["data"] == {}
    assert isinstance(server.got[0].json[0]["data"]["number"], int)


def test_events_are_cut_by_size_and_wrong_ones_are_not_sent() -> None:
    """A request holds at most 1 MiB; a time needs its zone."""
    big = {"id": "a", "source": "/w", "data": {"text": "x" * 400_000}}
    with running(_arrivals) as server:
        found, _ = waiting(server.url, lambda c: c.send_events([big] * 5))
        assert [len(got.json) for got in server.got] == [2, 2, 1]
        assert all(len(got.body) <= 2**20 for got in server.got)
        assert found.accepted == 5
        assert waiting(server.url, lambda c: c.send_events([]))[0].accepted == 0
        naive = pd.Timestamp("2026-02-01")
        row = {"id": ["a"], "source": ["/w"], "time": [naive], "kind": ["touch"], "name": ["v"]}
        for frame, words in (
            (pd.DataFrame(row), "no time with a zone"),
            (pd.DataFrame(row).drop(columns="kind"), "row 0 must have a value in 'kind'"),
        ):
            with pytest.raises(Invalid, match=words):
                waiting(server.url, lambda c, frame=frame: c.send_events(frame))
    assert len(server.got) == 3


def _v2(got: Got, writer: asyncio.StreamWriter) -> None:
    rows = got.json["inputs"][0]["shape"][0]
    output = {"name": "probability", "shape": [rows], "datatype": "FP64", "data": [0.5] * rows}
    answer(writer, 200, {"model_name": "t", "outputs": [output]})


@both
def test_infer_is_frame_in_and_frame_out(through: Any) -> None:
    """One tensor per feature, typed by its column; missing values are null; the index is kept."""
    frame = pd.DataFrame(
        {
            "visits": [4, 0],
            "gap": [1.5, float("nan")],
            "stage": ["open", None],
            "is_new": [True, False],
            "calls": pd.array([1, None], dtype="Int64"),
        },
        index=["a", "b"],
    )
    with running(_v2) as server:
        found, _ = through(server.url, lambda c: c.infer("t", frame, version="3"))
    inputs = {
        each["name"]: (each["datatype"], each["data"]) for each in server.got[0].json["inputs"]
    }
    assert inputs == {
        "visits": ("INT64", [4, 0]),
        "gap": ("FP64", [1.5, None]),
        "stage": ("BYTES", ["open", None]),
        "is_new": ("BOOL", [True, False]),
        "calls": ("INT64", [1, None]),
    }
    assert server.got[0].target == "/v2/models/t/versions/3/infer"
    assert found.index.tolist() == ["a", "b"]
    assert found["probability"].tolist() == [0.5, 0.5]


def test_a_column_that_is_no_feature_is_refused() -> None:
    """A time is none."""
    frame = pd.DataFrame({"at": [pd.Timestamp(T)]})
    with running(_v2) as server, pytest.raises(Invalid, match="got 'at' of datetime64"):
        waiting(server.url, lambda c: c.infer("t", frame))


# ---- reading


def _page(got: Got, writer: asyncio.StreamWriter) -> None:
    """120 accounts, as many a page as asked for."""
    asked = {name: value[0] for name, value in parse_qs(urlsplit(got.target).query).items()}
    start, limit = int(asked.get("after", "0")), int(asked["limit"])
    end = min(start + limit, 120)
    rows = [
        {"account": f"account-{n}", "entity": "e", "target": "t", "score": 0.5, "low": 0.1,
         "high": 0.9, "trend": None, "change": None, "route": "r", "why": []}
        for n in range(start, end)
    ]  # fmt: skip
    after = str(end) if end < 120 else None
    page = {"list": asked["list"], "as_of": T, "accounts": rows, "next": after}
    answer(writer, 200, page)


def test_lists_are_read_page_by_page() -> None:
    """By both clients; and no page is asked for before it is wanted."""
    with running(_page) as server:
        with Client(server.url) as client:
            pages = client.priority("high_intent", limit=50)
            assert [len(next(pages).accounts), len(server.got)] == [50, 1]
            assert [len(page.accounts) for page in pages] == [50, 20]

        async def main() -> list[int]:
            async with AsyncClient(server.url) as client:
                return [len(page.accounts) async for page in client.priority("at_risk", limit=60)]

        assert asyncio.run(main()) == [60, 60]


@both
@pytest.mark.parametrize(("most", "rows"), [(None, 120), (70, 70), (0, 0), (500, 120)])
def test_a_list_as_a_frame(through: Any, most: int | None, rows: int) -> None:
    """The first `most` accounts."""
    with running(_page) as server:
        frame, _ = through(server.url, lambda c: c.priority_frame("at_risk", most=most))
    assert len(frame) == rows
    assert frame["account"].tolist() == [f"account-{n}" for n in range(rows)]


ORDER: dict[str, Any] = {"expect_epoch": 3, "reason": "lunch"}
READS = {
    "decision": ("/v1/decisions/a%2F%C3%A9", lambda c: c.decision("a/é")),
    "replay": ("/v1/decisions/a/replay", lambda c: c.replay("a")),
    "override": ("/v1/decisions/a/override", lambda c: c.override("a", route="nurture")),
    "explanation": ("/v1/decisions/a/explanation?most=5", lambda c: c.explanation("a", most=5)),
    "scores": ("/v1/accounts/a/scores?target=t", lambda c: c.scores("a", target="t")),
    "models": ("/v1/models", lambda c: c.models()),
    "model": ("/v1/models/t", lambda c: c.model("t")),
    "policies": ("/v1/policies", lambda c: c.policies()),
    "policy": ("/v1/policies/p", lambda c: c.policy("p")),
    "flag": ("/v1/flags/f?account=a", lambda c: c.flag("f", "a")),
    "releases": ("/v1/releases", lambda c: c.releases()),
    "release": ("/v1/releases/t", lambda c: c.release("t")),
    "history": ("/v1/releases/t/history?limit=5", lambda c: c.release_history("t", limit=5)),
    "order": ("/v1/releases/t/pause", lambda c: c.lead_release("t", "pause", **ORDER)),
}


@both
@pytest.mark.parametrize("name", READS)
def test_reads_ask_their_address_and_are_retried(through: Any, name: str) -> None:
    """A 503 passes, a 404 is NotFound."""
    path, ask = READS[name]

    def play(got: Got, writer: asyncio.StreamWriter) -> None:
        problem(writer, 503 if got.number == 0 else 404, "none")

    with running(play) as server, pytest.raises(NotFound):
        through(server.url, ask)
    assert [got.target for got in server.got] == [path, path]


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_an_id_that_would_be_another_address_is_refused(id: str) -> None:
    """`..` would climb out of the path."""
    with running(_page) as server, pytest.raises(Invalid, match="an id must name something"):
        waiting(server.url, lambda c: c.decision(id))
    assert not server.got


@both
def test_readiness_is_asked_once(through: Any) -> None:
    """So that a caller may poll it."""
    play = lambda got, writer: problem(writer, 503, "no model")  # noqa: E731
    with running(play) as server, pytest.raises(Unavailable, match="no model"):
        through(server.url, lambda c: c.ready())
    assert len(server.got) == 1
    ready = {"status": "ready", "models": {"lead": "m"}}
    with running(lambda got, writer: answer(writer, 200, ready)) as server:
        assert through(server.url, lambda c: c.ready())[0].models == {"lead": "m"}


# ---- the package


def test_both_clients_have_the_same_methods() -> None:
    """Name by name, with the same parameters."""

    def public(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in vars(kind).items()
            if callable(value) and not name.startswith("_")
        }

    assert public(Client) == public(AsyncClient)
    assert "decide_many" in public(Client)


def test_threads_share_a_client() -> None:
    """Eight threads, 200 calls, a key for each, over no more connections than threads."""
    ports: Counter[int] = Counter()

    def play(got: Got, writer: asyncio.StreamWriter) -> None:
        ports[writer.get_extra_info("peername")[1]] += 1
        answer(writer, 200, DECISION)

    with running(play) as server, Client(server.url) as client:
        threads = [
            threading.Thread(target=lambda: [client.decide(lead="a") for _ in range(25)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({got.key for got in server.got}) == 200
    assert len(ports) <= 8


def test_it_imports_little_and_fast() -> None:
    """No Ray, no model, nothing of the engine; within half a second of work beyond
    pandas and httpx."""
    code = (
        "import sys, time, pandas, httpx\n"
        "start = time.process_time()\n"
        "from serving.client import Client\n"
        "took = time.process_time() - start\n"
        "heavy = {'ray', 'xgboost', 'numba', 'sqlalchemy', 'fastapi', 'features', 'pyiceberg'}\n"
        "ours = {m for m in sys.modules if m.startswith('serving.')}\n"
        "other = {m for m in ours if m.split('.')[1] not in {'client', 'wire'}}\n"
        "print(took, sorted(heavy & set(sys.modules)), sorted(other))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split(" ", 1)
        for _ in range(2)
    ]
    assert {rest.strip() for _, rest in found} == {"[] []"}
    assert min(float(took) for took, _ in found) < 0.5


# ---- the page about it


def _service(got: Got, writer: asyncio.StreamWriter) -> None:
    if got.target.endswith(":batch"):
        _batch(got, writer)
    elif got.method == "POST":
        answer(writer, 200, DECISION)
    else:
        problem(writer, 404, "no decision has the id")


def test_the_examples_of_the_page_run() -> None:
    """In their order, as one program."""
    page = (ROOT / "docs" / "client.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    with running(_service) as server:
        program = f"url = {server.url!r}\n" + "\n".join(examples)
        found = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert found.returncode == 0, found.stderr
    assert "nurture 0.5 (0.25, 0.75)" in found.stdout
    assert "2 of 2" in found.stdout
    assert "GET /v1/decisions/nobody: 404 Said: no decision has the id" in found.stdout
