"""`POST /v1/events`: CloudEvents in, and of each what became of it."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from cluster.access.permissions import Permission
from cluster.errors import Refusal
from serving.access import rows
from serving.access.declared import TOLD_APART, needs
from serving.access.guard import principal_of
from serving.api import problems
from serving.api.bounds import EVENTS
from serving.wire.events import BATCH, EXAMPLE, ONE, ArrivalsOut, OutcomeOut
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.arrivals import Outcome
    from serving.answer.service import DecisionService

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            ONE: {"schema": {"type": "object"}, "example": EXAMPLE},
            BATCH: {"schema": {"type": "array"}, "example": [EXAMPLE]},
        },
    }
}


def router(service: DecisionService) -> APIRouter:
    """Return the route of events."""
    routes = APIRouter(tags=["events"])

    @routes.post(
        EVENTS,
        response_model=ArrivalsOut,
        responses=problems.documented(400, 403, 413, 415),
        openapi_extra=_BODY,
        summary="Take in events as they happen",
    )
    @needs(Permission.EVENTS_WRITE, rows=TOLD_APART)
    async def arrive(request: Request) -> Any:
        """Take in one CloudEvent or a batch of up to 1,000; durable and visible to decisions when
        answered, and sending the same again changes nothing.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await request.body()  # as large and of the type that the limits let pass
        eyes = rows.bound(principal_of(request.scope))
        outcome = await run_in_threadpool(service.arrive, body, is_batch=kind == BATCH, eyes=eyes)
        service.watch.arrived(outcome)
        return _refused(outcome) if isinstance(outcome, Refusal) else _said(outcome)

    return routes


def _problem(status: HTTPStatus, detail: str) -> Any:
    return problems.response(Problem.of(status, detail))


def _refused(refusal: Refusal) -> Any:
    found = problems.of_refusal(refusal)
    is_own = found.status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.FORBIDDEN)
    return _problem(HTTPStatus(found.status) if is_own else HTTPStatus.BAD_REQUEST, str(refusal))


def _said(outcomes: Sequence[Outcome]) -> ArrivalsOut:
    counts = Counter(outcome.status for outcome in outcomes)
    return ArrivalsOut(
        accepted=counts["accepted"],
        duplicate=counts["duplicate"],
        refused=counts["refused"],
        events=[OutcomeOut(**vars(outcome)) for outcome in outcomes],
    )
