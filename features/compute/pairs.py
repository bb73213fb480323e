"""Pairs of events that follow one another, as they were known at each moment.

Events of a group enter and leave as time goes on; whenever one does, the pair around it is parted
or joined. Each pair that ever was becomes an item with the moments between which it was there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from features.compute.formulas import period

type Ints = np.ndarray  # int64, one-dimensional
type Flags = np.ndarray  # bool
type Words = np.ndarray  # uint64
type Mark = tuple[int, int, bool]  # moment, place in the group, whether it enters


@njit(cache=True, nogil=True)
def paired(
    times: Ints, enter: Ints, leave: Ints, starts: Ints, wanted: tuple[Flags, Flags, int]
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the earlier and the later event of each pair, and when it came and went: (pairs,)
    each.

    Events of group g are starts[g]:starts[g + 1], in order. `wanted` says of each event whether it
    may be the earlier and the later one, and how long the periods are (in days, 0 for none) that
    must not be the same or neighbours.
    """
    most = 3 * times.size
    earlier, later = np.empty(most, np.int64), np.empty(most, np.int64)
    came, went = np.empty(most, np.int64), np.empty(most, np.int64)
    count = 0
    for group in range(starts.size - 1):
        begin, end = starts[group], starts[group + 1]
        count = _of_group(
            (times, enter, leave), (begin, end), wanted, (earlier, later, came, went), count
        )
    return earlier[:count], later[:count], came[:count], went[:count]


@njit(cache=True, nogil=True)
def _of_group(
    events: tuple[Ints, Ints, Ints],
    span: tuple[int, int],
    wanted: tuple[Flags, Flags, int],
    pairs: tuple[Ints, Ints, Ints, Ints],
    count: int,
) -> int:
    """Write the pairs of one group and return how many there are in all."""
    _, enter, leave = events
    begin, end = span
    there = np.zeros((end - begin) // 64 + 1, np.uint64)
    opened = np.full(end - begin, -1, np.int64)  # by its earlier event: the pair that is there
    for moment, place, is_new in _marks(enter, leave, begin, end):
        before, after = _previous(there, place), _next(there, place)
        if is_new:
            there[place >> 6] |= np.uint64(1) << np.uint64(place & 63)
            _close(pairs, opened, before, moment)
            count = _open(events[0], (begin, before, place), wanted, pairs, opened, count, moment)
            count = _open(events[0], (begin, place, after), wanted, pairs, opened, count, moment)
        else:
            there[place >> 6] &= ~(np.uint64(1) << np.uint64(place & 63))
            _close(pairs, opened, before, moment)
            _close(pairs, opened, place, moment)
            count = _open(events[0], (begin, before, after), wanted, pairs, opened, count, moment)
    return count


@njit(cache=True, nogil=True)
def _marks(enter: Ints, leave: Ints, begin: int, end: int) -> list[Mark]:
    """Return what happens to the events of a group, in order: the moment, the place in the group,
    and whether it enters or leaves. An event that leaves before it enters is never there.
    """
    marks = [(int(enter[0]), begin, True) for _ in range(0)]
    for i in range(begin, end):
        if enter[i] < leave[i]:
            marks.append((int(enter[i]), i - begin, True))
            if leave[i] < np.iinfo(np.int64).max:
                marks.append((int(leave[i]), i - begin, False))
    for i in range(1, len(marks)):
        if marks[i][0] < marks[i - 1][0]:
            marks.sort()
            break
    return marks


@njit(cache=True, nogil=True)
def _open(
    times: Ints,
    place: tuple[int, int, int],
    wanted: tuple[Flags, Flags, int],
    pairs: tuple[Ints, Ints, Ints, Ints],
    opened: Ints,
    count: int,
    moment: int,
) -> int:
    begin, before, after = place
    if before < 0 or after < 0:
        return count
    is_before, is_after, days = wanted
    one, other = begin + before, begin + after
    if not is_before[one] or not is_after[other]:
        return count
    if days and period(times[other], days) - period(times[one], days) <= 1:
        return count
    pairs[0][count], pairs[1][count] = one, other
    pairs[2][count], pairs[3][count] = moment, np.iinfo(np.int64).max
    opened[before] = count
    return count + 1


@njit(cache=True, nogil=True)
def _close(pairs: tuple[Ints, Ints, Ints, Ints], opened: Ints, before: int, moment: int) -> None:
    if before >= 0 and opened[before] >= 0:
        pairs[3][opened[before]] = moment
        opened[before] = -1


@njit(cache=True, nogil=True)
def _previous(there: Words, place: int) -> int:
    """Return the place of the nearest event before, or -1."""
    word = place >> 6
    bits = there[word] & ((np.uint64(1) << np.uint64(place & 63)) - np.uint64(1))
    while bits == 0 and word > 0:
        word -= 1
        bits = there[word]
    return (word << 6) + _highest(bits) if bits else -1


@njit(cache=True, nogil=True)
def _next(there: Words, place: int) -> int:
    """Return the place of the nearest event after, or -1."""
    word = place >> 6
    bits = (there[word] >> np.uint64(place & 63)) >> np.uint64(1)
    if bits:
        return place + 1 + _lowest(bits)
    word += 1
    while word < there.size and there[word] == 0:
        word += 1
    return (word << 6) + _lowest(there[word]) if word < there.size else -1


@njit(cache=True, nogil=True)
def _highest(bits: int) -> int:
    place = 0
    for step in (32, 16, 8, 4, 2, 1):
        if bits >> np.uint64(place + step):
            place += step
    return place


@njit(cache=True, nogil=True)
def _lowest(bits: int) -> int:
    return _highest(bits & (~bits + np.uint64(1)))  # type: ignore[arg-type]
