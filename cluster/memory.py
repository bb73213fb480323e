"""The memory of this process: the allocator of Arrow, and Python's search for garbage."""

from __future__ import annotations

import gc
from contextlib import suppress

import pyarrow as pa

DECAY_MS = 20_000  # freed pages stay with the process so long


def settle() -> None:
    """Prepare this process for long work on lots of one size (docs/decisions/0005).

    Freed pages stay with the process for a while: taking each anew costs a fifth of the time. What
    is loaded by now stays to the end, so it is not searched for garbage again and again.
    """
    gc.freeze()
    with suppress(NotImplementedError):  # not on every system
        pool = pa.jemalloc_memory_pool()
        pa.jemalloc_set_decay_ms(DECAY_MS)
        pa.set_memory_pool(pool)
