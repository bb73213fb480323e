"""Decay and distinct words over slices of time: kernels that go on where the slice before ended."""

from __future__ import annotations

import numpy as np
from numba import njit

from features.compute.decay import FINE, KEPT, LOW, RING, add, remove
from features.compute.kernels import by_first

type Ints = np.ndarray  # int64 or int32, one-dimensional
type Reals = np.ndarray  # float64
type Faded = tuple[Reals, Ints]  # (rows,): half-lives that are over; (2, rows): of the one begun


def nothing(rows: int) -> Faded:
    """Return what rows have seen before the first slice."""
    return np.zeros(rows), np.zeros((2, rows), np.int64)


@njit(cache=True, nogil=True)
def faded(
    runs: tuple[Ints, Ints],
    events: tuple[Ints, Ints],
    rows: Ints,
    half_life: int,
    so_far: Faded,
    span: tuple[int, int],
) -> Faded:
    """Return what rows have seen with one slice more: see `decay.decayed`, which adds up half-lives
    in the same order.

    `events` are times and values, `rows` are T, `span` the half-lives in which the slice begins and
    ends.
    """
    first, last = runs
    coming, going = by_first(first, rows.size), by_first(last, rows.size)
    come, gone = 0, 0
    ring = np.zeros((2, RING), np.int64)
    total, begun = so_far[0].copy(), np.zeros((2, rows.size), np.int64)
    for row in range(rows.size):
        while come < coming.size and first[coming[come]] <= row:
            item = coming[come]
            if first[item] < last[item]:
                add(ring, events[0][item], events[1][item], half_life)
            come += 1
        while gone < going.size and last[going[gone]] <= row:
            item = going[gone]
            if first[item] < last[item]:
                remove(ring, events[0][item], events[1][item], half_life)
            gone += 1
        _note(ring, rows[row] // half_life, span, (total, begun), so_far[1], row)
    return total, begun


@njit(cache=True, nogil=True)
def _note(
    ring: Ints, now: int, span: tuple[int, int], found: Faded, before: Ints, row: int
) -> None:
    """Add the half-lives of a slice that are over at its end, and note the one that is not."""
    begin, end = span
    total, begun = found
    for half in range(max(begin, now - KEPT + 1), min(now, end) + 1):
        low, high = ring[0, half % RING], ring[1, half % RING]
        if half == begin:
            low, high = low + before[0, row], high + before[1, row]
        if half == end:
            begun[0, row], begun[1, row] = low, high
        else:
            held = high * float(1 << LOW) + low
            total[row] += held * 0.5 ** (now - half)


@njit(cache=True, nogil=True)
def seen(total: Reals, rows: Ints, half_life: int) -> Reals:
    """Return the decayed sums of rows from their half-lives: the last step of `decay.seen_at`."""
    found = np.empty(rows.size, np.float64)
    for row in range(rows.size):
        part = (rows[row] % half_life) / half_life
        found[row] = total[row] / (2.0**part) / (1 << FINE)
    return found


@njit(cache=True, nogil=True)
def met(
    runs: tuple[Ints, Ints], codes: Ints, order: Ints, cuts: Ints, count: Ints
) -> tuple[Ints, Ints, Ints]:
    """Count the words that rows see in a slice, and return the runs that reach behind it: code,
    first and last row.

    `order` is that of codes, and for each of first rows; `cuts` is for each row the first one of
    its group that lies behind the slice. In `count`, (rows + 1,), is added where words begin and
    cease to be seen.
    """
    first, last = runs
    left = np.empty(order.size, np.int64)
    begins, ends = np.empty(order.size, np.int64), np.empty(order.size, np.int64)
    several, place = 0, 0
    while place < order.size:
        code, begin, end = codes[order[place]], first[order[place]], last[order[place]]
        place += 1
        while place < order.size and codes[order[place]] == code and first[order[place]] < end:
            end = max(end, last[order[place]])
            place += 1
        cut = cuts[begin]
        if begin < cut:
            count[begin] += 1
            count[min(end, cut)] -= 1
        if end > cut:
            left[several], begins[several], ends[several] = code, max(begin, cut), end
            several += 1
    return left[:several], begins[:several], ends[:several]
