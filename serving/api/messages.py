"""Messages of the Open Inference Protocol: JSON, with the bytes of tensors behind it where a caller
sends or wants them so (the binary tensor data extension). Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import to_json

from cluster import strictjson
from serving.reading import inference, tensors
from serving.reading.tensors import Tensor, TensorBroken
from serving.wire.inference import InferRequest
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

EXTENSION = "binary_tensor_data"
LENGTH = "Inference-Header-Content-Length"  # header: bytes of the JSON, where others follow it
SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"  # parameters
# what the protocol names; what else a client says is let pass
REQUEST = ("id", "parameters", "inputs", "outputs")
INPUT = ("name", "shape", "datatype", "parameters", "data")
OUTPUT = ("name", "parameters")


def read(length: str | None, body: bytes) -> InferRequest:
    """Return the request in a body whose JSON has so many bytes; TensorBroken if it is none."""
    said, behind = _parted(str(len(body)) if length is None else length, body)
    known = _only(said, REQUEST)
    known["inputs"] = [_input(each, behind) for each in _listed(known, "inputs")]
    if behind.left:
        raise TensorBroken(f"all bytes behind the JSON must be of a tensor, got {behind.left} more")
    if known.get("outputs") is not None:
        known["outputs"] = [_only(each, OUTPUT) for each in _listed(known, "outputs")]
    try:
        return InferRequest.model_validate(known)
    except ValidationError as error:
        found = Problem.invalid(error.errors(include_url=False, include_input=False))
        raise TensorBroken(found.detail) from error


def given(asked: InferRequest) -> list[Tensor]:
    """Return the tensors of a request."""
    return [
        Tensor(name=t.name, datatype=t.datatype, shape=tuple(t.shape), values=t.flat)
        for t in asked.inputs
    ]


def wanted(asked: InferRequest) -> tuple[str, ...]:
    """Return the names of the outputs that a request wants; all if it names none."""
    return tuple(each.name for each in asked.outputs or ()) or inference.OUTPUTS


def written(
    said: dict[str, Any], asked: InferRequest, found: Mapping[str, np.ndarray]
) -> tuple[bytes, bytes]:
    """Return the JSON of an answer, and the bytes behind it. `found` are the outputs by name."""
    binary, outputs, behind = _binary(asked, found), [], []
    for name, values in found.items():
        output: dict[str, Any] = {"name": name, "shape": [len(values)], "datatype": inference.FLOAT}
        if name in binary:
            behind.append(tensors.packed(values))
            output["parameters"] = {SIZE: len(behind[-1])}
        else:
            output["data"] = values.tolist()
        outputs.append(output)
    id = {} if asked.id is None else {"id": asked.id}
    return to_json({**said, **id, "outputs": outputs}), b"".join(behind)


class _Behind:
    """The bytes behind the JSON, which tensors take in their order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many no tensor took yet."""
        return len(self._data) - self._at

    def take(self, size: object) -> bytes:
        """Return the next bytes."""
        if not isinstance(size, int) or not 0 <= size <= self.left:
            raise TensorBroken(f"{SIZE} must be a number of bytes, {self.left} at most")
        self._at += size
        return self._data[self._at - size : self._at]


def _parted(length: str, body: bytes) -> tuple[Any, _Behind]:
    """Return the JSON, and what is behind it."""
    is_number = length.isascii() and length.isdigit() and len(length) < 12
    if not is_number or int(length) > len(body):
        raise TensorBroken(f"{LENGTH} must be at most the length of the body, {len(body)}")
    try:
        said = strictjson.loads(body[: int(length)], _missing)
        return said, _Behind(body[int(length) :])
    except strictjson.NotStrict as error:
        raise TensorBroken(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise TensorBroken("the body must be JSON, got something else") from error


def _missing(name: str) -> None:
    """Take a NaN, as clients of NumPy write it, for a missing value."""
    if name != "NaN":
        raise ValueError(name)


def _input(said: Any, behind: _Behind) -> dict[str, Any]:
    known = _only(said, INPUT)
    parameters = known.get("parameters")
    size = parameters.get(SIZE) if isinstance(parameters, dict) else None
    if size is not None:
        name, datatype = str(known.get("name")), str(known.get("datatype"))
        known["data"] = tensors.unpacked(name, datatype, behind.take(size))
    return known


def _listed(said: dict[str, Any], name: str) -> list[Any]:
    if not isinstance(said.get(name), list):
        raise TensorBroken(f"'{name}' must be a list of objects, got something else")
    found: list[Any] = said[name]
    return found


def _only(said: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise TensorBroken("a request, and each input and output in it, must be a JSON object")
    return {name: said[name] for name in names if name in said}


def _binary(asked: InferRequest, found: Mapping[str, np.ndarray]) -> set[str]:
    """Return the outputs that are wanted as bytes."""
    every = asked.parameters.get(ALL_BINARY) is True
    said = {each.name: each.parameters.get(BINARY) for each in asked.outputs or ()}
    return {name for name in found if (every if said.get(name) is None else said[name] is True)}
