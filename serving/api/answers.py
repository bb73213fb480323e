"""Answers of the front: status, bytes and headers, sent without a framework."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import to_json

from serving.access.sessions import PATH as PLANNER
from serving.answer.gate import RETRY_AFTER_S
from serving.planner import pages
from serving.wire.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from starlette.types import Send

type Headers = list[tuple[bytes, bytes]]

INFERENCE = "/v2"  # the Open Inference Protocol has errors of its own
JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")  # what is left of a body is not waited for
_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Refused(NamedTuple):
    """A request is answered with a problem, and these headers."""

    problem: Problem
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, status: HTTPStatus, detail: str, *headers: tuple[bytes, bytes]) -> Refused:
        """Return the refusal of a status."""
        return cls(Problem.of(status, detail), headers)


def headers_of(problem: Problem) -> Headers:
    """Return the headers of a problem: its type, and when to ask again where that helps."""
    kind = (b"content-type", MEDIA_TYPE.encode())
    again = [(b"retry-after", b"%d" % RETRY_AFTER_S)] if problem.status in _AGAIN else []
    return [kind, *again]


async def refuse(send: Send, refused: Refused, path: str) -> None:
    """Answer with a refusal, as the protocol of the path has it."""
    problem, more = refused
    own = [h for h in headers_of(problem) if h[0] not in dict(more)]
    if path == PLANNER or path.startswith(f"{PLANNER}/"):
        page = pages.refusal(problem, path).encode()
        await answer(send, problem.status, page, [*own[1:], *more, *pages.ENCODED])
    elif path.startswith(INFERENCE):
        own[0] = JSON
        await answer(send, problem.status, to_json({"error": problem.detail}), [*own, *more])
    else:
        await answer(send, problem.status, problem.to_bytes(), [*own, *more])


async def answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send an answer."""
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": status, "headers": [*headers, length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
