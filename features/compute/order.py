"""Orders: which event comes first, and which rows an event covers."""

from __future__ import annotations

import numpy as np
from numba import njit

type Ints = np.ndarray  # int64 or int32, one-dimensional
type Words = np.ndarray  # uint64

FEW = 24  # rows that are looked through one by one


def by_time(times: Ints, known: Ints, row: Words, content: Words) -> Ints:
    """Return places in the order of event_time, then known_at, then event id: (n,) int64."""
    order = np.argsort(times)
    sorted_times = times[order]
    ends = np.flatnonzero(sorted_times[1:] == sorted_times[:-1])
    if len(ends):
        tied = np.unique(np.concatenate([ends, ends + 1]))
        some = order[tied]
        order[tied] = some[np.lexsort((content[some], row[some], known[some], times[some]))]
    return order


@njit(cache=True, nogil=True)
def by_group(places: Ints, group: Ints, groups: int) -> tuple[Ints, Ints]:
    """Return places sorted by their group, else as they were, and where each group begins:
    (groups + 1,).
    """
    starts = np.zeros(groups + 1, np.int64)
    for place in places:
        starts[group[place] + 1] += 1
    for number in range(groups):
        starts[number + 1] += starts[number]
    free = starts[:-1].copy()
    ordered = np.empty_like(places)
    for place in places:
        ordered[free[group[place]]] = place
        free[group[place]] += 1
    return ordered, starts


@njit(cache=True, nogil=True)
def entered(group: Ints, enter: Ints, starts: Ints, times: Ints) -> Ints:
    """Return the first row at or after each `enter`, of the rows starts[g]:starts[g + 1] of its
    group: (n,) int32.
    """
    first = np.empty(group.size, np.int32)
    for i in range(group.size):
        first[i] = _at_or_after(times, starts[group[i]], starts[group[i] + 1], enter[i])
    return first


@njit(cache=True, nogil=True)
def left(group: Ints, first: Ints, leave: Ints, starts: Ints, times: Ints) -> Ints:
    """Return the first row at or after each `leave`, not before `first`: (n,) int32."""
    last = np.empty(group.size, np.int32)
    for i in range(group.size):
        last[i] = _at_or_after(times, first[i], starts[group[i] + 1], leave[i])
    return last


@njit(cache=True, nogil=True)
def _at_or_after(times: Ints, low: int, high: int, moment: int) -> int:
    while high - low > FEW:
        middle = (low + high) // 2
        if times[middle] < moment:
            low = middle + 1
        else:
            high = middle
    while low < high and times[low] < moment:
        low += 1
    return low
