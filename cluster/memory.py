"""The allocator of Arrow in this process."""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa

DECAY_MS = 20_000  # freed pages stay with the process so long


def keep_pages() -> None:
    """Let freed pages stay with the process for a while: lots of one size follow one another, and
    taking each page anew costs a fifth of the time (docs/decisions/0005).
    """
    with suppress(NotImplementedError):  # not on every system
        pool = pa.jemalloc_memory_pool()
        pa.jemalloc_set_decay_ms(DECAY_MS)
        pa.set_memory_pool(pool)
