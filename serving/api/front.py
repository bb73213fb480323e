"""The front: decisions as raw ASGI, before any framework; everything else goes on to the API.

A framework's routing and validation would cost about as much as the decision itself; see
docs/decisions/0011-service.md for the measurement.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.routing import Match

from cluster.access.permissions import Permission
from cluster.errors import Refusal
from serving.access import fields, rows
from serving.access.guard import principal_of
from serving.answer import stages
from serving.answer.gate import RETRY_AFTER_S
from serving.api import problems
from serving.wire.base import IDEMPOTENCY_KEY
from serving.wire.decisions import BatchRequest, DecisionRequest, Wrong
from serving.wire.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from cluster.access.principal import Principal
    from cluster.access.privacy import Privacy
    from serving.access.guard import Guard
    from serving.answer.ticket import Outcome
    from serving.api.desk import Desk, Served

type Headers = list[tuple[bytes, bytes]]

ONE, MANY = "/v1/decisions", "/v1/decisions:batch"
NEEDS = dict.fromkeys((ONE, MANY), Permission.DECISIONS_MAKE)
MOST_BYTES = {ONE: 2**20, MANY: 2**22}
BODY_S = 5.0  # within which a body must be there
LARGE = 2**16  # bytes from which a body is parsed beside the loop
MOST_WRONG = 1_000  # broken rules that are looked at one by one
KEY = b"idempotency-key"
_KEY = re.compile(IDEMPOTENCY_KEY)
_JSON = (b"content-type", b"application/json")
_BUSY = Problem.of(
    HTTPStatus.SERVICE_UNAVAILABLE, "more requests wait than can be answered in time"
)


class Front:
    """An ASGI application: the guard, the two hot routes, then `behind`."""

    def __init__(self, desk: Desk, behind: ASGIApp, guard: Guard) -> None:
        self._desk = desk
        self._behind = behind
        self._guard = guard
        # Serve looks here, route by route, for what it calls a request in its metrics
        self.routes = [*map(Hot, MOST_BYTES), *getattr(behind, "routes", [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, if who sends it may ask that."""
        if scope["type"] == "http" and (refused := await self._guard.admit(scope)) is not None:
            await _send(send, refused.status, *_refused(refused, scope["path"]))
        elif not self.is_hot(scope):
            await self._behind(scope, receive, send)
        else:
            await self._decide(scope, receive, send)

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(scope["path"], receive)
        if isinstance(body, Problem):
            await _send(send, body.status, body.to_bytes(), _headers(body))
        elif not self._desk.gate.enter():  # with its body: who is slow to send it keeps no place
            await _send(send, _BUSY.status, _BUSY.to_bytes(), _headers(_BUSY))
        else:
            try:
                await _send(send, *await self._answer(scope, body))
            finally:
                self._desk.gate.leave()

    @staticmethod
    def is_hot(scope: Scope) -> bool:
        """Is this a request for decisions?"""
        return scope.get("path") in MOST_BYTES and scope.get("method") == "POST"

    async def _answer(self, scope: Scope, body: bytes) -> tuple[int, bytes, Headers]:
        who = principal_of(scope)
        if scope["path"] == MANY:
            return await many(self._desk, body, who)
        return await one(self._desk, body, header(scope, KEY), perf_counter(), who)


class Hot:
    """A route as Serve's metrics look for it, without a pattern."""

    def __init__(self, path: str) -> None:
        self.path = path

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Is this the path of a request?"""
        return Match.FULL if scope["path"] == self.path else Match.NONE, {}


async def one(
    desk: Desk, body: bytes, key: str | None, began: float, who: Principal
) -> tuple[int, bytes, Headers]:
    """Return status, bytes and headers of the answer to one request."""
    asked = await _parsed(DecisionRequest, body)
    if isinstance(asked, Problem):
        return asked.status, asked.to_bytes(), _headers(asked)
    if key is not None and (wrong := _wrong_key(key, asked.idempotency_key)):
        found = Problem.of(HTTPStatus.UNPROCESSABLE_ENTITY, wrong)
        return found.status, found.to_bytes(), _headers(found)
    served = await desk.one(asked, key or asked.idempotency_key, began, rows.bound(who))
    if isinstance(served.outcome, Refusal):
        found = problems.of_refusal(served.outcome)
        return found.status, found.to_bytes(), [*_headers(found), _timing(served)]
    replayed = [(b"idempotent-replayed", b"true")] if served.outcome.is_replayed else []
    told = fields.decision_bytes(served.outcome.body, fields.narrowed(who))
    return 200, told, [_JSON, _timing(served), *replayed]


async def many(desk: Desk, body: bytes, who: Principal) -> tuple[int, bytes, Headers]:
    """Return status, bytes and headers of the answer to a batch."""
    asked = await _parsed(BatchRequest, body)
    if isinstance(asked, Problem):
        return asked.status, asked.to_bytes(), _headers(asked)
    clearance, outcomes = fields.narrowed(who), await desk.many(asked, rows.bound(who))
    found = b",".join(_item(each, clearance) for each in outcomes)
    return 200, b'{"decisions":[' + found + b"]}", [_JSON]


async def read(receive: Receive, most: int) -> bytes | None:
    """Return the body of a request; None as soon as it is larger than may be."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body if len(body) <= most else None
    parts, size = [body], len(body)
    while message.get("more_body") and size <= most:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts) if size <= most else None


def header(scope: Scope, name: bytes) -> str | None:
    """Return a header of a request; None if it is not there."""
    return next((v.decode("latin-1") for n, v in scope["headers"] if n == name), None)


def _wrong_key(key: str, of_body: str | None) -> str:
    """Return what is wrong with the idempotency key of the header; empty if nothing is."""
    if not _KEY.fullmatch(key):
        return "the idempotency key must be 1 to 200 printable ASCII characters: choose another"
    if of_body not in (None, key):
        return "the idempotency key of header and body must be the same: leave one out"
    return ""


async def _body(path: str, receive: Receive) -> bytes | Problem:
    """Return the body of a request, or what to answer when it is too large or too slow."""
    most = MOST_BYTES[path]
    try:
        async with asyncio.timeout(BODY_S):
            body = await read(receive, most)
    except TimeoutError:
        rule = f"a body must be there within {BODY_S:g} seconds: send it at once"
        return Problem.of(HTTPStatus.REQUEST_TIMEOUT, rule)
    if body is None:
        rule = f"a request must hold at most {most} bytes: send it in several"
        return Problem.of(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule)
    return body


async def _parsed[T: (DecisionRequest, BatchRequest)](kind: type[T], body: bytes) -> T | Problem:
    if len(body) < LARGE:
        return _read(kind, body)
    return await asyncio.to_thread(_read, kind, body)


def _read[T: (DecisionRequest, BatchRequest)](kind: type[T], body: bytes) -> T | Problem:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        if (count := error.error_count()) > MOST_WRONG:
            rule = f"a request must keep its rules, got {count} that are broken: see /docs"
            return Problem.of(HTTPStatus.UNPROCESSABLE_ENTITY, rule)
        return Problem.invalid(error.errors(include_url=False, include_input=False))


def _item(outcome: Outcome | Wrong, clearance: Privacy | None) -> bytes:
    if isinstance(outcome, Wrong | Refusal):
        found = outcome.problem if isinstance(outcome, Wrong) else problems.of_refusal(outcome)
        return b'{"status":%d,"decision":null,"problem":%s}' % (found.status, found.to_bytes())
    told = fields.decision_bytes(outcome.body, clearance)
    return b'{"status":200,"decision":%s,"problem":null}' % told


def _timing(served: Served) -> tuple[bytes, bytes]:
    return b"server-timing", stages.server_timing(served.spent_ms).encode()


def _refused(problem: Problem, path: str) -> tuple[bytes, Headers]:
    """Return a refusal of the guard, as the protocol of its path has it."""
    more = [(b"www-authenticate", b"Bearer")] if problem.status == HTTPStatus.UNAUTHORIZED else []
    if path.startswith(problems.INFERENCE):
        return to_json({"error": problem.detail}), [_JSON, *more]
    return problem.to_bytes(), [*_headers(problem), *more]


def _headers(problem: Problem) -> Headers:
    kind = (b"content-type", MEDIA_TYPE.encode())
    is_busy = problem.status in (429, 503)
    return [kind, (b"retry-after", b"%d" % RETRY_AFTER_S)] if is_busy else [kind]


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": status, "headers": [*headers, length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
