"""The kernel: every aggregate is an interval of label rows, found once and swept once.

An event is in force for the moments T with `enter <= T < leave`, where

    enter = max(event_time + 1, known_at)        (before T, and known)
    leave = min(event_time + window + 1, replaced)   (T - window <= event_time, not corrected)

in microseconds. Label rows are sorted by (group, T), so each event covers one run of rows [first,
last). Counts and sums add at `first`, subtract at `last` and accumulate; the latest event paints
its run, newest first, and a row is painted once. Work is O(events x log(rows per group) + rows) per
feature, whatever the skew; sums are integers, so order does not matter.
"""

from __future__ import annotations

import numpy as np
from numba import njit

type Ints = np.ndarray  # int64 or int32, one-dimensional


@njit(cache=True, nogil=True)
def runs(group: Ints, enter: Ints, leave: Ints, starts: Ints, times: Ints) -> tuple[Ints, Ints]:
    """Return per event the run [first, last) of rows it covers; rows of group g are
    starts[g]:starts[g+1].
    """
    first = np.empty(group.size, np.int64)
    last = np.empty(group.size, np.int64)
    for i in range(group.size):
        low, high = starts[group[i]], starts[group[i] + 1]
        first[i] = low + np.searchsorted(times[low:high], enter[i])
        last[i] = low + np.searchsorted(times[low:high], leave[i])
    return first, last


@njit(cache=True, nogil=True)
def accumulated(first: Ints, last: Ints, weight: Ints, rows: int) -> Ints:
    """Return per row the sum of the weights of the events that cover it."""
    total = np.zeros(rows + 1, np.int64)
    for i in range(first.size):
        if first[i] < last[i]:
            total[first[i]] += weight[i]
            total[last[i]] -= weight[i]
    for row in range(1, rows + 1):
        total[row] += total[row - 1]
    return total[:rows]


@njit(cache=True, nogil=True)
def painted(first: Ints, last: Ints, newest_first: Ints, rows: int) -> Ints:
    """Return per row the index of the newest event that covers it, or -1.

    `unpainted[row]` leads to the next row at or after it that has no colour yet, with path
    compression.
    """
    colour = np.full(rows, -1, np.int64)
    unpainted = np.arange(rows + 1)
    for i in newest_first:
        row = _next_unpainted(unpainted, first[i])
        while row < last[i]:
            colour[row] = i
            unpainted[row] = row + 1
            row = _next_unpainted(unpainted, row)
    return colour


@njit(cache=True, nogil=True)
def _next_unpainted(unpainted: Ints, row: int) -> int:
    root = row
    while unpainted[root] != root:
        root = unpainted[root]
    while unpainted[row] != root:
        following = unpainted[row]
        unpainted[row] = root
        row = following
    return root
