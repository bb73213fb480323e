"""Orders: events by group and time, and the rows that each of them covers."""

from __future__ import annotations

import numpy as np
from numba import njit

type Ints = np.ndarray  # int64 or int32, one-dimensional
type Flags = np.ndarray  # bool
type Words = np.ndarray  # uint64

NEVER = np.iinfo(np.int64).max
FEW = 24  # rows that are looked through one by one
MOVES = 16  # an event may be moved on average before insertion is given up


@njit(cache=True, nogil=True)
def by_group(group: Ints, groups: int, keys: tuple[Ints, Ints, Words, Words]) -> tuple[Ints, Ints]:
    """Return the places of the events that have a group, sorted by group, then by `keys`
    (event_time, known_at, halves of the id), and where each group begins: (groups + 1,).
    """
    starts = np.zeros(groups + 1, np.int64)
    for number in group:
        if number >= 0:
            starts[number + 1] += 1
    for number in range(groups):
        starts[number + 1] += starts[number]
    free = starts[:-1].copy()
    places = np.empty(starts[-1], np.int64)
    for place in range(group.size):
        if group[place] >= 0:
            places[free[group[place]]] = place
            free[group[place]] += 1
    for number in range(groups):
        _sort(places[starts[number] : starts[number + 1]], keys)
    return places, starts


@njit(cache=True, nogil=True)
def in_order(codes: Ints, times: Ints, groups: int) -> tuple[Ints, Ints]:
    """Return the places of rows by code and time, those alike as given, and where each code begins:
    (groups + 1,).
    """
    starts = np.zeros(groups + 2, np.int64)
    for code in codes:
        starts[code + 2] += 1
    for number in range(2, groups + 2):
        starts[number] += starts[number - 1]
    places = np.empty(codes.size, np.int64)
    for place in range(codes.size):
        places[starts[codes[place] + 1]] = place
        starts[codes[place] + 1] += 1
    for number in range(groups):
        own = places[starts[number] : starts[number + 1]]
        if not is_ascending(times[own]):
            own[:] = own[np.argsort(times[own], kind="mergesort")]
    return places, starts[:-1]


@njit(cache=True, nogil=True)
def is_ascending(values: Ints) -> bool:
    """Is no value less than the one before?"""
    behind = 0
    for i in range(1, values.size):
        behind += values[i] < values[i - 1]
    return behind == 0


@njit(cache=True, nogil=True)
def chosen(
    is_chosen: Flags, places: Ints, group: Ints, times: Ints, enter: Ints, leave: Ints
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Return those of the sorted events whose place is chosen."""
    mine = np.empty(places.size, np.int64)
    count = 0
    for i in range(places.size):
        mine[count] = i
        count += is_chosen[places[i]]
    mine = mine[:count]
    return places[mine], group[mine], times[mine], enter[mine], leave[mine]


@njit(cache=True, nogil=True)
def _sort(places: Ints, keys: tuple[Ints, Ints, Words, Words]) -> None:
    """Sort places in place; what is almost in order stays cheap."""
    if not _insert(places, keys, MOVES * places.size):
        times = np.empty(places.size, np.int64)
        for i in range(places.size):
            times[i] = keys[0][places[i]]
        places[:] = places[np.argsort(times)]
        _insert(places, keys, places.size * places.size)  # as many as there can be


@njit(cache=True, nogil=True)
def _insert(places: Ints, keys: tuple[Ints, Ints, Words, Words], most: int) -> bool:
    """Sort places by insertion; gives up, with all of them there, after some moves."""
    moves = 0
    for i in range(1, places.size):
        place, free = places[i], i
        while free > 0 and _is_before(place, places[free - 1], keys):
            places[free] = places[free - 1]
            free -= 1
        places[free] = place
        moves += i - free
        if moves > most:
            return False
    return True


@njit(cache=True, nogil=True)
def _is_before(one: int, other: int, keys: tuple[Ints, Ints, Words, Words]) -> bool:
    times, known, row, content = keys
    if times[one] != times[other]:
        return bool(times[one] < times[other])
    if known[one] != known[other]:
        return bool(known[one] < known[other])
    if row[one] != row[other]:
        return bool(row[one] < row[other])
    return bool(content[one] < content[other])


@njit(cache=True, nogil=True)
def covered(
    group: Ints,
    force: tuple[Ints, Ints, Ints],
    windows: Ints,
    rows: tuple[Ints, Ints],
) -> tuple[Ints, Ints]:
    """Return the first row that each item covers, (items,) int32, and for each window one past the
    last, (windows, items) int32.

    `force` is enter, leave and the time that must lie in a window; `windows` are ascending, in
    microseconds, NEVER for all history; `rows` are where the rows of each group begin and their T.
    """
    enter, leave, since = force
    starts, times = rows
    first = np.empty(group.size, np.int32)
    last = np.empty((windows.size, group.size), np.int32)
    for i in range(group.size):
        row, end = starts[group[i]], starts[group[i] + 1]
        row = _at_or_after(times, row, end, enter[i])
        first[i] = row
        for number in range(windows.size):
            past = leave[i]
            if windows[number] < NEVER:
                past = min(past, since[i] + windows[number] + 1)
            row = _at_or_after(times, row, end, past)
            last[number, i] = row
    return first, last


@njit(cache=True, nogil=True)
def _at_or_after(times: Ints, low: int, high: int, moment: int) -> int:
    """Return the first of the rows low:high whose T is not before a moment, else `high`."""
    while high - low > FEW:
        middle = (low + high) // 2
        if times[middle] < moment:
            low = middle + 1
        else:
            high = middle
    while low < high and times[low] < moment:
        low += 1
    return low
