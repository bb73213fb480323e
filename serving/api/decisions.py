"""Decisions through the framework: declares what the front answers, and answers the rest."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Header, Path, Request, Response

from cluster.access.permissions import Permission
from serving.access import fields, rows
from serving.access.declared import TOLD_APART, needs
from serving.access.guard import principal_of
from serving.answer.overriding import Overrides
from serving.api import bounds, front, problems
from serving.wire.decisions import (
    BatchOut,
    BatchRequest,
    DecisionOut,
    DecisionRequest,
    ReplayOut,
)
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from serving.api.answers import Headers
    from serving.api.desk import Desk

_ID = Path(min_length=1, max_length=200, description="Of a decision.")
_KEY = Header(default=None, description="Two requests of one key are one decision.")
_JSON = "application/json"


def router(desk: Desk) -> APIRouter:
    """Return the routes of decisions."""
    routes = APIRouter(tags=["decisions"])
    _add_hot(routes, desk)
    _add_recorded(routes, desk)
    return routes


def _add_hot(routes: APIRouter, desk: Desk) -> None:
    @routes.post(
        bounds.ONE,
        response_model=DecisionOut,
        responses=problems.documented(403, 404, 409, 413, 422, 503),
        summary="Score and route one lead, opportunity or account",
    )
    @needs(Permission.DECISIONS_MAKE, rows=TOLD_APART)
    async def decide(
        asked: DecisionRequest, request: Request, idempotency_key: str | None = _KEY
    ) -> Response:
        """Score and route one lead, opportunity or account (its best open lead). The record is
        durable before the answer; the answer comes within the deadline, of the rules if it must.
        """
        body = asked.model_dump_json().encode()
        who = principal_of(request.scope)
        return _response(*await front.one(desk, body, idempotency_key, perf_counter(), who))

    @routes.post(
        bounds.MANY,
        response_model=BatchOut,
        responses=problems.documented(413, 422, 503),
        summary="Score and route many",
    )
    @needs(Permission.DECISIONS_MAKE, rows=TOLD_APART)
    async def decide_many(asked: BatchRequest, request: Request) -> Response:
        """Score and route up to 1,000, each answered by itself and in order."""
        body, who = asked.model_dump_json().encode(), principal_of(request.scope)
        return _response(*await front.many(desk, body, who))


def _add_recorded(routes: APIRouter, desk: Desk) -> None:
    service, overrides = desk.service, Overrides(desk.service.workspace)

    @routes.get(
        "/v1/decisions/{id}",
        response_model=DecisionOut,
        responses=problems.documented(404, 422),
        summary="Return a decision as it was recorded",
    )
    @needs(Permission.DECISIONS_READ, rows=TOLD_APART)
    def recorded(request: Request, id: str = _ID) -> Response:
        """Return a decision as it was recorded, and what a person did last instead."""
        who = principal_of(request.scope)
        body = service.recorded(id, rows.bound(who))
        if body is None:
            return problems.response(none(id))
        body = {**body, "overridden": overrides.newest(id)}
        return Response(fields.decision_bytes(body, fields.narrowed(who)), media_type=_JSON)

    @routes.get(
        "/v1/decisions/{id}/replay",
        response_model=ReplayOut,
        responses=problems.documented(404, 422),
        summary="Make a decision once more",
    )
    @needs(Permission.DECISIONS_REPLAY, rows=TOLD_APART)
    def replayed(request: Request, id: str = _ID) -> Any:
        """Make a decision once more from the versions, events and times that its record names."""
        who = principal_of(request.scope)
        body = service.recorded(id, rows.bound(who))
        if body is None:
            return problems.response(none(id))
        found = service.replayed(body)
        return {
            "id": id,
            "equal": found.is_equal,
            "differs": found.differs,
            "gone": found.gone,
            "decision": found.body and fields.decision(found.body, fields.narrowed(who)),
        }


def none(id: str) -> Problem:
    """Return that no decision has an id, or none for these eyes."""
    return Problem.of(404, f"no decision has the id '{id[:80]}': check it")


def _response(status: int, body: bytes, headers: Headers) -> Response:
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})
