"""The route of overrides. It waits for the journal on a thread beside the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic_core import to_json

from cluster.access.permissions import Permission
from cluster.errors import Refusal
from serving.access import rows
from serving.access.declared import TOLD_APART, needs
from serving.access.guard import principal_of
from serving.answer.overridden import Instead
from serving.answer.overriding import Overrides
from serving.api import bodies
from serving.api.bounds import RECORDED
from serving.api.decisions import none
from serving.api.problems import documented, of_refusal, response
from serving.api.reading import Id  # noqa: TC001 - read at run time by FastAPI
from serving.wire.overrides import OverriddenOut, OverrideRequest
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from cluster.access.principal import Principal
    from serving.answer.service import DecisionService


def router(service: DecisionService) -> APIRouter:
    """Return the route of overrides."""
    routes, overrides = APIRouter(tags=["decisions"]), Overrides(service.workspace)

    def kept(id: str, asked: OverrideRequest, who: Principal) -> Response:
        decided = service.recorded(id, rows.bound(who))
        if decided is None:
            return response(none(id))
        instead = Instead(route=asked.route, reason=asked.reason, actor=who.subject)
        found = overrides.keep(decided, instead)
        if isinstance(found, Refusal):
            return response(of_refusal(found))
        return Response(to_json(found), media_type="application/json")

    @routes.post(
        RECORDED + "{id}/override",
        responses={200: {"model": OverriddenOut}, **documented(404, 422, 503)},
        openapi_extra=bodies.described(OverrideRequest),
        summary="Say what was done instead of what a decision says",
    )
    @needs(Permission.DECISIONS_OVERRIDE, rows=TOLD_APART)
    async def override(id: Id, request: Request) -> Response:
        """Keep what a person did instead; durable before the answer. Said again it adds nothing;
        of several the newest counts.
        """
        asked = bodies.read(OverrideRequest, await request.body())
        if isinstance(asked, Problem):
            return response(asked)
        return await run_in_threadpool(kept, id, asked, principal_of(request.scope))

    return routes
