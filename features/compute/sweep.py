"""The sweep of counts and sums: each event adds at the first row that it covers and takes back
behind the last of each window, group by group and some events at a time.

Marks among few rows are found by a look at all of them, which a processor does for several events
at once; among many rows from where the mark before was, for they follow one another mostly.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from features import log

type Ints = np.ndarray  # int64 or int32
type Flags = np.ndarray  # bool

NEVER = log.NEVER
ONE = -1  # what a lane adds up: events, or
TIME, KNOWN, LEAVE, DUE, NUMBER, HAS_NUMBER = range(6)  # a row of what is known of some events
FEW = 32  # rows that are all looked at
NEAR = 8  # rows that are looked through one by one
SOME = 264  # events that are looked at at a time


@njit(cache=True, nogil=True)
def by_group(
    kinds: Ints, names: Ints, classes: Ints, group: Ints, groups: int
) -> tuple[Ints, Ints, Ints]:
    """Return the events that have a class and a group, group by group: their places and classes,
    (events,) int32, and where each group begins, (groups + 1,).
    """
    starts = np.zeros(groups + 2, np.int64)
    for i in range(group.size):
        if group[i] >= 0 and classes[kinds[i], names[i]] >= 0:
            starts[group[i] + 2] += 1
    for number in range(2, groups + 2):
        starts[number] += starts[number - 1]
    places = np.empty(starts[-1], np.int32)
    found = np.empty(starts[-1], np.int32)
    for i in range(group.size):
        if group[i] >= 0 and classes[kinds[i], names[i]] >= 0:
            free = starts[group[i] + 1]
            places[free], found[free] = i, classes[kinds[i], names[i]]
            starts[group[i] + 1] = free + 1
    return places, found, starts[:-1]


@njit(cache=True, nogil=True)
def sweep(
    events: tuple[Ints, Ints, Ints, Ints, Flags],
    chosen: tuple[Ints, Ints, Ints],
    rows: tuple[Ints, Ints],
    table: tuple[Ints, Ints, Ints, Ints, Ints],
    found: Ints,
) -> None:
    """Write the sums to `found`, (columns, rows): events some at a time, group by group.

    A cell is one mark, lane and row. Mark 0 is where events come, the others where they go out of a
    window.
    """
    places, classes, starts = chosen
    row_starts, moments = rows
    lanes, marks, most = table[2].size, table[4].size + 1, 0
    for group in range(starts.size - 1):
        most = max(most, row_starts[group + 1] - row_starts[group])
    cells, last = np.zeros((most + 1) * marks * lanes, np.int64), np.zeros(marks, np.int64)
    some, at = np.empty((6, SOME), np.int64), np.empty((marks, SOME), np.int64)
    for group in range(starts.size - 1):
        mine = moments[row_starts[group] : row_starts[group + 1]]
        if mine.size and starts[group] < starts[group + 1]:
            last[:] = 0
            for begin in range(starts[group], starts[group + 1], SOME):
                end = min(begin + SOME, starts[group + 1])
                _gather(events, places[begin:end], some)
                for mark in range(marks):
                    _date(some, end - begin, table[4], mark)
                    last[mark] = _seek(some[DUE][: end - begin], mine, last[mark], at[mark])
                _place(at, end - begin, lanes * (mine.size + 1))
                _add(some, classes[begin:end], table, (at, mine.size + 1), cells)
            own = cells[: (mine.size + 1) * marks * lanes].reshape(marks, lanes, mine.size + 1)
            _accumulate(own, table[3], row_starts[group], found)


@njit(cache=True, nogil=True)
def _gather(events: tuple[Ints, Ints, Ints, Ints, Flags], places: Ints, some: Ints) -> None:
    """Write what is needed of some events beside each other: (TIME to HAS_NUMBER, events)."""
    times, known, leave, numbers, has_number = events
    for i in range(places.size):
        place = places[i]
        some[TIME, i], some[KNOWN, i], some[LEAVE, i] = times[place], known[place], leave[place]
        if numbers.size:
            some[NUMBER, i] = numbers[place]
        if has_number.size:
            some[HAS_NUMBER, i] = has_number[place]


@njit(cache=True, nogil=True)
def _date(some: Ints, count: int, windows: Ints, mark: int) -> None:
    """Write when events come, or when they go out of a window."""
    times, other, due = some[TIME], some[KNOWN if mark == 0 else LEAVE], some[DUE]
    if mark == 0:
        for i in range(count):
            due[i] = max(times[i] + 1, other[i])
    elif windows[mark - 1] == NEVER:
        due[:count] = other[:count]
    else:
        length = windows[mark - 1] + 1
        for i in range(count):
            due[i] = min(times[i] + length, other[i])


@njit(cache=True, nogil=True)
def _seek(due: Ints, rows: Ints, last: int, at: Ints) -> int:
    """Write the first row whose T is not before each moment: of few rows by a look at all of them,
    else beginning with the one that was found last, which is returned.
    """
    if rows.size <= FEW:
        at[: due.size] = 0
        for row in rows:
            for i in range(due.size):
                at[i] += row < due[i]
        return 0
    for i in range(due.size):
        last = _moved(rows, last, due[i])
        at[i] = last
    return last


@njit(cache=True, nogil=True)
def _moved(rows: Ints, row: int, moment: int) -> int:
    near = 0
    while row < rows.size and rows[row] < moment and near < NEAR:
        row += 1
        near += 1
    while row > 0 and rows[row - 1] >= moment and near < NEAR:
        row -= 1
        near += 1
    return int(np.searchsorted(rows, moment)) if near == NEAR else row


@njit(cache=True, nogil=True)
def _place(at: Ints, count: int, wide: int) -> None:
    """Make of the first row, and of one past the last, their cells of the first lane."""
    first = at[0]
    for mark in range(1, at.shape[0]):
        past = at[mark]
        for i in range(count):
            past[i] = max(past[i], first[i]) + mark * wide


@njit(cache=True, nogil=True)
def _add(
    some: Ints,
    classes: Ints,
    table: tuple[Ints, Ints, Ints, Ints, Ints],
    where: tuple[Ints, int],
    cells: Ints,
) -> None:
    """Add the values of some events to the cells of their marks."""
    (starts, lanes, values), (at, rows) = table[:3], where
    for i in range(classes.size):
        for j in range(starts[classes[i]], starts[classes[i] + 1]):
            value = 1 if values[lanes[j]] == ONE else some[values[lanes[j]], i]
            for mark in range(at.shape[0]):
                cells[at[mark, i] + lanes[j] * rows] += value


@njit(cache=True, nogil=True)
def _accumulate(cells: Ints, columns: Ints, begin: int, found: Ints) -> None:
    """Make sums of the marks of a group, and clear them."""
    marks, lanes, rows = cells.shape
    for mark in range(marks):
        for lane in range(lanes):
            own = cells[mark, lane]
            for row in range(1, rows):
                own[row] += own[row - 1]
    for lane in range(lanes):
        for window in range(marks - 1):
            if columns[lane, window] >= 0:
                column, come, gone = (
                    found[columns[lane, window]],
                    cells[0, lane],
                    cells[window + 1, lane],
                )
                for row in range(rows - 1):
                    column[begin + row] = come[row] - gone[row]
    cells[:] = 0
