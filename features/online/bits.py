"""Bits of absence as Arrow keeps them: least significant first, 1 for a value that is there."""

from __future__ import annotations

import numpy as np
from numba import njit

type Bits = np.ndarray  # uint8
type Flags = np.ndarray  # bool
type Codes = np.ndarray  # int32


@njit(cache=True)
def flags(bits: Bits, start: int, count: int) -> Flags:
    """Return bits from `start` on: (count,) bool."""
    found = np.empty(count, np.bool_)
    for i in range(count):
        found[i] = (bits[(start + i) >> 3] >> ((start + i) & 7)) & 1
    return found


@njit(cache=True)
def masked(codes: Codes, bits: Bits, start: int) -> Codes:
    """Return codes, with -1 where the bit from `start` on is not set: (n,) int32."""
    found = np.empty(codes.size, np.int32)
    for i in range(codes.size):
        found[i] = codes[i] if (bits[(start + i) >> 3] >> ((start + i) & 7)) & 1 else -1
    return found
