"""The parts of a history as arrays that are comparable across parts, for the kernels. Pure, and
safe to share between threads: whoever is second makes the same.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from features import fingerprint
from features.compute.program import spelled
from features.compute.seen import KNOWN, NUMBERS, TIMES, Facts, Ints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.compute.program import Array, Program, Words
    from features.online.history import Part


class Gathered:
    """The events of a shard, part after part, and what was read of them so far."""

    def __init__(self, program: Program, parts: Sequence[Part]) -> None:
        """Read what a program needs of the parts."""
        self._parts = parts
        self._starts = [0, *accumulate(part.count for part in parts)]
        self._texts: dict[tuple[int, str], _Texts] = {}
        self._shares: dict[tuple[str, str | None], Ints] = {}
        self._said: dict[tuple[str, int], str | None] = {}
        self.facts = _empty(program, self._starts[-1])
        for number, part in enumerate(parts):
            _read(part, program.has_numbers, self.facts, self._slice(number))
        for (column, wanted), found in zip(program.columns, self.facts.words, strict=True):
            self._find(column, wanted, found)
        for place, column in enumerate(program.distinct if parts else ()):
            self.facts.distinct[place] = self._numbered(column)

    def shares(self, column: str, text: str | None) -> Ints:
        """Return which events have a text in a column, none for None: (events,) int32 of 0 or 1."""
        found = self._shares.get((column, text))
        return (
            self._shares.setdefault((column, text), self._shared(column, text))
            if found is None
            else found
        )

    def _shared(self, column: str, text: str | None) -> Ints:
        found = np.zeros(self._starts[-1], np.int32)
        if text is not None:
            self._find(column, spelled([text]), found)
        return found

    def text(self, column: str, place: int) -> str | None:
        """Return a text of the event at a place."""
        if (column, place) not in self._said:
            self._said[column, place] = self._text(column, place)
        return self._said[column, place]

    def _text(self, column: str, place: int) -> str | None:
        number = bisect_right(self._starts, place) - 1
        texts = self._of(number, column)
        code = texts.codes[place - self._starts[number]]
        if code < 0:
            return None
        return texts.data[texts.offsets[code] : texts.offsets[code + 1]].tobytes().decode()

    def number(self, place: int) -> int | None:
        """Return the number of the event at a place."""
        return int(self.facts.whole[NUMBERS, place]) if self.facts.has_number[place] else None

    def _find(self, column: str, wanted: Words, found: Ints) -> None:
        """Write of each event the number of the word that its text is, from 1; 0 for others."""
        for number in range(len(self._parts)):
            texts = self._of(number, column)
            _match(*texts, *wanted, found[self._slice(number)])

    def _numbered(self, column: str) -> Ints:
        """Number the texts of a column, alike in all parts, -1 where there is none: (events,)
        int32.
        """
        every = [self._of(number, column) for number in range(len(self._parts))]
        parts = [_spelled(*texts) for texts in every]
        lengths, data = (np.concatenate(each) for each in zip(*parts, strict=True))
        return _numbers(lengths, data)

    def _of(self, number: int, column: str) -> _Texts:
        key = (number, column)
        found = self._texts.get(key)
        return found or self._texts.setdefault(key, _opened(self._parts[number], column))

    def _slice(self, number: int) -> slice:
        return slice(self._starts[number], self._starts[number + 1])


class _Texts(NamedTuple):
    """A column of a part."""

    codes: Ints
    data: Array
    offsets: Ints


def _empty(program: Program, count: int) -> Facts:
    return Facts(
        whole=np.zeros((3, count), np.int64),
        halves=np.empty((2, count), np.uint64),
        has_number=np.zeros(count, np.bool_),
        words=np.empty((len(program.columns), count), np.int32),
        distinct=np.empty((len(program.distinct), count), np.int32),
    )


def _read(part: Part, has_numbers: bool, facts: Facts, place: slice) -> None:
    facts.whole[TIMES, place] = part.numbers("event_time")
    facts.whole[KNOWN, place] = part.numbers("known_at")
    facts.halves[0, place], facts.halves[1, place] = part.halves()
    if has_numbers:
        there = part.is_there("number")
        facts.has_number[place] = there
        facts.whole[NUMBERS, place] = part.numbers("number") * there


def _opened(part: Part, column: str) -> _Texts:
    """Return a column as arrays for reading: a kernel is compiled for each kind of array."""
    found = _Texts(part.codes(column), *part.spelled(column))
    for array in found:
        array.setflags(write=False)
    return found


@njit(cache=True)
def _match(codes: Ints, data: Array, offsets: Ints, words: Array, ends: Ints, found: Ints) -> None:
    """Write the numbers of words; a list of few texts is looked through once."""
    few = offsets.size - 1
    if few > codes.size:
        for i in range(codes.size):
            found[i] = _word(data, offsets, codes[i], words, ends)
        return
    numbers = np.empty(few, np.int32)
    for text in range(few):
        numbers[text] = _word(data, offsets, text, words, ends)
    for i in range(codes.size):
        found[i] = numbers[codes[i]] if codes[i] >= 0 else 0


@njit(cache=True)
def _word(data: Array, offsets: Ints, text: int, words: Array, ends: Ints) -> int:
    if text < 0:
        return 0
    mine = (offsets[text], offsets[text + 1])
    for word in range(ends.size - 1):
        if _same(data, mine, words, (ends[word], ends[word + 1])):
            return word + 1
    return 0


@njit(cache=True)
def _same(one: Array, here: tuple[int, int], other: Array, there: tuple[int, int]) -> bool:
    size, k = here[1] - here[0], 0
    if there[1] - there[0] != size:
        return False
    while k < size and one[here[0] + k] == other[there[0] + k]:
        k += 1
    return bool(k == size)


@njit(cache=True)
def _spelled(codes: Ints, data: Array, offsets: Ints) -> tuple[Ints, Array]:
    """Return the length of each text, -1 where there is none, and their bytes in a row."""
    lengths, total = np.full(codes.size, -1, np.int64), 0
    for i in range(codes.size):
        if codes[i] >= 0:
            lengths[i] = offsets[codes[i] + 1] - offsets[codes[i]]
            total += lengths[i]
    spelled, at = np.empty(total, np.uint8), 0
    for i in range(codes.size):
        for k in range(lengths[i]):
            spelled[at] = data[offsets[codes[i]] + k]
            at += 1
    return lengths, spelled


@njit(cache=True)
def _numbers(lengths: Ints, spelled: Array) -> Ints:
    """Number texts by a table of their fingerprints: (n,) int32, -1 where there is none."""
    size = 2
    while size < 2 * lengths.size:
        size *= 2
    first, last = np.full(size, -1, np.int64), np.uint64(size - 1)
    begins, numbers = np.zeros(lengths.size + 1, np.int64), np.full(lengths.size, -1, np.int32)
    for i in range(lengths.size):
        begin, end = begins[i], begins[i] + max(lengths[i], 0)
        begins[i + 1] = end
        if lengths[i] < 0:
            continue
        slot = np.uint64(fingerprint.of_text(spelled, begin, end)) & last
        while first[slot] >= 0 and not _same(
            spelled, (begin, end), spelled, (begins[first[slot]], begins[first[slot] + 1])
        ):
            slot = (slot + np.uint64(1)) & last
        if first[slot] < 0:
            first[slot] = i
        numbers[i] = first[slot]
    return numbers
