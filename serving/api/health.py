"""Health and readiness of one replica, and the metrics of all."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from cluster.access.permissions import Permission
from serving.access.declared import ANYBODY, needs
from serving.api import problems
from serving.observe.exposition import MEDIA_TYPE
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from serving.api.desk import Desk


def router(desk: Desk) -> APIRouter:
    """Return the routes of health."""
    routes = APIRouter(tags=["health"])
    service = desk.service

    @routes.get("/healthz", summary="Does the process live?")
    @needs(ANYBODY)
    async def alive() -> dict[str, str]:
        """Answer while the process lives."""
        return {"status": "alive"}

    @routes.get("/readyz", responses=problems.documented(503), summary="Can it answer?")
    @needs(ANYBODY)
    def ready() -> Any:
        """Answer 200 when a model is loaded for every kind and the database answers."""
        why = service.unready()
        if why:
            return problems.response(Problem.of(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(why)))
        models = {kind: slot.basis.model for kind, slot in service.slots.by_kind.items()}
        return {"status": "ready", "models": models}

    @routes.get("/metrics", response_class=PlainTextResponse, summary="What all replicas did")
    @needs(Permission.METRICS_READ)
    def metrics() -> PlainTextResponse:
        """Return meters of all replicas and jobs of this workspace in Prometheus' text format."""
        return PlainTextResponse(service.readings.text(), media_type=MEDIA_TYPE)

    return routes
