"""Tensors as the Open Inference Protocol sends them: as JSON, or as bytes behind it. Pure.

The bytes are those of the binary tensor data extension: numbers little-endian, texts in UTF-8, each
behind its length in four bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluster.errors import WrongUse, nearest

NUMBERS = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"INT{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"FP{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}
TEXTS = "BYTES"
_LENGTH = 4  # bytes that tell how long a text is


class TensorBroken(WrongUse):
    """A tensor is not what it says, or not what the model takes."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """Values in row-major order; None is a missing one."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[Any]

    def __post_init__(self) -> None:
        """TensorBroken unless the values fill the shape."""
        if math.prod(self.shape) != len(self.values):
            raise self.broken(f"{math.prod(self.shape)} values", str(len(self.values)))

    def numbers(self) -> np.ndarray:
        """Return the values, (n,) float64, NaN for missing ones; TensorBroken if they are texts."""
        if self.datatype not in NUMBERS:
            raise self.broken("numbers", f"datatype {self.datatype}")
        other = set(map(type, self.values)) - {int, float, bool, type(None)}
        if other:
            raise self.broken("numbers", f"a {_named(other)}")
        try:
            return np.array([math.nan if v is None else v for v in self.values], np.float64)
        except OverflowError as error:
            raise self.broken("numbers of 64 bits", "a larger one") from error

    def texts(self) -> list[str | None]:
        """Return the values; TensorBroken if they are numbers."""
        if self.datatype != TEXTS:
            raise self.broken("texts", f"datatype {self.datatype}")
        other = set(map(type, self.values)) - {str, type(None)}
        if other:
            raise self.broken("texts", f"a {_named(other)}")
        return list(self.values)

    def broken(self, wanted: str, found: str) -> TensorBroken:
        """Return the error of a tensor that holds something else."""
        return TensorBroken(f"tensor '{shown(self.name)}' must hold {wanted}, got {found}")


def unpacked(name: str, datatype: str, data: bytes) -> list[Any]:
    """Return the values in the bytes of a tensor; NaN is a missing one."""
    if datatype == TEXTS:
        return list(_texts(name, data))
    if datatype not in NUMBERS:
        known = nearest(str(datatype)[:20], [*NUMBERS, TEXTS])
        raise TensorBroken(f"tensor '{shown(name)}' must have a known datatype: {known}")
    dtype = NUMBERS[datatype]
    if len(data) % dtype.itemsize:
        raise TensorBroken(
            f"tensor '{shown(name)}' must have {dtype.itemsize} bytes per {datatype}, got"
            f" {len(data)} bytes"
        )
    values = np.frombuffer(data, dtype)
    if dtype.kind != "f":
        return list(values.tolist())
    return [None if value != value else value for value in values.tolist()]


def packed(values: np.ndarray) -> bytes:
    """Return the bytes of numbers of FP64."""
    return np.asarray(values, "<f8").tobytes()


def shown(name: object) -> str:
    """Return a name that a caller gave, fit for a line of text."""
    return "".join(c if c.isprintable() else "?" for c in str(name)[:60])


def _texts(name: str, data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        start = at + _LENGTH
        at = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or at > len(data):
            raise TensorBroken(f"tensor '{shown(name)}' must hold whole texts, got a cut one")
        try:
            yield data[start:at].decode()
        except UnicodeDecodeError as error:
            raise TensorBroken(f"tensor '{shown(name)}' must hold texts in UTF-8") from error


def _named(kinds: set[type]) -> str:
    names = {"str": "text", "list": "list within a list", "dict": "object"}
    found = min(kind.__name__ for kind in kinds)
    return names.get(found, found)
