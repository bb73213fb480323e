"""The limits of a replica, in this process: each refuses, says so, and can be switched off."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import strictjson
from cluster.access.principal import LOCAL
from cluster.settings import LimitSettings
from serving.access.buckets import Buckets
from serving.access.guard import PRINCIPAL
from serving.api import bounds, nesting
from serving.api.answers import Refused
from serving.api.limits import Inside, Limits, caller

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


class Hand:
    """A clock that is moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def _scope(path: str = "/v1/decisions", method: str = "POST", **more: Any) -> dict[str, Any]:
    headers = [(n.encode(), v.encode()) for n, v in more.pop("headers", ())]
    return {
        "type": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "method": method, "headers": headers, "client": ("127.0.0.1", 1), **more,
    }  # fmt: skip


def _limits(**changes: Any) -> tuple[Limits, Hand]:
    clock = Hand()
    return Limits(LimitSettings(**changes), clock), clock


def _status(found: object) -> int:
    return found.problem.status if isinstance(found, Refused) else 200


def _read(limits: Limits, scope: dict[str, Any], parts: Iterable[bytes | float]) -> object:
    """Return what comes of a body in parts; a number is a pause in s."""

    async def read() -> object:
        left = iter(parts)

        async def receive() -> dict[str, Any]:
            part = next(left, None)
            while isinstance(part, float):
                await asyncio.sleep(part)
                part = next(left, None)
            return {"type": "http.request", "body": part or b"", "more_body": part is not None}

        inside = limits.enter(scope)
        assert isinstance(inside, Inside)
        try:
            return await limits.body(inside, scope, receive)  # type: ignore[arg-type]
        finally:
            limits.leave(inside)

    return asyncio.run(read())


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    """Ten at once, then one each tenth of a second; and the wait that it names is enough."""
    bucket = Buckets(rate_per_s=10, burst=10, most=5)
    assert [bucket.take("a", 0.0) for _ in range(10)] == [0.0] * 10
    wait_s = bucket.take("a", 0.0)
    assert wait_s == pytest.approx(0.1)
    assert bucket.take("b", 0.0) == 0.0
    assert bucket.take("a", wait_s) == 0.0
    assert bucket.take("a", wait_s) > 0.0
    assert [bucket.take("a", 1000.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take("a", 1000.0) > 0.0


@given(st.lists(st.floats(0, 0.5), max_size=60), st.integers(1, 8))
def test_no_more_is_ever_granted_than_rate_and_burst(pauses: list[float], burst: int) -> None:
    """Over any stretch of time."""
    bucket, now, granted = Buckets(rate_per_s=5, burst=burst, most=9), 0.0, []
    for pause in pauses:
        now += pause
        if bucket.take("a", now) == 0.0:
            granted.append(now)
    for n, first in enumerate(granted):
        for m, last in enumerate(granted[n:], 1):
            assert m <= burst + 5 * (last - first) + 1e-6


def test_many_callers_cost_no_more_than_some() -> None:
    """Who asked last is remembered."""
    bucket = Buckets(rate_per_s=1, burst=1, most=3)
    for n in range(10_000):
        bucket.take(f"caller-{n}", 0.0)
    assert len(bucket) == 3
    assert bucket.take("caller-9999", 0.0) > 0.0


def test_who_asks_too_often_hears_when_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each caller by itself; health is always answered. The mutant lets all in."""
    limits, clock = _limits(rate_per_s=0.5, burst=3)
    scope, other = _scope(), _scope(client=("192.0.2.9", 1))
    assert [_status(limits.enter(scope)) for _ in range(4)] == [200, 200, 200, 429]
    refused = limits.enter(scope)
    assert isinstance(refused, Refused)
    assert refused.headers == ((b"retry-after", b"2"),)
    assert _status(limits.enter(other)) == 200
    assert _status(limits.enter(_scope("/readyz", "GET"))) == 200
    clock.now += 2.0
    assert [_status(limits.enter(scope)) for _ in range(2)] == [200, 429]
    monkeypatch.setattr(Buckets, "take", lambda *_: 0.0)
    assert _status(limits.enter(scope)) == 200


def test_a_caller_is_a_key_a_subject_or_an_address() -> None:
    """The same one wherever it asks from, where it is known."""
    key = LOCAL.__class__(**{**_fields(), "credential": "api-key:k", "subject": "crm"})
    token = LOCAL.__class__(**{**_fields(), "credential": "token:corp", "subject": "corp:ada"})
    names = [caller(_scope(state={PRINCIPAL: each})) for each in (key, token, LOCAL)]
    assert names == ["api-key:k", "token:corp corp:ada", "address:127.0.0.1"]
    assert caller(_scope(client=None)) == "address:"


def _fields() -> dict[str, Any]:
    return {name: getattr(LOCAL, name) for name in LOCAL.__slots__}


def test_no_more_are_inside_than_may_be() -> None:
    """Of one caller 429, of all 503; and who leaves makes room."""
    limits, _ = _limits(inside=3, inside_each=2)
    first, second = limits.enter(_scope()), limits.enter(_scope())
    assert isinstance(first, Inside)
    assert isinstance(second, Inside)
    assert _status(limits.enter(_scope())) == 429
    other = _scope(client=("192.0.2.9", 1))
    assert [_status(limits.enter(other)) for _ in range(2)] == [200, 503]
    limits.leave(first)
    assert _status(limits.enter(_scope())) == 200
    wide, _ = _limits(inside=30, inside_each=20)  # the mutant
    assert {_status(wide.enter(_scope())) for _ in range(20)} == {200}


@pytest.mark.parametrize(
    ("scope", "status", "mutant"),
    [
        (_scope("/" + "x" * 9_000), 414, {"url_bytes": 10**6}),
        (_scope(query_string=b"x" * 9_000), 414, {"url_bytes": 10**6}),
        (_scope(headers=[("a", "x" * 40_000)]), 431, {"header_bytes": 10**6}),
        (_scope(headers=[("a", "x")] * 101), 431, {"headers": 10**6}),
    ],
)
def test_a_head_is_bounded(scope: dict[str, Any], status: int, mutant: dict[str, int]) -> None:
    """URL and headers; with a wide bound it is let in."""
    limits, _ = _limits()
    assert _status(limits.enter(scope)) == status
    assert _status(_limits(**mutant)[0].enter(scope)) == 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/decisions", {}, 200),
        ("/v1/decisions", {"content-type": "application/json; charset=utf-8"}, 200),
        ("/v1/decisions", {"content-type": "text/plain"}, 415),
        ("/v1/decisions", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("/v1/decisions", {"content-encoding": "gzip"}, 415),
        ("/v1/decisions", {"content-encoding": "identity"}, 200),
        ("/v1/decisions", {"content-length": str(2**20 + 1)}, 413),
        ("/v1/decisions", {"content-length": "9" * 5_000}, 413),
        ("/v1/decisions:batch", {"content-length": str(2**20 + 1)}, 200),
        ("/v1/decisions/d-1/override", {"content-type": "text/plain"}, 415),
        ("/v1/decisions/d-1/override", {"content-length": str(2**16 + 1)}, 413),
        ("/v1/events", {}, 415),
        ("/v1/events", {"content-type": "application/cloudevents+json"}, 200),
        ("/v2/models/m/infer", {"content-type": "application/octet-stream"}, 200),
        ("/v2/models/m/infer", {"content-type": "text/plain"}, 415),
        ("/v1/nowhere", {"content-length": str(2**16 + 1)}, 413),
    ],
)
def test_what_is_said_of_a_body_is_looked_at_first(
    path: str, headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a byte of it is read; without the look all of them are."""
    limits, _ = _limits()
    scope = _scope(path, headers=headers.items())
    assert _status(_read(limits, scope, [b"{}"])) == status
    monkeypatch.setattr(bounds, "wrong_body", lambda *_: None)
    assert _read(limits, scope, [b"{}"]) == b"{}"


def test_a_body_that_grows_is_refused_as_soon_as_it_is_too_large() -> None:
    """Whatever it said of itself, with the rest not read; and nothing of it is held."""
    limits, _ = _limits(decision_bytes=100)
    left: list[bytes | float] = [b"x" * 30] * 10
    taken = _Counted(left)
    assert _status(_read(limits, _scope(), taken)) == 413
    assert (taken.given, limits._held, limits._count) == (4, 0, 0)
    assert _read(_limits()[0], _scope(), left) == b"x" * 300


class _Counted:
    """Parts of a body; `given` of them were asked for."""

    def __init__(self, parts: list[bytes | float]) -> None:
        self._parts = parts
        self.given = 0

    def __iter__(self) -> Iterator[bytes | float]:
        for part in self._parts:
            self.given += 1
            yield part


def test_who_drips_is_not_waited_for() -> None:
    """A byte now and then does not lengthen the time; one who sends much gets more of it."""
    limits, _ = _limits(body_s=0.2, body_bytes_per_s=1_000)
    drip: list[bytes | float] = [b"x", 0.05] * 100 + [b"x"]
    assert _status(_read(limits, _scope(), drip)) == 408
    assert _read(limits, _scope(), [b"x" * 10_000, 0.4, b"y"]) == b"x" * 10_000 + b"y"
    patient, _ = _limits(body_s=60.0)  # the mutant
    assert _read(patient, _scope(), drip[:21]) == b"x" * 11


def test_all_bodies_together_are_bounded() -> None:
    """One alone is taken, whatever its size; the second waits outside."""
    limits, _ = _limits(held_bytes=50)
    first = limits.enter(_scope())
    assert isinstance(first, Inside)
    assert limits._keep(first, 60, limits._of("")) is None
    assert _status(_read(limits, _scope(), [b"x" * 10])) == 503
    limits.leave(first)
    assert _read(limits, _scope(), [b"x" * 10]) == b"x" * 10


@pytest.mark.parametrize("size", [1, 2**17])
@pytest.mark.parametrize(
    ("path", "status"), [("/v1/decisions", 422), ("/v1/decisions:batch", 422), ("/v2/m", 400)]
)
def test_json_that_is_too_deep_is_not_parsed(
    path: str, status: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones here, large ones beside the loop; brackets in a text are none."""
    limits, _ = _limits()
    deep = b"[" * 10_000 + b" " * size
    flat = json.dumps({"lead": "[" * 100 + '"\\' + "{" * 100, "blank": " " * size}).encode()
    assert _status(_read(limits, _scope(path), [deep])) == status
    assert _read(limits, _scope(path), [flat]) == flat
    monkeypatch.setattr(bounds, "nesting", lambda _: nesting.Nesting(0, 0))
    assert _read(limits, _scope(path), [deep]) == deep


def test_json_of_too_many_values_is_not_parsed() -> None:
    """Four letters can cost a hundred bytes; with a wide bound they do."""
    many = b"[" + b"{}," * 150_000 + b"{}]"
    assert _status(_read(_limits()[0], _scope("/v1/decisions:batch"), [many])) == 413
    wide, _ = _limits(values=10**7)
    assert _read(wide, _scope("/v1/decisions:batch"), [many]) == many


def test_bytes_behind_the_json_of_a_tensor_are_no_json() -> None:
    """They may be brackets by chance; without the header all of it is JSON."""
    limits, _ = _limits()
    body = b"{}" + b"[" * 1_000
    headers = [("inference-header-content-length", "2")]
    assert _read(limits, _scope("/v2/models/m/infer", headers=headers), [body]) == body
    assert _status(_read(limits, _scope("/v2/models/m/infer"), [body])) == 400


@given(JSON, st.integers(1, 9))
def test_depth_and_size_are_those_of_the_parser(value: Any, block: int) -> None:
    """Of any JSON, in blocks of any size; never too small."""
    data = json.dumps(value).encode()
    old, nesting.BLOCK = nesting.BLOCK, block
    try:
        found = nesting.nesting(data)
    finally:
        nesting.BLOCK = old
    assert found.depth == _depth(value)
    assert found.values >= _values(value)
    if nesting.small(data, 3, 20):
        assert found.depth <= 3
        assert found.values <= 20


def _depth(value: Any) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_values, inner)) - bool(inner)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"a": 1, "a": 1}', "each name once"),
        (b'[{"a": {"b": 1, "\\u0062": 2}}]', "each name once"),
        (b"[NaN]", "must be finite"),
        (b"[-Infinity]", "must be finite"),
        (json.dumps({str(n): n for n in range(300)}).encode(), "at most 256 members"),
    ],
)
def test_json_is_read_strictly(data: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own parser takes all of it."""
    with pytest.raises(strictjson.NotStrict, match=words):
        strictjson.loads(data)
    json.loads(data)


@pytest.mark.parametrize("data", [b"\xff", "[]".encode("utf-16"), b"\xef\xbb\xbf[]", b"", b"[1"])
def test_what_is_no_json_in_utf_8_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        strictjson.loads(data)


@given(JSON)
def test_all_other_json_is_read_as_it_is(value: Any) -> None:
    assert strictjson.loads(json.dumps(value).encode()) == value
