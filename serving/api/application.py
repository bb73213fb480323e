"""The HTTP application: the front, and behind it the API with its pages and its description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi_offline import FastAPIOffline

from serving.access.counted import Counted
from serving.access.credentials import Credentials
from serving.access.declared import Declared
from serving.access.guard import Guard
from serving.api import (
    decisions,
    events,
    flags,
    front,
    health,
    inference,
    overriding,
    problems,
    reading,
    releasing,
    simulations,
)
from serving.api.description import describe
from serving.api.desk import Desk
from serving.api.limits import Limits
from serving.api.observed import Observed
from serving.planner import routes as planner
from serving.releases.flags import declared
from serving.simulations.service import Simulations
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from fastapi import FastAPI

    from serving.answer.service import DecisionService
    from serving.api.front import Front

VERSION = "1.0.0"


AT_THIS_MACHINE = Credentials(required=False)


def make_application(
    service: DecisionService,
    asks: Credentials = AT_THIS_MACHINE,
    planning: Simulations | None = None,
) -> Front:
    """Return the ASGI application that answers from `service` whom `asks` believes; `planning` runs
    its simulations, by default on the cluster of this process.
    """
    desk = Desk(service)
    api = make_api(desk, asks, planning)
    guard = Guard(
        credentials=Counted.of(asks, service.watch.tallies),
        declared=Declared(api.routes),
        hot=front.NEEDS,
        clock=service.workspace.clock,
    )
    return Observed(desk, api, guard, Limits(service.workspace.settings.serve.limits))


def make_api(
    desk: Desk, asks: Credentials = AT_THIS_MACHINE, planning: Simulations | None = None
) -> FastAPI:
    """Return every route of the API; its pages need no other host."""
    api: FastAPI = FastAPIOffline(
        title="Funnelcast decisions",
        version=VERSION,
        description="Calibrated scores, reasons and routes for leads, opportunities and accounts.",
        responses={500: {"model": Problem, "content": {"application/problem+json": {}}}},
    )
    place = desk.service.workspace
    planning = planning or Simulations(place)
    desk.service.readings.add("simulations", planning.facts)
    problems.add_handlers(api)
    api.include_router(decisions.router(desk))
    api.include_router(overriding.router(desk.service))
    api.include_router(events.router(desk.service))
    api.include_router(reading.router(desk.service))
    api.include_router(flags.router(desk.service, declared()))
    api.include_router(releasing.router(desk.service))
    api.include_router(simulations.router(planning, place.clock))
    api.include_router(inference.router(desk.service))
    api.include_router(health.router(desk))
    api.include_router(planner.router(place, asks, planning))
    describe(api)
    return api
