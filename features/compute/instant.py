"""Kernels for one row at one moment: its measures and its features.

The arithmetic is that of the batch: whole numbers are exact in any order, decay adds the same
rings, and formulas are the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from features.compute import decay, formulas
from features.compute import program as p
from features.compute.items import MINUTE
from features.compute.measures import NONE
from features.compute.order import NEVER
from features.compute.seen import NUMBERS, TIMES, has, of_row, sort

if TYPE_CHECKING:
    from features.compute.program import Tables
    from features.compute.seen import Facts

type Array = np.ndarray
type Ints = np.ndarray  # int64, one-dimensional
type Words = np.ndarray  # uint64, (events, mask)
type Flags = np.ndarray  # bool


@njit(cache=True)
def features(
    facts: Facts, tables: Tables, seen: tuple[Words, Array], at: int
) -> tuple[Ints, Array]:
    """Return each feature as a whole number, NONE where there is none, and as a float64, NaN the
    same: whichever it is of. What is a text or number of an event is the place of the event.

    `seen` are masks, of `choices`, and which events share each key with the row: (keys, events).
    """
    masks, places = of_row(seen[0], seen[1], tables.keys)
    sort(facts, places)
    whole, reals = _measured(facts, tables, places, masks, at)
    count = len(tables.formulas)
    found, real = np.full(count, NONE, np.int64), np.full(count, np.nan)
    for i in range(count):
        formula, begin, end = tables.formulas[i]
        operands = tables.operands[begin:end]
        if formula == formulas.VALUE:
            found[i] = whole[operands[0]]
        elif formula == formulas.REAL:
            real[i] = reals[operands[0]]
        else:
            real[i], found[i] = formulas.one(formula, whole[operands], tables.constants[i], at)
    return found, real


@njit(cache=True)
def _measured(
    facts: Facts, tables: Tables, places: Ints, masks: Words, at: int
) -> tuple[Ints, Array]:
    """Return each measure as a whole number or, of decay, as a float64."""
    count = len(tables.measures)
    whole, reals = np.full(count, NONE, np.int64), np.empty(count)
    events = (facts.whole[TIMES], facts.whole[NUMBERS], facts.has_number, masks)
    own, times = np.empty(places.size, np.int64), np.empty(places.size, np.int64)
    values, stamps = np.empty(places.size, np.int64), np.zeros(masks.shape[0], np.int64)
    for stream in range(len(tables.starts) - 1):
        size = _own(events, tables.streams[stream], places, (own, times))
        for m in range(tables.starts[stream], tables.starts[stream + 1]):
            how = tables.measures[m]
            begin = _begin(times[:size], how[p.WINDOW], at)
            mine = own[begin:size]
            if how[p.IS_PAIRS]:
                found = _pairs(how, mine, times[begin:size], masks, values)
                whole[m] = _reduced(how[p.REDUCTION], values[:found])
            elif how[p.REDUCTION] == p.DISTINCT:
                whole[m] = _distinct(facts.distinct[how[p.OF]], mine, stamps, m + 1)
            elif how[p.REDUCTION] == p.DECAY:
                _values(how, mine, events, values)
                reals[m] = _decayed(times[begin:size], values, how[p.HALF_LIFE], at)
            else:
                mine = _end(how[p.REDUCTION], mine)
                _values(how, mine, events, values)
                whole[m] = _reduced(how[p.REDUCTION], values[: mine.size])
    return whole, reals


@njit(cache=True)
def _own(
    events: tuple[Ints, Ints, Flags, Words], stream: Words, places: Ints, own: tuple[Ints, Ints]
) -> int:
    """Write places and times of the events of a stream and return how many there are."""
    times, _, _, masks = events
    chosen, when = own
    size = 0
    for place in places:
        for k in range(stream.size):
            if masks[place, k] & stream[k]:
                chosen[size], when[size] = place, times[place]
                size += 1
                break
    return size


@njit(cache=True)
def _begin(times: Ints, window: int, at: int) -> int:
    """Return the first of ascending times that lies in a window."""
    return 0 if window == NEVER else int(np.searchsorted(times, at - window))


@njit(cache=True)
def _end(reduction: int, own: Ints) -> Ints:
    """Return the places that a reduction looks at."""
    if reduction == p.LAST:
        return own[max(own.size - 1, 0) :]
    return own[:1] if reduction == p.FIRST else own


@njit(cache=True)
def _values(how: Ints, own: Ints, events: tuple[Ints, Ints, Flags, Words], values: Ints) -> None:
    """Write a value of each event; see items.py."""
    value, choice = how[p.VALUE], how[p.OF]
    times, numbers, has_number, masks = events
    if value == p.ONE:
        values[: own.size] = 1
        return
    for i in range(own.size):
        place = own[i]
        if value == p.EVENT:
            values[i] = place
        elif value == p.TIME:
            values[i] = times[place]
        elif value == p.CHOICE:
            values[i] = has(masks, place, choice)
        elif value == p.HAS_NUMBER:
            values[i] = has_number[place]
        elif value == p.KNOWN_NUMBER and not has_number[place]:
            values[i] = NONE
        else:
            values[i] = numbers[place]


@njit(cache=True)
def _pairs(how: Ints, own: Ints, times: Ints, masks: Words, values: Ints) -> int:
    """Write a value of each pair of events that follow one another, and return how many."""
    before, after, apart, value = how[p.BEFORE], how[p.AFTER], how[p.APART], how[p.VALUE]
    found = 0
    for i in range(own.size - 1):
        if before != p.ANY and not has(masks, own[i], before):
            continue
        if after != p.ANY and not has(masks, own[i + 1], after):
            continue
        if apart and formulas.period(times[i + 1], apart) - formulas.period(times[i], apart) <= 1:
            continue
        values[found] = _of_pair(value, times[i], times[i + 1])
        found += 1
    return found


@njit(cache=True)
def _of_pair(value: int, earlier: int, later: int) -> int:
    """Return a value of a pair; see items.py."""
    if value == p.ONE:
        return 1
    if value == p.TIME:
        return later
    if value == p.GAP:
        return later - earlier
    if value == p.MINUTES or value == p.MINUTES2:
        gap = (later - earlier) // MINUTE
    else:
        gap = formulas.working(later) - formulas.working(earlier)
    return gap * gap if value == p.MINUTES2 or value == p.WORK2 else gap


@njit(cache=True)
def _reduced(reduction: int, values: Ints) -> int:
    """Return the sum, the least or the greatest value; `last` and `first` have one at most."""
    total = 0 if reduction == p.SUM else NONE
    if reduction == p.SUM:
        for value in values:
            total += value
    elif reduction == p.LEAST:
        for value in values:
            if total == NONE or (value != NONE and value < total):
                total = value
    else:
        for value in values:
            total = max(total, value)
    return total


@njit(cache=True)
def _decayed(times: Ints, values: Ints, half_life: int, at: int) -> float:
    ring = np.zeros((2, decay.RING), np.int64)
    for i in range(times.size):
        decay.add(ring, times[i], values[i], half_life)
    return decay.seen_at(ring, at, half_life)


@njit(cache=True)
def _distinct(codes: Ints, own: Ints, stamps: Ints, stamp: int) -> int:
    """Return how many different codes there are; a code that was seen is stamped."""
    count = 0
    for place in own:
        code = codes[place]
        if code >= 0 and stamps[code] != stamp:
            stamps[code] = stamp
            count += 1
    return count
