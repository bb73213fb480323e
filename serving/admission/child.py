"""The throw-away process: loads a booster, scores a few rows, says what came out, and ends.

Run as a file by `throwaway`, with nothing but the standard library and XGBoost's own, through its C
interface: a start in hundredths of a second, and nothing at hand that a crafted file could use. It
may take only so much memory and processor time, open no file, start no process, write one answer.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
from pathlib import Path
from typing import Any

ANSWER_BYTES = 65_536
MARGIN, CONTRIBUTIONS = 1, 2  # kinds of prediction
_NULLS = '"missing": NaN'


class Failed(Exception):
    """XGBoost refused; the text is its own."""


def main(library: str, memory: int, seconds: int) -> None:
    """Read the header line, the rows and the booster from standard input; answer as JSON."""
    header = json.loads(sys.stdin.buffer.readline())
    wide, rows = len(header["types"]), header["rows"]
    matrix = ctypes.create_string_buffer(sys.stdin.buffer.read(rows * wide * 4), rows * wide * 4)
    booster = sys.stdin.buffer.read()
    loaded = Library(library)
    limit(memory, seconds)
    try:
        answer = loaded.scores(booster, matrix, rows, header["types"])
    except Failed as error:
        answer = {"error": str(error).partition("\n")[0]}
    sys.stdout.write(json.dumps(answer))


def limit(memory: int, seconds: int) -> None:
    """Allow so many more bytes and seconds; no new file, no core; a process only where root."""
    for what, value in (
        (resource.RLIMIT_AS, _taken() + memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, ANSWER_BYTES),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (value, value))


def _taken() -> int:
    """Return the bytes of address space in use; where the system does not say, none."""
    said = Path("/proc/self/statm")
    pages = said.read_text(encoding="ascii").split()[0] if said.exists() else 0
    return int(pages) * resource.getpagesize()


class Library:
    """The few functions of XGBoost's C interface that are needed."""

    def __init__(self, path: str) -> None:
        self._c = ctypes.CDLL(path)
        self._c.XGBGetLastError.restype = ctypes.c_char_p

    def scores(self, booster: bytes, matrix: Any, rows: int, types: list[str]) -> dict[str, Any]:
        """Return the margin of each row, and the sum of its contributions, as hexadecimal."""
        handle = ctypes.c_void_p()
        self._must(self._c.XGBoosterCreate(None, ctypes.c_uint64(0), ctypes.byref(handle)))
        self._must(self._c.XGBoosterSetParam(handle, b"nthread", b"1"))
        size = ctypes.c_uint64(len(booster))
        self._must(self._c.XGBoosterLoadModelFromBuffer(handle, booster, size))
        place = [ctypes.addressof(matrix), True]
        shape = {"data": place, "shape": [rows, len(types)], "typestr": "<f4", "version": 3}
        array = json.dumps(shape).encode()
        margins = self._predicted("XGBoosterPredictFromDense", handle, array, MARGIN)
        data = self._data(array, types)
        shares = self._predicted("XGBoosterPredictFromDMatrix", handle, data, CONTRIBUTIONS)
        wide = len(types) + 1
        sums = [sum(shares[row * wide : (row + 1) * wide], 0.0) for row in range(rows)]
        return {"margins": [m.hex() for m in margins], "sums": [s.hex() for s in sums]}

    def _data(self, array: bytes, types: list[str]) -> ctypes.c_void_p:
        data = ctypes.c_void_p()
        config = f'{{{_NULLS}, "nthread": 1}}'.encode()
        self._must(self._c.XGDMatrixCreateFromDense(array, config, ctypes.byref(data)))
        kinds = (ctypes.c_char_p * len(types))(*(kind.encode() for kind in types))
        count = ctypes.c_uint64(len(types))
        self._must(self._c.XGDMatrixSetStrFeatureInfo(data, b"feature_type", kinds, count))
        return data

    def _predicted(self, function: str, handle: Any, data: Any, kind: int) -> list[float]:
        shape, result = ctypes.POINTER(ctypes.c_uint64)(), ctypes.POINTER(ctypes.c_float)()
        wide = ctypes.c_uint64()
        config = (
            f'{{"type": {kind}, "training": false, "iteration_begin": 0, "iteration_end": 0,'
            f' "strict_shape": false, "cache_id": 0, {_NULLS}}}'
        ).encode()
        base = [None] if kind == MARGIN else []  # no matrix with base margins
        out = [ctypes.byref(part) for part in (shape, wide, result)]
        self._must(getattr(self._c, function)(handle, data, config, *base, *out))
        count = 1
        for axis in range(wide.value):
            count *= shape[axis]
        return result[:count]

    def _must(self, code: int) -> None:
        if code:
            raise Failed(self._c.XGBGetLastError().decode(errors="replace").strip())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
