"""The load generator of benches and drills: it sends on time, and counts what others leave out."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.bench import load, load_wire, serving_capacity
from tests.drills import mostly

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
STALL_AFTER, STALL_S = 100, 0.4

type Reply = Callable[[int, bytes], list[bytes] | None]  # None: the connection is closed


class _Peer(asyncio.Protocol):
    """Answers each request with the parts that `reply` gives for its number, one by one."""

    def __init__(self, reply: Reply, seen: list[bytes]) -> None:
        self._reply, self._seen = reply, seen
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; a request of these tests comes in one piece."""
        assert self._transport
        self._seen.append(data)
        parts = self._reply(len(self._seen) - 1, data)
        if parts is None:
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        for place, part in enumerate(parts):
            loop.call_later(0.002 * place, self._transport.write, part)


@contextmanager
def _server(reply: Reply) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server in a thread; gives its URL and the requests that it has seen."""
    loop, seen = asyncio.new_event_loop(), list[bytes]()
    made = loop.create_server(lambda: _Peer(reply, seen), "127.0.0.1", 0)
    server = loop.run_until_complete(made)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", seen
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _plan(url: str, rate: float = 200.0, seconds: float = 0.5) -> load.Plan:
    return load.Plan(url=url, rate=rate, seconds=seconds, bodies=(b"{}",), patience=1.0)


def _stalls(number: int, _: bytes) -> list[bytes]:
    if number == STALL_AFTER:
        time.sleep(STALL_S)
    return [OK]


def _late_of_a_stall() -> int:
    with _server(_stalls) as (url, _):
        result = load.run(replace(_plan(url, seconds=1.0), most=1))
    assert result.statuses == {200: 200}
    return result.offered - result.good


def test_a_stall_is_charged_for_everything_that_was_due_meanwhile() -> None:
    """The service stands still for 0.4 s: what was due in 0.3 s of it is late, 60 requests."""
    assert 50 <= _late_of_a_stall() <= 80


@pytest.mark.drill
def test_without_scheduled_times_a_stall_is_one_late_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant counts from when a request could leave, as closed loops do."""
    send = load_wire.Connection.send

    def from_leaving(self: load_wire.Connection, number: int, request: bytes) -> None:
        whole = self._pool.hear.__self__  # type: ignore[attr-defined]
        whole._due[number] = time.monotonic() - whole._zero
        send(self, number, request)

    monkeypatch.setattr(load_wire.Connection, "send", from_leaving)
    assert _late_of_a_stall() <= 3


def test_every_answer_is_counted_by_its_status() -> None:
    """Good are those with 200; the warm-up is left out, its answers are told apart."""
    with _server(lambda number, _: [BUSY if number % 4 == 3 else OK]) as (url, seen):
        result = load.run(replace(_plan(url), warmup=0.2, within=10.0))
    assert (result.offered, result.sent, len(seen)) == (100, 100, 140)
    assert (result.statuses, result.errors) == ({200: 75, 503: 25}, {})
    assert (result.good, result.share) == (75, 0.75)
    assert result.warmup_statuses == {200: 30, 503: 10}
    assert result.by_status[503].count == 25
    assert result.p50_ms is not None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (lambda *_: None, load_wire.CLOSED),
        (lambda *_: [], load.UNANSWERED),
        (lambda *_: [b"HTTP/1.1 200 OK\r\n\r\n{}"], load_wire.UNREADABLE),
    ],
)
def test_what_is_not_answered_is_an_error_of_its_kind(reply: Reply, kind: str) -> None:
    """Each request once: nothing is sent again, and without an answer there is no p99."""
    with _server(reply) as (url, seen):
        result = load.run(replace(_plan(url, seconds=0.1), patience=0.2))
    assert (result.errors, result.statuses, len(seen)) == ({kind: 20}, {}, 20)
    assert (result.good, result.p99_ms) == (0, None)


def test_a_service_that_is_not_there_refuses() -> None:
    """Nobody listens: every request fails, none is lost from the count."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    result = load.run(replace(_plan(url, seconds=0.1), patience=0.2))
    assert result.errors == {load_wire.REFUSED: 20}


def test_answers_in_pieces_are_read_whole() -> None:
    """Head and body cut anywhere, a connection that is closed after each answer."""
    whole = b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\nConnection: close\r\n\r\n{"a": 12}'
    cuts = [[whole[:n], whole[n:]] for n in (5, 20, 40, 57, 60, len(whole) - 1)]
    heard: list[load.Answer] = []
    with _server(lambda number, _: cuts[number % len(cuts)]) as (url, _):
        result = load.run(_plan(url, seconds=0.3), heard.append)
    assert result.statuses == {200: 60}
    assert {answer.body for answer in heard} == {b'{"a": 12}'}
    assert result.connections >= 60


def test_requests_carry_their_headers_and_a_key_each() -> None:
    """Bodies in turn, one idempotency key per request."""
    with _server(lambda *_: [OK]) as (url, seen):
        plan = replace(
            _plan(url, seconds=0.1), key="k", headers=(("x-a", "b"),), bodies=(b"1", b"23")
        )
        load.run(plan)
    heads = [request.partition(b"\r\n\r\n") for request in seen]
    assert {head.split(b"idempotency-key: ")[1] for head, _, _ in heads} == {
        b"k-%d" % n for n in range(20)
    }
    assert all(b"x-a: b\r\n" in head and head.startswith(b"POST /x ") for head, _, _ in heads)
    assert [body for _, _, body in heads].count(b"23") == 10


@pytest.mark.drill
def test_a_generator_that_is_late_says_that_its_run_is_void() -> None:
    """Whoever listens to answers keeps it from sending."""
    with _server(lambda *_: [OK]) as (url, _):
        hindered = load.run(_plan(url, seconds=0.15), lambda _: time.sleep(0.02))
        assert load.run(_plan(url)).offered == 100
    assert hindered.void is not None
    assert "the generator must leave on time" in hindered.void


def test_a_run_that_cannot_be_good_any_more_is_given_up() -> None:
    """A tenth may be bad, all are: it ends soon, and says so."""
    with _server(lambda *_: [BUSY]) as (url, seen):
        result = load.run(replace(_plan(url, seconds=3.0), give_up=0.1))
    assert result.gave_up
    assert result.offered == 600
    assert 60 <= result.sent == len(seen) < 120


def test_random_arrivals_have_their_rate_and_come_again() -> None:
    """Exponential gaps from a seed."""
    plan = load.Plan(url="http://x/", rate=1000, seconds=20, poisson=3)
    due = load.schedule(plan)
    assert due == load.schedule(plan) != load.schedule(replace(plan, poisson=4))
    assert len(due) == pytest.approx(20_000, rel=0.03)
    gaps = [b - a for a, b in itertools.pairwise(due)]
    short = sum(gap < 0.001 for gap in gaps) / len(gaps)
    assert short == pytest.approx(0.632, abs=0.01)  # 1 - 1/e of them below the mean


def test_it_sends_from_a_process_of_its_own() -> None:
    """The result comes back whole, with the answers that were asked for."""
    with _server(lambda *_: [OK]) as (url, _):
        result = load.apart(replace(_plan(url), sample=10))
    assert result.statuses == {200: 100}
    assert [answer.body for answer in result.samples] == [b"{}"] * 10


@pytest.mark.parametrize("bears", mostly([437.0, 37.0, 3000.0]))
def test_the_search_finds_what_a_service_bears(bears: float) -> None:
    """Within three hundredths, from above or below where it begins."""
    found = serving_capacity.search(_bearing(bears), _bearing(bears), 150.0)
    assert bears / 1.031 <= found.rate <= bears


@pytest.mark.parametrize("again", mostly([170.0, 450.0]))
def test_a_rate_that_is_not_borne_again_does_not_count(again: float) -> None:
    """It was luck: the rate is lowered until a run confirms it."""
    found = serving_capacity.search(_bearing(500.0), _bearing(again), 150.0)
    assert again * 0.95 <= found.rate <= again


def test_one_bad_run_does_not_end_the_search() -> None:
    """Other work on the machine: every third run is bad, whatever the rate."""
    runs = itertools.count()
    bears = _bearing(437.0)

    def disturbed(rate: float) -> load.Result:
        return replace(bears(rate), share=0.2) if next(runs) % 3 == 1 else bears(rate)

    found = serving_capacity.search(disturbed, bears, 150.0)
    assert 437 / 1.031 <= found.rate <= 437


@pytest.mark.drill
def test_it_reaches_three_thousand_requests_a_second() -> None:
    """And costs less than a quarter of a core at 600."""
    with _server(lambda *_: [OK]) as (url, _):
        fast = load.apart(_plan(url, rate=3000, seconds=3.0))
        slow = load.apart(_plan(url, rate=600, seconds=3.0))
    assert (fast.share, fast.void) == (1.0, None)
    assert slow.cpu < 0.25


def _bearing(most: float) -> serving_capacity.Measure:
    """Return a service that bears rates up to `most`."""
    with _server(lambda *_: [OK]) as (url, _):
        good = load.run(_plan(url, seconds=0.05))
    return lambda rate: replace(good, share=1.0 if rate <= most else 0.5, void=None)
