"""Routes of simulations: what planners ask of the forecast, how far it is, and what came out.

Handlers run on threads beside the event loop: they wait for the database and the cluster. Forecasts
are sums over all rows, so who is bound to some is not let in.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from cluster.access.permissions import Permission
from cluster.errors import Refusal
from serving.access.declared import ALL, needs
from serving.access.guard import principal_of
from serving.api import bodies
from serving.api.bounds import SIMULATIONS
from serving.api.problems import documented, of_refusal, response
from serving.api.reading import Id  # noqa: TC001 - read at run time by FastAPI
from serving.simulations import exported
from serving.simulations.words import TooManySimulations
from serving.wire.problems import Problem
from serving.wire.simulations import (
    MOST_LISTED,
    SimulationOut,
    SimulationRequest,
    SimulationResultOut,
    SimulationsOut,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from cluster.access.principal import Principal
    from cluster.workspace import Clock
    from serving.simulations.service import Simulations

LISTED = 50  # of a list that says no limit
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TEXT = {"schema": {"type": "string"}}
_LOCATION = {"Location": {"description": "Where to ask.", "schema": {"type": "string"}}}
Most = Annotated[int, Query(ge=1, le=MOST_LISTED)]


def router(simulations: Simulations, clock: Clock) -> APIRouter:
    """Return the routes of simulations."""
    routes = APIRouter(tags=["simulations"])
    _add_submit(routes, simulations, clock)
    _add_reads(routes, simulations)
    _add_results(routes, simulations)
    _add_orders(routes, simulations)
    return routes


def _add_submit(routes: APIRouter, simulations: Simulations, clock: Clock) -> None:
    def submitted(asked: SimulationRequest, who: Principal) -> Response:
        found = simulations.submit(asked, who, clock())
        if isinstance(found, Refusal):
            return _refused(found)
        status = HTTPStatus.OK if found.unchanged else HTTPStatus.ACCEPTED
        headers = {"location": f"{SIMULATIONS}/{found.id}"}
        return Response(found.model_dump_json(), status, headers, "application/json")

    described: dict[int | str, dict[str, Any]] = {
        200: {"model": SimulationOut, "headers": _LOCATION, "description": "It is done already."},
        202: {"model": SimulationOut, "headers": _LOCATION, "description": "It is under way."},
    }

    @routes.post(
        SIMULATIONS,
        responses={**described, **documented(422)},
        openapi_extra=bodies.described(SimulationRequest),
        summary="Simulate scenarios side by side",
    )
    @needs(Permission.FORECASTS_RUN, rows=ALL)
    async def submit(request: Request) -> Response:
        """Start a job of the cluster, once what is asked is found right; ask its `Location` how far
        it is. The same question to the same log is answered by the result there is (200), or joins
        the job that is under way. A planner may start so many within a day, and have so many under
        way (429).
        """
        body, who = await request.body(), principal_of(request.scope)
        asked = bodies.read(SimulationRequest, body)
        if isinstance(asked, Problem):
            return response(asked)
        return await run_in_threadpool(submitted, asked, who)


def _add_reads(routes: APIRouter, simulations: Simulations) -> None:
    @routes.get(
        SIMULATIONS,
        responses={200: {"model": SimulationsOut}, **documented(422)},
        summary="Return your simulations, the newest first",
    )
    @needs(Permission.FORECASTS_RUN, rows=ALL)
    def listed(request: Request, limit: Most = LISTED) -> Response:
        """Return what the credential asked for; of everybody, for who may manage forecasts."""
        return _told(SimulationsOut(simulations=simulations.listed(_who(request), limit)))

    @routes.get(
        SIMULATIONS + "/{id}",
        responses={200: {"model": SimulationOut}, **documented(404, 422)},
        summary="Return how far a simulation is",
    )
    @needs(Permission.FORECASTS_RUN, rows=ALL)
    def one(id: Id, request: Request) -> Response:
        """Return a simulation; one that failed says why, and what to do about it."""
        return _told(simulations.get(id, _who(request)))


def _add_results(routes: APIRouter, simulations: Simulations) -> None:
    @routes.get(
        SIMULATIONS + "/{id}/result",
        responses={200: {"model": SimulationResultOut}, **documented(404, 409, 422)},
        summary="Return what came out",
    )
    @needs(Permission.FORECASTS_RUN, rows=ALL)
    def result(id: Id, request: Request) -> Response:
        """Return scenarios side by side; 409 while there is no result."""
        found = simulations.result_bytes(id, _who(request))
        if isinstance(found, Refusal):
            return _refused(found)
        return Response(found, media_type="application/json")

    for ending, kind, schema in (("csv", CSV, _TEXT), ("parquet", PARQUET, _BINARY)):
        _add_export(routes, simulations, ending, {kind: schema})


def _add_export(
    routes: APIRouter, simulations: Simulations, ending: str, content: dict[str, Any]
) -> None:
    written = {"csv": exported.csv, "parquet": exported.parquet}[ending]
    (kind,) = content

    @routes.get(
        SIMULATIONS + "/{id}/result." + ending,
        response_class=Response,
        responses={200: {"content": content}, **documented(404, 409, 422)},
        operation_id=f"result_{ending}",
        summary=f"Return the bands of a result as {ending.upper()}",
    )
    @needs(Permission.FORECASTS_RUN, rows=ALL)
    def export(id: Id, request: Request) -> Response:
        """Return one row per scenario, measure (`won`, `value_cents`, and `gain_cents` against what
        it is compared with) and step, cumulative: mean and quantiles.
        """
        found = simulations.result(id, _who(request))
        if isinstance(found, Refusal):
            return _refused(found)
        headers = {"content-disposition": f'attachment; filename="simulation-{id[:12]}.{ending}"'}
        return Response(written(found), headers=headers, media_type=kind)


def _add_orders(routes: APIRouter, simulations: Simulations) -> None:
    @routes.post(
        SIMULATIONS + "/{id}/cancel",
        responses={200: {"model": SimulationOut}, **documented(404, 409, 422)},
        summary="Stop a simulation",
    )
    @needs(Permission.FORECASTS_RUN, rows=ALL)
    def cancel(id: Id, request: Request) -> Response:
        """Stop a simulation and its job; 409 for one that is over, or that others wait for."""
        return _told(simulations.cancel(id, _who(request)))

    @routes.post(
        SIMULATIONS + "/{id}/share",
        responses={200: {"model": SimulationOut}, **documented(404, 422)},
        summary="Show a simulation to other planners",
    )
    @needs(Permission.FORECASTS_RUN, rows=ALL)
    def share(id: Id, request: Request) -> Response:
        """Let everybody who may run forecasts and knows its id see it."""
        return _told(simulations.share(id, _who(request)))


def _who(request: Request) -> Principal:
    return principal_of(request.scope)


def _told(said: BaseModel | Refusal) -> Response:
    if isinstance(said, Refusal):
        return _refused(said)
    return Response(said.model_dump_json(), media_type="application/json")


def _refused(refusal: Refusal) -> Response:
    found = response(of_refusal(refusal))
    if isinstance(refusal, TooManySimulations):
        found.headers["retry-after"] = str(refusal.again_s)
    return found
