"""The processor beside a run: the same small work every 20 ms, and the processor time it takes.

On a machine that shares its processors they are slower at times, whoever computes: for 0.1 to 0.2 s
at a quarter of their speed and less, again and again. Then whatever is answered in 2 ms waits, and
no rate near what is borne is answered within 100 ms. What this work took says how much of a run was
so.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE_S = 0.02
STEPS = 4_000  # of the work: about 0.2 ms
SLOW = 2.0  # times the usual


@dataclass
class Processor:
    """What the work took."""

    spent_ms: list[float] = field(default_factory=list)


@contextmanager
def watched() -> Iterator[Processor]:
    """Work meanwhile, in this process, which does nothing else."""
    found, over = Processor(), threading.Event()
    worker = threading.Thread(target=_work, args=(found, over))
    worker.start()
    try:
        yield found
    finally:
        over.set()
        worker.join()


def told(spent_ms: list[float]) -> dict[str, float]:
    """Return p50 and p99 of the work in ms, and the share of the time at half of the usual speed
    or less.
    """
    spent = np.array(spent_ms)
    p50, p99 = np.percentile(spent, [50, 99]).round(3).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "slow": round(float((spent > SLOW * p50).mean()), 4)}


def _work(found: Processor, over: threading.Event) -> None:
    while not over.wait(PAUSE_S):
        begun = time.thread_time()
        sum(n * n for n in range(STEPS))
        found.spent_ms.append(1000 * (time.thread_time() - begun))
