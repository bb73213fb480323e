"""The HTTP API: routes, status codes and problem documents (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from cluster.errors import Refusal
from serving.event_routes import add_events, problem
from serving.schemas import DecisionOut, DecisionRequest, Problem
from serving.service import NoModel, Unknown

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse

    from serving.service import DecisionService

VERSION = "1.0.0"
_PROBLEM: dict[str, Any] = {"model": Problem, "content": {"application/problem+json": {}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {404: _PROBLEM, 422: _PROBLEM, 503: _PROBLEM}


def make_api(service: DecisionService) -> FastAPI:
    """Return the ASGI application that answers from `service`; its pages need no other host."""
    api: FastAPI = FastAPIOffline(
        title="Funnelcast decisions",
        version=VERSION,
        description="Calibrated scores, reasons and routes for leads, opportunities and accounts.",
    )
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(Exception, _broken)
    _add_decisions(api, service)
    add_events(api, service)
    _add_health(api, service)
    return api


def _add_decisions(api: FastAPI, service: DecisionService) -> None:
    @api.post(
        "/v1/decisions",
        response_model=DecisionOut,
        responses=_PROBLEMS,
        tags=["decisions"],
        summary="Score and route one lead, opportunity or account",
    )
    def decide(request: DecisionRequest) -> Any:
        """Score and route one lead, opportunity or account (its best open lead); recorded before
        the answer.
        """
        outcome = service.decide(request.question())
        if isinstance(outcome, Refusal):
            return problem(_status(outcome), str(outcome))
        return DecisionOut.of(outcome)

    @api.get(
        "/v1/decisions/{id}",
        response_model=DecisionOut,
        responses={404: _PROBLEM, 422: _PROBLEM},
        tags=["decisions"],
        summary="Return a decision as it was recorded",
    )
    def recorded(id: str) -> Any:
        """Return a decision as it was recorded."""
        record = service.recorded(id)
        if record is None:
            return problem(HTTPStatus.NOT_FOUND, f"no decision has the id '{id[:80]}'")
        return DecisionOut.from_record(record)


def _add_health(api: FastAPI, service: DecisionService) -> None:
    @api.get("/healthz", tags=["health"], summary="Does the process live?")
    def alive() -> dict[str, str]:
        """Answer while the process lives."""
        return {"status": "alive"}

    @api.get(
        "/readyz",
        responses={503: _PROBLEM},
        tags=["health"],
        summary="Can it answer?",
    )
    def ready() -> Any:
        """Answer 200 when every configured model is loaded and the database answers."""
        missing = service.ready()
        if missing:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(missing))
        return {"status": "ready", "models": {k: s.basis.model for k, s in service.slots.items()}}


def _status(refusal: Refusal) -> HTTPStatus:
    if isinstance(refusal, Unknown):
        return HTTPStatus.NOT_FOUND
    if isinstance(refusal, NoModel):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.UNPROCESSABLE_ENTITY


def _invalid(request: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ())[1:]) or "body"
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{place}: {first.get('msg', 'invalid')}")


def _http_error(request: Request, error: Exception) -> JSONResponse:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    return problem(status, f"{request.method} {request.url.path}: {status.phrase.lower()}")


def _broken(request: Request, error: Exception) -> JSONResponse:
    detail = f"{request.method} {request.url.path} failed: {type(error).__name__}; ask again later"
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
