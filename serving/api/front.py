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

from starlette.routing import Match

from cluster.access.permissions import Permission
from cluster.errors import Refusal
from serving.access import fields, rows
from serving.access.guard import principal_of
from serving.answer import stages
from serving.api import problems
from serving.api.answers import JSON, Headers, Refused, answer, headers_of, refuse
from serving.api.bodies import read as _read
from serving.api.bounds import BODILESS, MANY, ONE
from serving.wire.base import IDEMPOTENCY_KEY
from serving.wire.decisions import BatchRequest, DecisionRequest, Wrong
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cluster.access.principal import Principal
    from cluster.access.privacy import Privacy
    from serving.access.guard import Guard
    from serving.answer.ticket import Outcome
    from serving.api.desk import Desk, Served
    from serving.api.limits import Inside, Limits

NEEDS = dict.fromkeys((ONE, MANY), Permission.DECISIONS_MAKE)
LARGE = 2**16  # bytes from which a body is parsed beside the loop
KEY = b"idempotency-key"
_KEY = re.compile(IDEMPOTENCY_KEY)
_BUSY = Refused.of(
    HTTPStatus.SERVICE_UNAVAILABLE, "more requests wait than can be answered in time"
)


class Front:
    """An ASGI application: the guard, the limits, the two hot routes, then `behind`."""

    def __init__(self, desk: Desk, behind: ASGIApp, guard: Guard, limits: Limits) -> None:
        self._desk = desk
        self._behind = behind
        self._guard = guard
        self._limits = limits
        # Serve looks here, route by route, for what it calls a request in its metrics
        self.routes = [*map(Hot, NEEDS), *getattr(behind, "routes", [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, if who sends it may ask that, and so much."""
        if scope["type"] != "http":
            await self._behind(scope, receive, send)
        elif (refused := await self._guard.admit(scope)) is not None:
            await refuse(send, _unknown(refused), scope["path"])
        elif isinstance(inside := self._limits.enter(scope), Refused):
            await refuse(send, inside, scope["path"])
        else:
            try:
                await self._admitted(inside, scope, receive, send)
            finally:
                self._limits.leave(inside)

    async def _admitted(self, inside: Inside, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in BODILESS:
            await self._behind(scope, receive, send)
            return
        body = await self._limits.body(inside, scope, receive)
        if isinstance(body, Refused):
            await refuse(send, body, scope["path"])
        elif self.is_hot(scope):
            await self._decide(scope, body, send)
        else:
            await self._behind(scope, _again(body, receive), send)

    async def _decide(self, scope: Scope, body: bytes, send: Send) -> None:
        if not self._desk.gate.enter():  # with its body: who is slow to send it keeps no place
            await refuse(send, _BUSY, scope["path"])
            return
        try:
            await answer(send, *await self._answer(scope, body))
        finally:
            self._desk.gate.leave()

    @staticmethod
    def is_hot(scope: Scope) -> bool:
        """Is this a request for decisions?"""
        return scope.get("path") in NEEDS and scope.get("method") == "POST"

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
        return asked.status, asked.to_bytes(), headers_of(asked)
    if key is not None and (wrong := _wrong_key(key, asked.idempotency_key)):
        found = Problem.of(HTTPStatus.UNPROCESSABLE_ENTITY, wrong)
        return found.status, found.to_bytes(), headers_of(found)
    if (most := desk.limits.decision_events) < len(asked.events):
        found = _too_many_events(most)
        return found.status, found.to_bytes(), headers_of(found)
    served = await desk.one(asked, key or asked.idempotency_key, began, rows.bound(who))
    if isinstance(served.outcome, Refusal):
        found = problems.of_refusal(served.outcome)
        return found.status, found.to_bytes(), [*headers_of(found), _timing(served)]
    replayed = [(b"idempotent-replayed", b"true")] if served.outcome.is_replayed else []
    told = fields.decision_bytes(served.outcome.body, fields.narrowed(who))
    return 200, told, [JSON, _timing(served), *replayed]


async def many(desk: Desk, body: bytes, who: Principal) -> tuple[int, bytes, Headers]:
    """Return status, bytes and headers of the answer to a batch."""
    asked = await _parsed(BatchRequest, body)
    if isinstance(asked, Problem):
        return asked.status, asked.to_bytes(), headers_of(asked)
    if (most := desk.limits.decisions) < len(asked.decisions):
        rule = f"a batch must hold at most {most} decisions: send it in several"
        wrong = Problem.of(HTTPStatus.UNPROCESSABLE_ENTITY, rule)
        return wrong.status, wrong.to_bytes(), headers_of(wrong)
    clearance, each_bounded = fields.narrowed(who), _each_bounded(asked, desk)
    outcomes = await desk.many(each_bounded, rows.bound(who))
    found = b",".join(_item(each, clearance) for each in outcomes)
    return 200, b'{"decisions":[' + found + b"]}", [JSON]


def _too_many_events(most: int) -> Problem:
    rule = f"events: a decision must have at most {most}: leave the oldest out"
    return Problem.of(HTTPStatus.UNPROCESSABLE_ENTITY, rule)


def _each_bounded(asked: BatchRequest, desk: Desk) -> BatchRequest:
    """Return a batch in which a decision of too many events is wrong, by itself."""
    most = desk.limits.decision_events
    if all(isinstance(each, Wrong) or len(each.events) <= most for each in asked.decisions):
        return asked
    wrong = Wrong(problem=_too_many_events(most))
    each_bounded = [
        wrong if isinstance(each, DecisionRequest) and len(each.events) > most else each
        for each in asked.decisions
    ]
    return asked.model_copy(update={"decisions": each_bounded})


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


async def _parsed[T: (DecisionRequest, BatchRequest)](kind: type[T], body: bytes) -> T | Problem:
    if len(body) < LARGE:
        return _read(kind, body)
    return await asyncio.to_thread(_read, kind, body)


def _item(outcome: Outcome | Wrong, clearance: Privacy | None) -> bytes:
    if isinstance(outcome, Wrong | Refusal):
        found = outcome.problem if isinstance(outcome, Wrong) else problems.of_refusal(outcome)
        return b'{"status":%d,"decision":null,"problem":%s}' % (found.status, found.to_bytes())
    told = fields.decision_bytes(outcome.body, clearance)
    return b'{"status":200,"decision":%s,"problem":null}' % told


def _timing(served: Served) -> tuple[bytes, bytes]:
    return b"server-timing", stages.server_timing(served.spent_ms).encode()


def _unknown(problem: Problem) -> Refused:
    """Return a refusal of the guard; who is not known hears how to say it."""
    is_unknown = problem.status == HTTPStatus.UNAUTHORIZED
    return Refused(problem, ((b"www-authenticate", b"Bearer"),) if is_unknown else ())


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read once more, and then what comes behind it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return left.pop() if left else await receive()

    return given
