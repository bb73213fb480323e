"""The disk beside a run: one writer that overwrites a block and waits for it, again and again.

On a machine that shares its disk it stalls for 50 ms to a second whoever writes, and a decision
that is durable before its answer stalls with it. What this writer waited says which runs met that.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = os.urandom(4096)
PAUSE_S = 0.02
STALL_MS = 40.0  # what the service itself gives the disk to do takes less than a tenth of it


@dataclass
class Disk:
    """What one writer waited."""

    waits_ms: list[float] = field(default_factory=list)

    @property
    def stalled(self) -> bool:
        """Did it ever wait longer than the service gives cause for?"""
        return max(self.waits_ms, default=0.0) > STALL_MS


@contextmanager
def watched(folder: Path) -> Iterator[Disk]:
    """Write to a file of `folder` meanwhile."""
    disk, over = Disk(), threading.Event()
    file = os.open(folder / "beside", os.O_RDWR | os.O_CREAT)
    writer = threading.Thread(target=_write, args=(file, disk, over))
    writer.start()
    try:
        yield disk
    finally:
        over.set()
        writer.join()
        os.close(file)


def told(waits_ms: list[float]) -> dict[str, float]:
    """Return p50, p99 and the longest wait in ms, and the share of the time spent in stalls."""
    waits = np.array(waits_ms)
    p50, p99, longest = np.percentile(waits, [50, 99, 100]).round(2).tolist()
    stalled = waits[waits > STALL_MS].sum() / (waits.sum() + 1000 * PAUSE_S * len(waits))
    return {"p50_ms": p50, "p99_ms": p99, "max_ms": longest, "stalled": round(float(stalled), 4)}


def _write(file: int, disk: Disk, over: threading.Event) -> None:
    while not over.wait(PAUSE_S):
        begun = time.perf_counter()
        os.pwrite(file, BLOCK, 0)
        os.fdatasync(file)
        disk.waits_ms.append(1000 * (time.perf_counter() - begun))
