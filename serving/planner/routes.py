"""Routes of the planner's page: everything that is asked and answered below /planner.

Handlers run on threads beside the event loop. A form is looked at by `_Desk.taken` before anything
else: there is no other way to a POST.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from cluster.access.permissions import Permission
from serving.access.declared import ANYBODY, needs
from serving.access.sessions import PATH
from serving.planner import desk, downloads, pages, signing
from serving.planner.asked import Asked
from serving.planner.desk import Desk, html, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.workspace import Workspace
    from serving.access.credentials import Credentials
    from serving.simulations.service import Simulations

    type Handler = Callable[[Desk, Asked, str], Response]

MAY = Permission.FORECASTS_RUN
ID = "/simulations/{id}"

SHOWN: dict[str, Handler] = {
    "": desk.home,
    "/new": desk.new,
    "/drafts/{id}": desk.draft,
    "/evidence/{id}": desk.evidence,
    ID: desk.simulation,
    ID + "/progress": desk.progress,
    ID + "/again": desk.again,
    ID + "/result.json": downloads.as_json,
    ID + "/result.csv": downloads.as_csv,
    ID + "/result.parquet": downloads.as_parquet,
    ID + "/question.yaml": downloads.as_yaml,
}
TAKEN: dict[str, Handler] = {
    "/edit": desk.edit,
    "/run": desk.run,
    "/drafts/{id}/drop": desk.drop,
    ID + "/stop": desk.stop,
    ID + "/share": desk.share,
}


def router(workspace: Workspace, credentials: Credentials, simulations: Simulations) -> APIRouter:
    """Return the routes of the planner's page; `credentials` say whose key one is, to sign in."""
    routes = APIRouter(prefix=PATH, include_in_schema=False)
    made = Desk.over(workspace, credentials, simulations)
    for place, show in SHOWN.items():
        _add_show(routes, made, place, show)
    for place, take in TAKEN.items():
        _add_take(routes, made, place, take)
    _add_signing(routes, made)
    _add_files(routes)
    return routes


def _add_show(routes: APIRouter, made: Desk, place: str, show: Handler) -> None:
    @needs(MAY)
    def shown(request: Request) -> Response:
        asked = Asked(scope=request.scope, sessions=made.sessions)
        return show(made, asked, request.path_params.get("id", ""))

    routes.add_api_route(place, shown, methods=["GET"], response_model=None)


def _add_take(routes: APIRouter, made: Desk, place: str, take: Handler) -> None:
    @needs(MAY)
    async def taken(request: Request) -> Response:
        return await _taken(made, take, request)

    routes.add_api_route(place, taken, methods=["POST"], response_model=None)


async def _taken(made: Desk, take: Handler, request: Request) -> Response:
    """Take a form, if it is one of ours."""
    body = await request.body()
    asked = Asked(scope=request.scope, sessions=made.sessions, body=body)
    if (why := asked.refused()) is not None:
        return refused(why, HTTPStatus.BAD_REQUEST)
    return await run_in_threadpool(take, made, asked, request.path_params.get("id", ""))


def _add_signing(routes: APIRouter, made: Desk) -> None:
    @routes.get("/sign-in", response_model=None)
    @needs(ANYBODY)
    def form(request: Request) -> Response:
        return html(pages.rendered("sign_in", problem="", next=PATH, **pages.NOBODY))

    @routes.post("/sign-in", response_model=None)
    @needs(ANYBODY)
    async def enter(request: Request) -> Response:
        asked = Asked(scope=request.scope, sessions=made.sessions, body=await request.body())
        return await run_in_threadpool(signing.entered, made, asked)

    @routes.post("/sign-out", response_model=None)
    @needs(ANYBODY)
    async def leave(request: Request) -> Response:
        asked = Asked(scope=request.scope, sessions=made.sessions, body=await request.body())
        return await run_in_threadpool(signing.left, made, asked)


def _add_files(routes: APIRouter) -> None:
    @routes.get("/static/{name}", response_model=None)
    @needs(ANYBODY)
    def file(name: str) -> Response:
        found = pages.files().get(name)
        if found is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        headers: dict[str, Any] = pages.STATIC_HEADERS
        return Response(found.content, headers=headers, media_type=found.kind)
