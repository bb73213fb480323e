"""Routes of the Open Inference Protocol, version 2, as KServe's and Triton's clients call them.

A model is a target, its version the id of the live model. Requests and answers are JSON; tensors may
be bytes behind it (the binary tensor data extension). Errors are `{"error": ...}`, as the protocol
has them. Work is done on threads beside the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from cluster.errors import FunnelcastError
from serving.model import SignatureMismatch
from serving.reading import inference, tensors
from serving.reading.tensors import Tensor, TensorBroken, shown
from serving.wire.inference import (
    InferErrorOut,
    InferOut,
    InferRequest,
    LiveOut,
    ModelMetaOut,
    ModelReadyOut,
    ServerMetaOut,
    ServerReadyOut,
)
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from serving.slots.active import Slots
    from serving.slots.slot import Slot

NAME, VERSION = "funnelcast", "2"
EXTENSION = "binary_tensor_data"
LENGTH = "Inference-Header-Content-Length"  # of the JSON, where bytes follow it
MOST_BYTES = 2**25  # of a request
BINARY_SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
# what the protocol names; what else a client sends is not ours to judge
_REQUEST = ("id", "parameters", "inputs", "outputs")
_INPUT = ("name", "shape", "datatype", "parameters", "data")
_OUTPUT = ("name", "parameters")
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
    def server() -> Response:
        return _json({"name": NAME, "version": VERSION, "extensions": [EXTENSION]})

    @routes.get("/health/live", responses={200: {"model": LiveOut}}, summary="Does it live?")
    def live() -> Response:
        return _json({"live": True})

    @routes.get(
        "/health/ready",
        responses={200: {"model": ServerReadyOut}, 503: {"model": ServerReadyOut}},
        summary="Do all models answer?",
    )
    def ready() -> Response:
        is_ready = not service.slots.missing
        return _json({"ready": is_ready}, _status(is_ready))


def _add_model(routes: APIRouter, service: Service, path: str) -> None:
    @routes.get(
        path,
        responses={200: {"model": ModelMetaOut}, 404: _ERROR},
        summary="Describe a model: its inputs and outputs",
    )
    def describe(request: Request) -> Response:
        return _answered(lambda: _json(_described(_slot(service, request))))

    @routes.get(
        f"{path}/ready",
        responses={200: {"model": ModelReadyOut}, 404: _ERROR},
        summary="Does a model answer?",
    )
    def model_ready(request: Request) -> Response:
        return _answered(
            lambda: _json({"name": _slot(service, request).target.name, "ready": True})
        )

    @routes.post(
        f"{path}/infer",
        responses={200: {"model": InferOut}, 400: _ERROR, 404: _ERROR, 413: _ERROR},
        openapi_extra=_BODY,
        summary="Score given rows with the live model; nothing is looked up or recorded",
    )
    async def infer(request: Request) -> Response:
        body = await _body(request)
        return await run_in_threadpool(
            _answered, lambda: _inferred(_slot(service, request), request.headers, body)
        )


async def _body(request: Request) -> bytes | None:
    """Return the body; None for one that is too long, which is not read to its end."""
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > MOST_BYTES:
            return None
    return bytes(read)


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


def _described(slot: Slot) -> dict[str, Any]:
    return {
        "name": slot.target.name,
        "versions": [slot.basis.model],
        "platform": inference.PLATFORM,
        "inputs": [vars(each) for each in inference.inputs(slot.model)],
        "outputs": [vars(each) for each in inference.outputs()],
    }


def _inferred(slot: Slot, headers: Mapping[str, str], body: bytes | None) -> Response:
    if body is None:
        raise _Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request must have {MOST_BYTES:,} bytes at most, got more: send rows in parts",
        )
    asked = _asked(headers, body)
    given = [_tensor(each) for each in asked.inputs]
    wanted = [each.name for each in asked.outputs or ()]
    found = inference.infer(slot.model, given, wanted or inference.OUTPUTS)
    said = {"model_name": slot.target.name, "model_version": slot.basis.model}
    if asked.id is not None:
        said["id"] = asked.id
    return _scored(said, found, _binary(asked, found))


def _asked(headers: Mapping[str, str], body: bytes) -> InferRequest:
    said, behind = _parted(headers, body)
    try:
        known = _only(said, _REQUEST)
        known["inputs"] = [_input(each, behind) for each in known.get("inputs", ())]
        if behind.left:
            raise TensorBroken(f"all bytes must be of a tensor, got {behind.left} more")
        if known.get("outputs") is not None:
            known["outputs"] = [_only(each, _OUTPUT) for each in known["outputs"]]
        return InferRequest.model_validate(known)
    except TypeError as error:
        raise TensorBroken(
            "inputs and outputs must be lists of objects: see the protocol"
        ) from error
    except ValidationError as error:
        detail = Problem.invalid(error.errors(include_url=False, include_input=False)).detail
        raise TensorBroken(detail) from error


class _Behind:
    """The bytes behind the JSON, which tensors take in their order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many no tensor took."""
        return len(self._data) - self._at

    def take(self, size: object) -> bytes:
        """Return the next bytes."""
        if type(size) is not int or not 0 <= size <= self.left:
            raise TensorBroken(
                f"{BINARY_SIZE} must be a number of bytes that are there, {self.left} at most"
            )
        self._at += size
        return self._data[self._at - size : self._at]


def _parted(headers: Mapping[str, str], body: bytes) -> tuple[dict[str, Any], _Behind]:
    """Return the JSON, and what is behind it."""
    said = headers.get(LENGTH, str(len(body)))
    if not (said.isascii() and said.isdigit() and len(said) < 12 and int(said) <= len(body)):
        raise TensorBroken(f"{LENGTH} must be at most the length of the body, {len(body)}")
    try:
        found = json.loads(body[: int(said)])
    except (ValueError, RecursionError) as error:
        raise TensorBroken("the body must be JSON, got something else") from error
    if not isinstance(found, dict):
        raise TensorBroken("the body must be a JSON object, got something else")
    return found, _Behind(body[int(said) :])


def _input(said: Any, behind: _Behind) -> dict[str, Any]:
    known = _only(said, _INPUT)
    size = (known.get("parameters") or {}).get(BINARY_SIZE)
    if size is not None:
        data = behind.take(size)
        known["data"] = tensors.unpacked(known.get("name", ""), known.get("datatype", ""), data)
    return known


def _only(said: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise TypeError
    return {name: said[name] for name in names if name in said}


def _tensor(said: Any) -> Tensor:
    shape = tuple(said.shape)
    return Tensor(name=said.name, datatype=said.datatype, shape=shape, values=said.flat)


def _binary(asked: InferRequest, found: Mapping[str, np.ndarray]) -> set[str]:
    """Return the outputs that are wanted as bytes."""
    every = asked.parameters.get(ALL_BINARY) is True
    said = {each.name: each.parameters.get(BINARY) for each in asked.outputs or ()}
    return {name for name in found if (every if said.get(name) is None else said[name] is True)}


def _scored(said: dict[str, Any], found: Mapping[str, np.ndarray], binary: set[str]) -> Response:
    outputs, behind = [], []
    for name, values in found.items():
        shape = {"name": name, "shape": [len(values)], "datatype": inference.FLOAT}
        if name in binary:
            behind.append(tensors.packed(values))
            outputs.append({**shape, "parameters": {BINARY_SIZE: len(behind[-1])}})
        else:
            outputs.append({**shape, "data": values.tolist()})
    head = to_json({**said, "outputs": outputs})
    if not behind:
        return Response(head, media_type="application/json")
    headers = {LENGTH: str(len(head))}
    kind = "application/octet-stream"
    return Response(b"".join([head, *behind]), headers=headers, media_type=kind)


def _json(said: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(to_json(said), status_code=status, media_type="application/json")


def _status(is_ready: bool) -> HTTPStatus:
    return HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
