"""From refusals and errors to problem documents (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match

from cluster.access.principal import Forbidden
from features.arrivals import TooMany
from serving.answer.gate import RETRY_AFTER_S
from serving.answer.questions import (
    KeyReused,
    NoModel,
    NotRecorded,
    Unchecked,
    Unknown,
    Withdrawn,
)
from serving.api.answers import INFERENCE
from serving.leading.orders import Moved, NotAnswered, NotBegun
from serving.simulations.words import (
    NoJobs,
    NoResult,
    NoSimulation,
    NotStopped,
    TooManySimulations,
)
from serving.wire.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

    from cluster.errors import Refusal

_STATUS: dict[type[Refusal], HTTPStatus] = {
    Forbidden: HTTPStatus.FORBIDDEN,
    Unknown: HTTPStatus.NOT_FOUND,
    NotAnswered: HTTPStatus.NOT_FOUND,
    NotBegun: HTTPStatus.NOT_FOUND,
    KeyReused: HTTPStatus.CONFLICT,
    Moved: HTTPStatus.CONFLICT,
    NoModel: HTTPStatus.SERVICE_UNAVAILABLE,
    NotRecorded: HTTPStatus.SERVICE_UNAVAILABLE,
    Unchecked: HTTPStatus.SERVICE_UNAVAILABLE,
    Withdrawn: HTTPStatus.FORBIDDEN,
    TooMany: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NoSimulation: HTTPStatus.NOT_FOUND,
    NoResult: HTTPStatus.CONFLICT,
    NotStopped: HTTPStatus.CONFLICT,
    TooManySimulations: HTTPStatus.TOO_MANY_REQUESTS,
    NoJobs: HTTPStatus.SERVICE_UNAVAILABLE,
}
# what a caller must tell from other problems of the same status
_TYPES: dict[type[Refusal], str] = {Withdrawn: "urn:funnelcast:problem:consent-withdrawn"}
_BUSY = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}


def add_handlers(api: FastAPI) -> None:
    """Let every error of an application be a problem document."""
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(Exception, _broken)


def of_refusal(refusal: Refusal) -> Problem:
    """Return why a request is refused."""
    status = _STATUS.get(type(refusal), HTTPStatus.UNPROCESSABLE_ENTITY)
    found = Problem.of(status, str(refusal))
    kind = _TYPES.get(type(refusal))
    return found.model_copy(update={"type": kind}) if kind else found


def response(problem: Problem) -> Response:
    """Return a problem as an answer; one that passes by itself says when to ask again."""
    busy = problem.status in _BUSY
    headers = {"retry-after": str(RETRY_AFTER_S)} if busy else None
    return Response(problem.to_bytes(), problem.status, headers, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of problems with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {s: {"description": HTTPStatus(s).phrase, "content": content} for s in statuses}


def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return response(Problem.invalid(found, skip=1))


def _http_error(request: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    detail = f"{request.method} {request.url.path}: {status.phrase.lower()}"
    found = _said(request, Problem.of(status, detail))
    found.headers.update(getattr(error, "headers", None) or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:  # the framework names those of one route alone
        found.headers["allow"] = ", ".join(_methods(request))
    return found


def _methods(request: Request) -> list[str]:
    """Return the methods of all routes of a path."""
    routes = iter_route_contexts(request.app.routes)
    of_path = (each for each in routes if each.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for each in of_path for method in each.methods or ()})


def _said(request: Request, problem: Problem) -> Response:
    """Return a problem as the protocol of its path has it."""
    if request.url.path.startswith(INFERENCE):
        return JSONResponse({"error": problem.detail}, problem.status)
    return response(problem)


def _broken(request: Request, error: Exception) -> Response:
    detail = f"{request.method} {request.url.path} failed: {type(error).__name__}; ask again later"
    return _said(request, Problem.of(HTTPStatus.INTERNAL_SERVER_ERROR, detail))
