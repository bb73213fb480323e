"""Which events of a shard a row sees at one moment, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from features.compute.program import Tables

type Array = np.ndarray
type Ints = np.ndarray  # int64, one-dimensional
type Words = np.ndarray  # uint64, one- or two-dimensional
type Flags = np.ndarray  # bool

TIMES, KNOWN, NUMBERS = 0, 1, 2  # rows of Facts.whole
FEW = 8  # events per turn of their order, so that it is mended by insertion


class Facts(NamedTuple):
    """The events of a shard, in no order that counts."""

    whole: Array  # (3, events) int64: event_time, known_at, number (0 where there is none)
    halves: Array  # (2, events) uint64: row and content of the ids
    has_number: Flags
    words: Array  # (columns, events) int32: numbers of the program's words, 0 for others
    distinct: Array  # (columns, events) int32: numbers of texts, -1 where there is none


@njit(cache=True)
def choices(facts: Facts, tables: Tables, at: int) -> Words:
    """Return the selections that each event that a row at T may see is of, whatever its keys:
    (events, mask).

    It is the version of its row that is known latest at T, and happens before.
    """
    whole, (row, content) = facts.whole, facts.halves
    masks = np.zeros((row.size, tables.streams.shape[1]), np.uint64)
    stands = _standing(whole[KNOWN], row, content, at)
    for i in range(row.size):
        if stands[i] and whole[TIMES, i] < at:
            masks[i] = ~np.uint64(0)
    for column in range(facts.words.shape[0]):
        _keep(masks, tables.words[column], facts.words[column])
    for choice, least, most in tables.ranges:
        _keep_range(masks, choice, facts.has_number, whole[NUMBERS], least, most)
    return masks


@njit(cache=True)
def _standing(known: Ints, row: Words, content: Words, at: int) -> Flags:
    size = 2
    while size < 2 * known.size:
        size *= 2
    latest, last = np.full(size, -1, np.int64), np.uint64(size - 1)
    stands = np.zeros(known.size, np.bool_)
    for i in range(known.size):
        if known[i] > at:
            continue
        slot = row[i] & last
        while latest[slot] >= 0 and row[latest[slot]] != row[i]:
            slot = (slot + np.uint64(1)) & last
        other = latest[slot]
        if other >= 0:
            is_newer = known[other] > known[i]
            if is_newer or (known[other] == known[i] and content[other] > content[i]):
                continue
            stands[other] = False
        latest[slot], stands[i] = i, True
    return stands


@njit(cache=True)
def _keep(masks: Words, allowed: Words, words: Ints) -> None:
    """Leave what the word of each event allows."""
    for i in range(words.size):
        for k in range(masks.shape[1]):
            masks[i, k] &= allowed[words[i], k]


@njit(cache=True)
def _keep_range(
    masks: Words, choice: int, has_number: Flags, numbers: Ints, least: int, most: int
) -> None:
    word, others = choice >> 6, ~(np.uint64(1) << np.uint64(choice & 63))
    for i in range(numbers.size):
        if not has_number[i] or not least <= numbers[i] <= most:
            masks[i, word] &= others


@njit(cache=True)
def first(facts: Facts, masks: Words, shares: Ints, choice: int) -> int:
    """Return the place of the earliest event of a selection that shares its key with the row, else
    -1; masks as `choices` returns them.
    """
    times, known, (row, content) = facts.whole[TIMES], facts.whole[KNOWN], facts.halves
    found = -1
    for i in range(shares.size):
        if not shares[i] or not has(masks, i, choice):
            continue
        if found < 0 or _is_before(i, found, times, known, row, content):
            found = i
    return found


@njit(cache=True)
def of_row(masks: Words, shares: Array, keys: Words) -> tuple[Words, Ints]:
    """Return what the events are of by their keys too, and the places of those of anything."""
    mine, places, count = np.zeros_like(masks), np.empty(masks.shape[0], np.int64), 0
    for key in range(shares.shape[0]):
        for i in range(shares.shape[1]):
            if shares[key, i]:
                for k in range(masks.shape[1]):
                    mine[i, k] |= masks[i, k] & keys[key, k]
    for i in range(masks.shape[0]):
        for k in range(masks.shape[1]):
            if mine[i, k]:
                places[count] = i
                count += 1
                break
    return mine, places[:count]


@njit(cache=True)
def sort(facts: Facts, places: Ints) -> None:
    """Sort places in place by time, known_at and id; what is almost in order stays cheap."""
    times, known, (row, content) = facts.whole[TIMES], facts.whole[KNOWN], facts.halves
    turns = 0
    for i in range(1, places.size):
        turns += times[places[i]] < times[places[i - 1]]
    if FEW * turns > places.size:
        places[:] = places[np.argsort(times[places])]
    for i in range(1, places.size):
        place, free = places[i], i
        while free > 0 and _is_before(place, places[free - 1], times, known, row, content):
            places[free] = places[free - 1]
            free -= 1
        places[free] = place


@njit(cache=True)
def _is_before(one: int, other: int, times: Ints, known: Ints, row: Words, content: Words) -> bool:
    if times[one] != times[other]:
        return bool(times[one] < times[other])
    if known[one] != known[other]:
        return bool(known[one] < known[other])
    if row[one] != row[other]:
        return bool(row[one] < row[other])
    return bool(content[one] < content[other])


@njit(cache=True)
def has(masks: Words, place: int, choice: int) -> bool:
    """Is the event at a place of a selection?"""
    return bool((masks[place, choice >> 6] >> np.uint64(choice & 63)) & np.uint64(1))
