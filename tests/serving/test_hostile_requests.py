"""Requests made by hand to do harm, over a real server: each refused in form, and it lives on."""

from __future__ import annotations

import gzip
import json
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from cluster.settings import LimitSettings
from cluster.workspace import Workspace
from serving.answer.service import DecisionService
from serving.api import bounds
from serving.api.application import make_application
from serving.api.limits import Limits
from serving.slots.slot import Answer
from serving.wire.inference import InferErrorOut
from serving.wire.problems import MEDIA_TYPE, Problem
from tests.serving.listening import listening

if TYPE_CHECKING:
    from cluster.settings import Settings

MOST_GROWTH = 100 * 2**20
ONE, MANY, EVENTS = "/v1/decisions", "/v1/decisions:batch", "/v1/events"
INFER = "/v2/models/lead_qualification/infer"
KIND = {EVENTS: "application/cloudevents-batch+json"}
ANSWERS = {"lead": Answer(target="lead_qualification", policy="lead_routing")}
BODY_S = 1.0
EVENT = {
    "specversion": "1.0", "id": "e", "source": "/x", "type": "funnelcast.touch.web_visit",
    "time": "2026-02-01T09:30:00Z", "data": {"lead": "nobody"},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Got:
    """An answer, and how many bytes of the body were taken before it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    taken: int


@pytest.fixture(scope="module")
def url(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give the URL of a service whose patience is short."""
    home = tmp_path_factory.mktemp("hostile") / "home"
    with Workspace.open(copied(home)) as workspace:
        service = DecisionService(workspace, ANSWERS)
        application = make_application(service)
        application._limits = Limits(LimitSettings(body_s=BODY_S))
        with listening(application) as found:
            yield found
        service.close()


def _send(
    url: str,
    path: str,
    parts: Iterable[bytes | float],
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> Got:
    """Send a request as it is told, byte by byte; a number in `parts` is a pause in s."""
    where = urlsplit(url)
    assert where.hostname is not None
    head = {"host": where.netloc, "content-type": KIND.get(path, "application/json")}
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{n}: {v}" for n, v in (head | (headers or {})).items()),
    ]
    with socket.create_connection((where.hostname, where.port or 80), timeout=60) as wire:
        wire.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        taken = _pour(wire, parts)
        return _answer(wire, taken)


def _pour(wire: socket.socket, parts: Iterable[bytes | float]) -> int:
    """Send until all is sent, or the server answers or hangs up; return the bytes sent."""
    taken = 0
    for part in parts:
        if isinstance(part, float):
            time.sleep(part)
            continue
        try:
            wire.settimeout(0.0)
            wire.recv(1, socket.MSG_PEEK)
            break
        except BlockingIOError:
            wire.settimeout(60)
        except OSError:
            break
        try:
            wire.sendall(part)
        except OSError:  # it hung up
            break
        taken += len(part)
    wire.settimeout(60)
    return taken


def _answer(wire: socket.socket, taken: int) -> Got:
    said = b""
    while b"\r\n\r\n" not in said:
        said += _more(wire, said)
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _more(wire, body)
    return Got(status=int(first.split()[1]), headers=headers, body=body, taken=taken)


def _more(wire: socket.socket, so_far: bytes) -> bytes:
    found = wire.recv(2**16)
    if not found:
        raise ConnectionError(f"an answer must come whole, got {so_far[:100]!r}")
    return found


def _post(url: str, path: str, body: bytes, **headers: str) -> Got:
    said = {n.replace("_", "-"): v for n, v in headers.items()}
    return _send(url, path, [body], {"content-length": str(len(body)), **said})


def _must_be_in_form(got: Got, path: str) -> None:
    """No failure of ours; a refusal is as the description has it."""
    assert got.status < 500, got
    if got.status < 400:
        return
    if path.startswith("/v2"):
        assert InferErrorOut.model_validate_json(got.body).error
        return
    assert got.headers["content-type"] == MEDIA_TYPE
    found = Problem.model_validate_json(got.body)
    assert found.status == got.status
    assert len(got.body) < 5_000


def _must_live(url: str) -> None:
    assert _send(url, "/healthz", [], method="GET").status == 200


def _rss() -> int:
    """Return the bytes of memory of this process, the server's too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _asking(value: str) -> dict[str, bytes]:
    """Return a request of each route that has a JSON text somewhere in it."""
    said = value.encode("utf-8", "surrogatepass")
    event = json.dumps(EVENT | {"data": {"lead": "l", "number": "#"}}).encode()
    tensor = b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [#]}]}'
    return {
        ONE: b'{"lead": "nobody", "deadline_ms": #}'.replace(b"#", said),
        MANY: b'{"decisions": [{"lead": "nobody", "deadline_ms": #}], "deadline_ms": #}'.replace(
            b"#", said
        ),
        EVENTS: b"[" + event.replace(b'"#"', said) + b"]",
        INFER: tensor.replace(b"#", said),
    }


VALUES = {
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "1e400": "1e400",
    "2^64": str(2**64),
    "a number of 100,000 digits": "9" * 100_000,
    "NUL": "\0",
    "NUL in a text": '"\\u0000"',
    "a lone surrogate": '"\\ud800"',
    "a lone surrogate in bytes": '"\ud800"',
    "an object": "{}",
    "depth 10,000": "[" * 10_000 + "]" * 10_000,
    "depth 10,000 of objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "a name twice": '{"a": 1, "a": 2}',
    "thousands of members": json.dumps({f"m{n}": n for n in range(5_000)}),
}


@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_is_none_is_refused(url: str, value: str) -> None:
    """Wherever it stands; events are refused one by one."""
    for path, body in _asking(VALUES[value]).items():
        got = _post(url, path, body)
        _must_be_in_form(got, path)
        if got.status == 200:
            assert path == EVENTS
            assert json.loads(got.body)["accepted"] == 0
    _must_live(url)


BODIES = {
    "nothing": b"",
    "a letter": b"{",
    "UTF-16": '{"lead": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"lead": "x"}',
    "no UTF-8": b'{"lead": "\xff\xfe"}',
    "NUL bytes": bytes(1_000),
    "a name twice": b'{"lead": "a", "lead": "b", "inputs": [], "inputs": []}',
    "unknown members": json.dumps({f"m{n}": {} for n in range(9_000)}).encode(),
    "unknown members of each": json.dumps(
        {"decisions": [{f"m{n}": 1 for n in range(200)}] * 450}
    ).encode(),
    "many values": b'{"decisions": [' + b"{}," * 500_000 + b"{}]}",
    "open texts": b'"' * 100_001,
    "open brackets": b'{"inputs": ' + b"[{" * 100_000,
    "back-slashes": b'"' + b"\\" * 300_001,
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_none_is_refused(url: str, body: str) -> None:
    """By every route that takes one."""
    for path in (ONE, MANY, EVENTS, INFER):
        got = _post(url, path, BODIES[body])
        _must_be_in_form(got, path)
        in_batch = (body, path) == ("unknown members of each", MANY)
        assert (got.status >= 400) != in_batch, got
    _must_live(url)


@pytest.mark.parametrize("path", [ONE, MANY, EVENTS, INFER, "/v1/nowhere"])
@pytest.mark.parametrize("says", [True, False], ids=["says so", "in chunks"])
def test_100_megabytes_are_not_read(url: str, path: str, says: bool) -> None:
    """The answer is there long before the end, and nothing of it is kept."""
    before, size, part = _rss(), 100 * 2**20, b"x" * 2**16
    if says:
        parts: Iterable[bytes] = (part for _ in range(size // len(part)))
        got = _send(url, path, parts, {"content-length": str(size)})
    else:
        chunk = b"%x\r\n%s\r\n" % (len(part), part)
        parts = (chunk for _ in range(size // len(part)))
        got = _send(url, path, parts, {"transfer-encoding": "chunked"})
    assert got.status == 413
    _must_be_in_form(got, path)
    assert got.taken < size * 0.6
    assert _rss() - before < MOST_GROWTH
    _must_live(url)


def test_a_gzip_bomb_is_not_opened(url: str) -> None:
    """What is encoded is not taken at all."""
    before, bomb = _rss(), gzip.compress(bytes(200 * 2**20), 9)
    for path in (ONE, MANY, EVENTS, INFER):
        got = _post(url, path, bomb, content_encoding="gzip")
        assert (got.status, got.headers["accept-encoding"]) == (415, "identity")
        _must_be_in_form(got, path)
    assert _rss() - before < MOST_GROWTH


def test_a_sender_that_drips_is_hung_up_on(url: str) -> None:
    """A byte now and then is not enough to be waited for."""
    began = time.monotonic()
    drip = [x for _ in range(200) for x in (b" ", 0.1)]
    got = _send(url, ONE, drip, {"content-length": "1000"})
    assert got.status == 408
    _must_be_in_form(got, ONE)
    assert time.monotonic() - began < 10 * BODY_S
    _must_live(url)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (ONE, {"x": "y" * 40_000}, 431),
        (ONE, {f"x-{n}": "y" for n in range(150)}, 431),
        (f"/v1/decisions/{'x' * 10_000}", {}, 414),
        (f"/v1/models?x={'y' * 10_000}", {}, 414),
        (ONE, {"content-type": "text/plain"}, 415),
        (ONE, {"content-type": "application/xml"}, 415),
        (ONE, {"content-type": "\xff" * 200}, 415),
        (EVENTS, {"content-type": "application/json"}, 415),
        (INFER, {"content-type": "multipart/form-data; boundary=x"}, 415),
        (ONE, {"idempotency-key": "\xff" * 300}, 422),
        (INFER, {"inference-header-content-length": "99999999999"}, 400),
        (INFER, {"inference-header-content-length": "-1"}, 400),
    ],
)
def test_a_head_that_is_too_much_is_refused(
    url: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Each with its own status."""
    body = b'{"lead": "nobody"}'
    got = _send(url, path, [body], {"content-length": str(len(body)), **headers})
    assert got.status == status
    _must_be_in_form(got, path)
    _must_live(url)


def test_a_large_body_that_is_no_request_holds_nobody_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not even parsed; the mutant parses it."""
    parsed: list[int] = []
    monkeypatch.setattr(
        "serving.api.front._read", lambda *_: parsed.append(1) or Problem.of(422, "x")
    )
    body = BODIES["many values"]
    assert _post(url, MANY, body).status == 413
    assert parsed == []
    monkeypatch.setattr(bounds, "wrong_shape", lambda *_: None)
    assert _post(url, MANY, body).status == 422
    assert parsed == [1]


def _variants(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield bodies that are nearly right: cut, doubled, with bytes and values put in."""
    seeds = [
        *_asking("200").items(), *_asking("null").items(),
        *((path, body) for path in (ONE, MANY, EVENTS, INFER) for body in BODIES.values()),
    ]  # fmt: skip
    odd = [*VALUES.values(), '"', "\\", "{", "]", ",", ":", "\x7f", "true", "1e-999", "-0"]
    for _ in range(count):
        path, body = rng.choice(seeds)
        for _ in range(rng.randint(1, 3)):
            at, upto = sorted(rng.randint(0, len(body)) for _ in range(2))
            new = rng.choice([b"", body[at:upto], rng.randbytes(rng.randint(1, 9))])
            if rng.random() < 0.5:
                new = rng.choice(odd).encode("utf-8", "surrogatepass")
            body = (body[:at] + new + body[rng.choice([at, upto]) :])[: 2**21]
        yield path, body


def _must_bear(url: str, count: int) -> None:
    before = _rss()
    for path, body in _variants(random.Random(20), count):
        _must_be_in_form(_post(url, path, body), path)
    assert _rss() - before < MOST_GROWTH
    _must_live(url)


def test_what_is_nearly_right_is_borne(url: str) -> None:
    """A hundred of them."""
    _must_bear(url, 100)


@pytest.mark.drill
def test_what_is_nearly_right_is_borne_two_thousand_times(url: str) -> None:
    """The long version."""
    _must_bear(url, 2_000)


def test_a_failure_would_be_seen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: an error that nobody handles."""

    def broken(*_: Any) -> Any:
        raise ValueError("nobody thought of this")

    monkeypatch.setattr("serving.api.messages.read", broken)
    with pytest.raises(AssertionError):
        _must_be_in_form(_post(url, INFER, b"{}"), INFER)
