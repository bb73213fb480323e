"""The Open Inference Protocol, version 2, in JSON over HTTP."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeInt,
    StrictBool,
    StrictFloat,
    StrictInt,
    model_validator,
)
from pydantic import StrictStr as Text

from serving.wire.base import Answered, Asked

MOST_CELLS = 1_000_000  # of one tensor
MOST_TENSORS = 2_000
type Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BYTES",
]  # fmt: skip
type Cell = StrictFloat | StrictInt | StrictBool | Text | None
type Row = list[Cell]
# flat in row-major order, or nested once as the protocol also allows
type Cells = list[Cell] | list[Row]
type Shape = Annotated[list[NonNegativeInt], Field(min_length=1, max_length=2)]


class Tensor(Asked):
    """A tensor of at most two dimensions; null is a missing value."""

    model_config = ConfigDict(protected_namespaces=())
    name: str = Field(min_length=1, max_length=200)
    shape: Shape
    datatype: Datatype
    parameters: dict[str, Any] = {}
    data: Cells = Field(max_length=MOST_CELLS)

    @model_validator(mode="after")
    def _fills_its_shape(self) -> Self:
        size, found = math.prod(self.shape), len(self.flat)
        if size != found:
            raise ValueError(f"its shape {self.shape} must hold {size} values, got {found}")
        return self

    @property
    def flat(self) -> Row:
        """Its values in row-major order."""
        if self.data and isinstance(self.data[0], list):
            return [cell for row in self.data for cell in row]
        return self.data  # type: ignore[return-value]


class WantedOutput(Asked):
    """An output that is asked for."""

    name: str = Field(min_length=1, max_length=200)
    parameters: dict[str, Any] = {}


class InferRequest(Asked):
    """Rows to be scored: one tensor of shape [n] per feature, or one `features` [n, f]."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {
                            "name": "web_visits_7d",
                            "shape": [2],
                            "datatype": "INT64",
                            "data": [4, 0],
                        }
                    ]
                }
            ]
        }
    )
    id: str | None = Field(default=None, max_length=200)
    parameters: dict[str, Any] = {}
    inputs: list[Tensor] = Field(min_length=1, max_length=MOST_TENSORS)
    outputs: list[WantedOutput] | None = Field(default=None, max_length=100)


class TensorOut(Answered):
    """A tensor of an answer."""

    name: str
    shape: list[int]
    datatype: Datatype
    data: list[Any]


class InferOut(Answered):
    """Scores of rows, in their order: `probability`, `margin`, `low` and `high`, FP64 [n]."""

    model_name: str
    model_version: str | None = None
    id: str | None = None
    outputs: list[TensorOut]


class TensorMetaOut(Answered):
    """What a tensor must look like; -1 is any length."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetaOut(Answered):
    """A model as the protocol describes it."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetaOut]
    outputs: list[TensorMetaOut]


class ServerMetaOut(Answered):
    """The service as the protocol describes it."""

    name: str
    version: str
    extensions: list[str] = []


class LiveOut(Answered):
    """Whether the process lives."""

    live: bool


class ServerReadyOut(Answered):
    """Whether the service answers."""

    ready: bool


class ModelReadyOut(Answered):
    """Whether a model answers."""

    name: str
    ready: bool


class InferErrorOut(Answered):
    """An error as the protocol writes it."""

    error: str
