"""Routes of the Open Inference Protocol, version 2, as KServe's and Triton's clients call them.

A model is a target, its version the id of the live model. Errors are `{"error": ...}`, as the
protocol has them. Work is done on threads beside the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from cluster.access.permissions import Permission
from cluster.errors import FunnelcastError
from serving.access.declared import ANYBODY, NONE, needs
from serving.api import messages
from serving.model import SignatureMismatch
from serving.reading import inference
from serving.reading.tensors import TensorBroken, shown
from serving.wire.inference import (
    InferErrorOut,
    InferOut,
    LiveOut,
    ModelMetaOut,
    ModelReadyOut,
    ServerMetaOut,
    ServerReadyOut,
)

if TYPE_CHECKING:
    from serving.slots.active import Slots
    from serving.slots.slot import Slot

NAME, VERSION = "funnelcast", "2"
_EXAMPLES = {"name": "lead_qualification", "version": "6b485a31"}
_ERROR: dict[str, Any] = {"model": InferErrorOut}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
        "description": "`InferRequest`: one tensor of shape [n] per feature, FP64 or BYTES, or one"
        " tensor `features` of shape [n, f].",
    }
}


class Service(Protocol):
    """What answers."""

    @property
    def slots(self) -> Slots:
        """What answers now."""


class _Refused(Exception):
    """A request gets no answer but this."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def router(service: Service) -> APIRouter:
    """Return the routes under /v2."""
    routes = APIRouter(prefix="/v2", tags=["open inference protocol"])
    _add_server(routes, service)
    for path in ("/models/{name}", "/models/{name}/versions/{version}"):
        _add_model(routes, service, path)
    return routes


def _add_server(routes: APIRouter, service: Service) -> None:
    @routes.get("", responses={200: {"model": ServerMetaOut}}, summary="Describe the service")
    @needs(ANYBODY)
    def server() -> Response:
        return _json({"name": NAME, "version": VERSION, "extensions": [messages.EXTENSION]})

    @routes.get("/health/live", responses={200: {"model": LiveOut}}, summary="Does it live?")
    @needs(ANYBODY)
    def live() -> Response:
        return _json({"live": True})

    @routes.get(
        "/health/ready",
        responses={200: {"model": ServerReadyOut}, 503: {"model": ServerReadyOut}},
        summary="Do all models answer?",
    )
    @needs(ANYBODY)
    def ready() -> Response:
        is_ready = not service.slots.missing
        return _json({"ready": is_ready}, _status(is_ready))


def _add_model(routes: APIRouter, service: Service, path: str) -> None:
    @routes.get(
        path,
        responses={200: {"model": ModelMetaOut}, 404: _ERROR},
        openapi_extra=_placeholders(path),
        summary="Describe a model: its inputs and outputs",
    )
    @needs(Permission.MODELS_READ, rows=NONE)
    def describe(request: Request) -> Response:
        return _answered(lambda: _json(_described(_slot(service, request))))

    @routes.get(
        f"{path}/ready",
        responses={200: {"model": ModelReadyOut}, 404: _ERROR},
        openapi_extra=_placeholders(path),
        summary="Does a model answer?",
    )
    @needs(Permission.MODELS_READ, rows=NONE)
    def model_ready(request: Request) -> Response:
        return _answered(
            lambda: _json({"name": _slot(service, request).target.name, "ready": True})
        )

    @routes.post(
        f"{path}/infer",
        responses={200: {"model": InferOut}, 400: _ERROR, 404: _ERROR, 413: _ERROR},
        openapi_extra={**_BODY, **_placeholders(path)},
        summary="Score given rows with the live model; nothing is looked up or recorded",
    )
    @needs(Permission.INFERENCE_USE, rows=NONE)
    async def infer(request: Request) -> Response:
        body = await request.body()  # as large as the limits let pass
        return await run_in_threadpool(
            _answered, lambda: _inferred(_slot(service, request), request.headers, body)
        )


def _placeholders(path: str) -> dict[str, Any]:
    """Return what OpenAPI says of the names in a path."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "example": example,
            }
            for name, example in _EXAMPLES.items()
            if f"{{{name}}}" in path
        ]
    }


def _answered(answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except _Refused as refused:
        return _json({"error": str(refused)}, refused.status)
    except (TensorBroken, SignatureMismatch) as error:
        return _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
    except FunnelcastError as error:
        return _json({"error": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _slot(service: Service, request: Request) -> Slot:
    """Return what answers under the name, and version, in the path."""
    name, version = request.path_params["name"], request.path_params.get("version")
    live = {slot.target.name: slot for slot in service.slots.by_kind.values()}
    if name not in live:
        known = ", ".join(sorted(live)) or "none: train one and publish it"
        raise _Refused(
            HTTPStatus.NOT_FOUND, f"a model must be live, got '{shown(name)}': live are {known}"
        )
    found = live[name]
    if version not in (None, found.basis.model):
        raise _Refused(
            HTTPStatus.NOT_FOUND,
            f"a version of '{name}' must be the live one, got '{shown(version)}': ask without a"
            f" version, or for {found.basis.model}",
        )
    return found


def _ready(slot: Slot) -> dict[str, Any]:
    return {"name": slot.target.name, "ready": True}


def _described(slot: Slot) -> dict[str, Any]:
    return {
        "name": slot.target.name,
        "versions": [slot.basis.model],
        "platform": inference.PLATFORM,
        "inputs": [vars(each) for each in inference.inputs(slot.model)],
        "outputs": [vars(each) for each in inference.outputs()],
    }


def _inferred(slot: Slot, headers: Mapping[str, str], body: bytes) -> Response:
    asked = messages.read(headers.get(messages.LENGTH), body)
    found = inference.infer(slot.model, messages.given(asked), messages.wanted(asked))
    said = {"model_name": slot.target.name, "model_version": slot.basis.model}
    head, behind = messages.written(said, asked, found)
    if not behind:
        return Response(head, media_type="application/json")
    length = {messages.LENGTH: str(len(head))}
    return Response(head + behind, headers=length, media_type="application/octet-stream")


def _json(said: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(to_json(said), status_code=status, media_type="application/json")


def _status(is_ready: bool) -> HTTPStatus:
    return HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
