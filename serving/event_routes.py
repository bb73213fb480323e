"""`POST /v1/events`: CloudEvents in, and of each what became of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Request  # noqa: TC002 - read at run time by FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from cluster.errors import Refusal
from features.arrivals import MOST_BYTES, TooMany
from serving.schemas import ArrivalsOut, Problem

if TYPE_CHECKING:
    from fastapi import FastAPI

    from serving.service import DecisionService

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
PROBLEM_TYPE = "application/problem+json"
_PROBLEM: dict[str, Any] = {"model": Problem, "content": {PROBLEM_TYPE: {}}}
_EXAMPLE = {
    "specversion": "1.0",
    "id": "visit-7",
    "source": "/website",
    "type": "funnelcast.touch.pricing_visit",
    "time": "2026-02-01T09:30:00Z",
    "data": {"lead": "lead-00042", "account": "account-00007", "number": 40},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            ONE: {"schema": {"type": "object"}, "example": _EXAMPLE},
            BATCH: {"schema": {"type": "array"}, "example": [_EXAMPLE]},
        },
    }
}


def add_events(api: FastAPI, service: DecisionService) -> None:
    """Add the route to the application."""

    @api.post(
        "/v1/events",
        response_model=ArrivalsOut,
        responses=dict.fromkeys((400, 413, 415), _PROBLEM),
        openapi_extra=_BODY,
        tags=["events"],
        summary="Take in events as they happen",
    )
    async def arrive(request: Request) -> Any:
        """Take in one CloudEvent or a batch of up to 1,000; durable and visible to decisions when
        answered, and sending the same again changes nothing.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {ONE, BATCH}:
            detail = f"the content type must be {ONE} or {BATCH}, got '{kind[:80]}'"
            return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        body = await _body(request)
        if body is None:
            detail = f"a request must hold at most {MOST_BYTES} bytes: send it in several"
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        outcome = await run_in_threadpool(service.arrive, body, is_batch=kind == BATCH)
        if isinstance(outcome, Refusal):
            return problem(_status(outcome), str(outcome))
        return ArrivalsOut.of(outcome)


def problem(status: HTTPStatus, detail: str) -> JSONResponse:
    """Return a problem document."""
    body = Problem(title=status.phrase, status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, media_type=PROBLEM_TYPE)


async def _body(request: Request) -> bytes | None:
    """Return the body; None as soon as it is larger than may be."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _status(refusal: Refusal) -> HTTPStatus:
    is_large = isinstance(refusal, TooMany)
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if is_large else HTTPStatus.BAD_REQUEST
