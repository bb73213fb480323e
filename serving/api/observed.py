"""The outermost layer: begins the trip of each request, and tells what came of it.

It knows nothing of decisions; whoever makes them tells of them on the way (`serving.answer.watch`).
"""

from __future__ import annotations

import time
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any

from serving.answer.watch import traced
from serving.api.front import Front
from serving.observe import context, lines, meters, trip
from serving.observe.traces import Work
from serving.wire.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from serving.answer.watch import Watch
    from serving.observe.context import Context

METHODS = frozenset(HTTPMethod)
NONE, CUT_OFF = "none", 499  # route of a path that is not there; status of a caller who left
_BROKEN = Problem.of(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed; ask again later")


class Observed(Front):
    """The front, watched."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        hot = scope["path"] if self.is_hot(scope) else None
        one = _Request(self._desk.service.watch, scope, send, hot)
        try:
            await super().__call__(scope, receive, one.send)
        except Exception as error:  # whoever is outside would tell its words, which quote anything
            await one.broke(error)
        finally:
            one.end()


class _Request:
    """One request on its way out."""

    def __init__(self, watch: Watch, scope: Scope, send: Send, hot: str | None) -> None:
        self._watch, self._scope, self._send = watch, scope, send
        self._began = time.time_ns(), time.perf_counter()
        self._status = 0
        self._hot = hot
        self._parent = _parent(scope)
        self._trip = trip.begin(self._beginning())

    async def send(self, message: Message) -> None:
        """Pass a message on, with the trace in the head of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._watch.traces is not None:
                header = (b"traceparent", str(self._trip.context).encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
        await self._send(message)

    async def broke(self, error: Exception) -> None:
        """Tell of an error, and answer if nobody has."""
        self._watch.lines.say(
            lines.ERROR,
            "request failed",
            {"route": self._route(), **lines.failure(error), **traced(self._trip)},
        )
        self._trip.is_told = True
        if not self._status:
            body = _BROKEN.to_bytes()
            head = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            await self.send({"type": "http.response.start", "status": status, "headers": head})
            await self.send({"type": "http.response.body", "body": body})

    def end(self) -> None:
        """Count it, and tell of a refusal that nobody told of."""
        where, status = self._route(), self._status or CUT_OFF
        self._watch.tallies.add(meters.REQUESTS, where, str(status))
        took_ms = (time.perf_counter() - self._began[1]) * 1000
        if status >= HTTPStatus.BAD_REQUEST and not self._trip.is_told:
            level = lines.INFO if status < HTTPStatus.INTERNAL_SERVER_ERROR else lines.ERROR
            said = {"route": where, "status": status, "ms": {"total": took_ms}}
            self._watch.lines.say(level, "refusal", said | traced(self._trip))
        self._tell(where, status, took_ms)

    def _tell(self, where: str, status: int, took_ms: float) -> None:
        at = self._trip.context
        if self._watch.traces is None or at is None:
            return
        method = self._scope["method"] if self._scope["method"] in METHODS else "_OTHER"
        said: dict[str, Any] = {"http.route": where, "http.response.status_code": int(status)}
        self._watch.traces.tell(
            Work(
                name=f"{method} {where}",
                context=at,
                parent=self._parent,
                began_ns=self._began[0],
                took_ms=took_ms,
                attributes=said | {"http.request.method": method},
                failed=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
                is_server=True,
            )
        )

    def _route(self) -> str:
        """Return the pattern that it came in by, not its path: that may name somebody."""
        return self._hot or getattr(self._scope.get("route"), "path", None) or NONE

    def _beginning(self) -> Context | None:
        traces = self._watch.traces
        return self._parent if traces is None else traces.begin(self._parent)


def _parent(scope: Scope) -> Context | None:
    sent = [value for name, value in scope["headers"] if name == b"traceparent"]
    return context.read(sent[0].decode("latin-1")) if len(sent) == 1 else None
