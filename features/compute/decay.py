"""Exponential decay, exact until the last step.

A weight `0.5 ** ((T - t) / h)` is `2 ** (t / h)` over `2 ** (T / h)`. Half-lives are counted from
1970: an event of half-life k weighs `2 ** k` times a whole number between 2 ** 20 and 2 ** 21, so
that events of one half-life are added as whole numbers, in any order. A row adds the 32 half-lives
that count, oldest first.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from features.compute.kernels import by_first

type Ints = np.ndarray  # int64 or int32, one-dimensional
type Reals = np.ndarray  # float64

HALF_LIVES = 30  # what is older does not count
RING, KEPT = 64, 32  # half-lives that are held, and that are added
FINE = 20  # bits behind the point of a weight
LOW = 24  # bits of a value that are summed apart, so that no sum overflows


@njit(cache=True, nogil=True)
def weight(time: int, half_life: int) -> int:
    """Return `2 ** (FINE + part)` of the part of a half-life that has passed, as a whole number."""
    part = (time % half_life) / half_life
    return int(np.round((2.0**part) * (1 << FINE)))


@njit(cache=True, nogil=True)
def add(ring: Ints, time: int, value: int, half_life: int) -> None:
    """Add a value at a time to the sums of half-lives, (2, RING): low and high bits apart."""
    place = (time // half_life) % RING
    heavy = weight(time, half_life)
    ring[0, place] += (value & ((1 << LOW) - 1)) * heavy
    ring[1, place] += (value >> LOW) * heavy


@njit(cache=True, nogil=True)
def remove(ring: Ints, time: int, value: int, half_life: int) -> None:
    """Take back what was added."""
    place = (time // half_life) % RING
    heavy = weight(time, half_life)
    ring[0, place] -= (value & ((1 << LOW) - 1)) * heavy
    ring[1, place] -= (value >> LOW) * heavy


@njit(cache=True, nogil=True)
def seen_at(ring: Ints, moment: int, half_life: int) -> float:
    """Return the decayed sum at a moment."""
    total, now = 0.0, moment // half_life
    for age in range(KEPT - 1, -1, -1):
        place = (now - age) % RING
        held = ring[1, place] * float(1 << LOW) + ring[0, place]
        total += held * 0.5**age
    part = (moment % half_life) / half_life
    return float(total / (2.0**part) / (1 << FINE))


@njit(cache=True, nogil=True)
def decayed(
    runs: tuple[Ints, Ints], times: Ints, values: Ints, rows: Ints, half_life: int
) -> Reals:
    """Return per row the decayed sum of the items that cover it: (rows,) float64.

    `runs` are first and last rows of the items, of one group after the other; `rows` are their T.
    """
    first, last = runs
    coming, going = by_first(first, rows.size), by_first(last, rows.size)
    come, gone = 0, 0
    ring = np.zeros((2, RING), np.int64)
    total = np.empty(rows.size, np.float64)
    for row in range(rows.size):
        while come < coming.size and first[coming[come]] <= row:
            item = coming[come]
            if first[item] < last[item]:
                add(ring, times[item], values[item], half_life)
            come += 1
        while gone < going.size and last[going[gone]] <= row:
            item = going[gone]
            if first[item] < last[item]:
                remove(ring, times[item], values[item], half_life)
            gone += 1
        total[row] = seen_at(ring, rows[row], half_life)
    return total
