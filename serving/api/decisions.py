"""Decisions through the framework: declares what the front answers, and answers the rest."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Header, Path, Response

from cluster.access.permissions import Permission
from serving.access.declared import needs
from serving.api import bounds, front, problems
from serving.wire.decisions import (
    BatchOut,
    BatchRequest,
    DecisionOut,
    DecisionRequest,
    ReplayOut,
)
from serving.wire.problems import Problem
from serving.wire.records import answer, answer_bytes

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
        responses=problems.documented(404, 409, 413, 422, 503),
        summary="Score and route one lead, opportunity or account",
    )
    @needs(Permission.DECISIONS_MAKE)
    async def decide(asked: DecisionRequest, idempotency_key: str | None = _KEY) -> Response:
        """Score and route one lead, opportunity or account (its best open lead). The record is
        durable before the answer; the answer comes within the deadline, of the rules if it must.
        """
        body = asked.model_dump_json().encode()
        return _response(*await front.one(desk, body, idempotency_key, perf_counter()))

    @routes.post(
        bounds.MANY,
        response_model=BatchOut,
        responses=problems.documented(413, 422, 503),
        summary="Score and route many",
    )
    @needs(Permission.DECISIONS_MAKE)
    async def decide_many(asked: BatchRequest) -> Response:
        """Score and route up to 1,000, each answered by itself and in order."""
        return _response(*await front.many(desk, asked.model_dump_json().encode()))


def _add_recorded(routes: APIRouter, desk: Desk) -> None:
    service = desk.service

    @routes.get(
        "/v1/decisions/{id}",
        response_model=DecisionOut,
        responses=problems.documented(404, 422),
        summary="Return a decision as it was recorded",
    )
    @needs(Permission.DECISIONS_READ)
    def recorded(id: str = _ID) -> Response:
        """Return a decision as it was recorded."""
        body = service.recorded(id)
        if body is None:
            return problems.response(_none(id))
        return Response(answer_bytes(body), media_type=_JSON)

    @routes.get(
        "/v1/decisions/{id}/replay",
        response_model=ReplayOut,
        responses=problems.documented(404, 422),
        summary="Make a decision once more",
    )
    @needs(Permission.DECISIONS_REPLAY)
    def replayed(id: str = _ID) -> Any:
        """Make a decision once more from the versions, events and times that its record names."""
        body = service.recorded(id)
        if body is None:
            return problems.response(_none(id))
        found = service.replayed(body)
        return {
            "id": id,
            "equal": found.is_equal,
            "differs": found.differs,
            "gone": found.gone,
            "decision": answer(found.body) if found.body else None,
        }


def _none(id: str) -> Problem:
    return Problem.of(404, f"no decision has the id '{id[:80]}': check it")


def _response(status: int, body: bytes, headers: Headers) -> Response:
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})
