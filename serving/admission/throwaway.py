"""Score rows in a process that may die: a crash or a kill there is a refusal here.

What comes back is data, checked like any other: one number per row. The process starts in about
0.1 s, as it imports none of our code; it belongs to loading, which is never done in a request.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from xgboost.libpath import find_lib_path

from serving.admission import child
from serving.admission.broken import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMORY = 512 * 2**20  # bytes beyond what the process has before it sees the file
CPU_S = 10
WALL_S = 60.0  # on a machine that does much else
ADDED = 1e-3  # by how much, per unit, contributions may miss the margin
# as the child writes it: {"error": "[time] file:line: words"}
_ERROR = re.compile(r'\{"error": "(\[[^]]*\] \S*: )?(?P<words>.*)"\}')
_KEPT = ("LD_LIBRARY_PATH", "PATH", "SYSTEMROOT")  # of the environment: no secret goes along


def margins(booster: bytes, matrix: np.ndarray, types: Sequence[str]) -> list[str]:
    """Return what a booster says of encoded rows (n, f) float32, as hexadecimal floats.

    BundleBroken when XGBoost refuses it, when the process dies or takes too much, when it answers
    anything else than a finite margin per row, and when contributions do not add up to them.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answered:
        header = {"rows": len(matrix), "types": list(types)}
        given.write(json.dumps(header).encode() + b"\n")
        given.write(np.ascontiguousarray(matrix, "<f4").tobytes())
        given.write(booster)
        given.seek(0)
        code = _run(given, answered)
        answered.seek(0)
        answer = answered.read(child.ANSWER_BYTES)
    return _margins(code, answer, len(matrix))


def _run(given: BinaryIO, answered: BinaryIO) -> int | None:
    """Return the exit code, negative for a signal; None when time was up."""
    command = [sys.executable, "-I", "-S", child.__file__, find_lib_path()[0], str(MEMORY)]
    environ = {key: os.environ[key] for key in _KEPT if key in os.environ}
    process = subprocess.Popen(
        [*command, str(CPU_S)],
        stdin=given,
        stdout=answered,
        stderr=subprocess.DEVNULL,
        env={**environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        return process.wait(WALL_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


def _margins(code: int | None, answer: bytes, rows: int) -> list[str]:
    rule = "the booster must score its golden rows in a process of its own"
    try:
        document = json.loads(answer)
        found, sums = (list(map(float.fromhex, document[key])) for key in ("margins", "sums"))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        refuse(rule, _ended(code, answer))
    if (
        code != 0
        or len(found) != rows
        or len(sums) != rows
        or not np.isfinite([*found, *sums]).all()
    ):
        refuse(rule, f"{len(found)} margins, not all finite, and {_ended(code, b'')}")
    for row, (margin, total) in enumerate(zip(found, sums, strict=True), start=1):
        if abs(margin - total) > ADDED * (1 + abs(margin)):
            refuse(f"the contributions to golden row {row} must add up to {margin:.4g}", total)
    return [margin.hex() for margin in found]


def _ended(code: int | None, answer: bytes) -> str:
    """Return in words how the process ended."""
    if code is None:
        return f"no answer in {WALL_S:g} s"
    if code < 0:
        names = {each.value: each.name for each in signal.Signals}
        return f"its end by {names.get(-code, f'signal {-code}')}"
    said = _ERROR.fullmatch(answer.decode(errors="replace").strip())
    return said["words"] if said else f"its end with code {code}"
