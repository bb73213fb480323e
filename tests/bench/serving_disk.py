"""What the disk does alone: one writer that overwrites as the journal does, and waits each time."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

BYTES = 7 * 4096  # about what one commit of the journal writes
PAUSE_S = 0.003
FILE_BYTES = 2_000 * BYTES
STALL_MS = 10.0


def alone(folder: Path, seconds: float) -> dict[str, float]:
    """Return p50, p99 and the longest wait in ms, and the share of the time spent in stalls."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        os.pwrite(file.fileno(), bytes(FILE_BYTES), 0)
        os.fsync(file.fileno())
        waits = np.array(_waits(file.fileno(), seconds)) * 1000
    p50, p99, longest = np.percentile(waits, [50, 99, 100]).round(2).tolist()
    stalled = waits[waits > STALL_MS].sum() / 1000 / seconds
    return {"p50_ms": p50, "p99_ms": p99, "max_ms": longest, "stalled": round(float(stalled), 4)}


def _waits(file: int, seconds: float) -> list[float]:
    waits: list[float] = []
    end, at, block = time.perf_counter() + seconds, 0, os.urandom(BYTES)
    while (begun := time.perf_counter()) < end:
        os.pwrite(file, block, at)
        os.fdatasync(file)
        waits.append(time.perf_counter() - begun)
        at = (at + BYTES) % FILE_BYTES
        time.sleep(PAUSE_S)
    return waits
