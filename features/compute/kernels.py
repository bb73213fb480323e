"""Kernels: reductions of items over rows, where each item covers one run of rows.

Items lie group by group, and rows of a group by T, so that an item covers rows first:last of its
group. Sums add at `first`, subtract at `last` and accumulate; extremes are noted for two spans of a
power of two that cover the run, and handed down. Work is O(items + rows log(rows of a group)) per
reduction, whatever the skew, and does not depend on the order of items.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from features.compute.measures import NONE

type Ints = np.ndarray  # int64 or int32, one-dimensional


@njit(cache=True, nogil=True)
def summed(runs: tuple[Ints, Ints], group: Ints, values: Ints, starts: Ints) -> Ints:
    """Return per window and row the sum of the values of the items that cover it: (windows, rows)
    int64. One value stands for all.

    `runs` are first rows, (items,), and one past the last, (windows, items).
    """
    first, last = runs
    windows, rows = last.shape[0], starts[-1]
    come, gone = np.zeros(rows + 1, np.int64), np.zeros((rows + 1, windows), np.int64)
    for i in range(first.size):
        value, end = values[i if values.size > 1 else 0], starts[group[i] + 1]
        if first[i] < end:
            come[first[i]] += value
            for window in range(windows):
                if last[window, i] < end:
                    gone[last[window, i], window] += value
    return _accumulated_by_group(come, gone, starts)


@njit(cache=True, nogil=True)
def _accumulated_by_group(come: Ints, gone: Ints, starts: Ints) -> Ints:
    windows = gone.shape[1]
    total = np.empty((windows, starts[-1]), np.int64)
    for number in range(starts.size - 1):
        there, left = 0, np.zeros(windows, np.int64)
        for row in range(starts[number], starts[number + 1]):
            there += come[row]
            for window in range(windows):
                left[window] += gone[row, window]
                total[window, row] = there - left[window]
    return total


@njit(cache=True, nogil=True)
def _accumulated(total: Ints) -> Ints:
    for row in range(1, total.size):
        total[row] += total[row - 1]
    return total[:-1]


@njit(cache=True, nogil=True)
def greatest(first: Ints, last: Ints, values: Ints, starts: tuple[Ints, Ints]) -> Ints:
    """Return per row the greatest value of the items that cover it, else NONE: (rows,) int64.

    `starts` are where the items and the rows of each group begin, both (groups + 1,).
    """
    items, rows = starts
    found = np.full(rows[-1], NONE, np.int64)
    longest = 1
    for group in range(items.size - 1):
        longest = max(longest, rows[group + 1] - rows[group])
    levels = np.empty((_level(longest) + 1, longest), np.int64)
    for group in range(items.size - 1):
        begin, end = items[group], items[group + 1]
        if begin < end and rows[group] < rows[group + 1]:
            own = found[rows[group] : rows[group + 1]]
            _note(levels, first[begin:end] - rows[group], last[begin:end] - rows[group],
                  values[begin:end], own)  # fmt: skip
    return found


@njit(cache=True, nogil=True)
def _note(levels: Ints, first: Ints, last: Ints, values: Ints, found: Ints) -> None:
    size, top = found.size, _level(found.size)
    for level in range(1, top + 1):
        levels[level, :size] = NONE
    levels[0, :size] = NONE
    for i in range(first.size):
        length = last[i] - first[i]
        if length > 0:
            level = _level(length)
            row = levels[level]
            begin, end = first[i], last[i] - (1 << level)
            row[begin] = max(row[begin], values[i])
            row[end] = max(row[end], values[i])
    for level in range(top, 0, -1):
        half, row, below = 1 << (level - 1), levels[level], levels[level - 1]
        for place in range(size - 2 * half + 1):
            below[place] = max(below[place], row[place])
            below[place + half] = max(below[place + half], row[place])
    found[:] = levels[0, :size]


@njit(cache=True, nogil=True)
def _level(length: int) -> int:
    """Return the greatest level with `1 << level <= length`."""
    level = 0
    while (2 << level) <= length:
        level += 1
    return level


@njit(cache=True, nogil=True)
def by_first(first: Ints, rows: int) -> Ints:
    """Return places of items in the order of the rows at which they begin to count."""
    starts = np.zeros(rows + 2, np.int64)
    for row in first:
        starts[row + 1] += 1
    for row in range(rows + 1):
        starts[row + 1] += starts[row]
    order = np.empty(first.size, np.int64)
    for i in range(first.size):
        order[starts[first[i]]] = i
        starts[first[i]] += 1
    return order


@njit(cache=True, nogil=True)
def distinct(
    first: Ints, last: Ints, codes: Ints, group: Ints, order: Ints, rows: int, words: int
) -> Ints:
    """Return per row how many different codes the items that cover it have, -1 left out:
    (rows,) int64.

    Of each code in a group the runs are joined: in the order of their beginnings, an item adds
    only what lies behind the furthest end so far.
    """
    total = np.zeros(rows + 1, np.int64)
    end = np.zeros(words, np.int64)
    owner = np.full(words, -1, np.int64)
    for i in order:
        code = codes[i]
        if code < 0:
            continue
        if owner[code] != group[i]:
            owner[code], end[code] = group[i], 0
        begin = max(first[i], end[code])
        if begin < last[i]:
            total[begin] += 1
            total[last[i]] -= 1
            end[code] = last[i]
    return _accumulated(total)
