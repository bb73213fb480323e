"""Folds: measures of events that come slice by slice, the earliest slice first.

A row sees all slices before its T. What it has seen so far is one number per measure, as a rule:
sums add up, the latest event is that of the latest slice that has one. Two measures need more.
Of distinct words those are kept that rows behind the slice still see, and with decay the half-life
in which a slice ends: the half-lives before it are added up already, oldest first, as always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from features import log
from features.compute import fading, kernels
from features.compute.evaluation import counted
from features.compute.measures import NONE

if TYPE_CHECKING:
    from features.compute.evaluation import Evaluation
    from features.compute.groups import Groups
    from features.compute.inputs import Flags, Inputs, Ints
    from features.compute.items import Items
    from features.compute.measures import Measure, Reduction


class Fold(Protocol):
    """One measure over slices."""

    def add(self, own: Evaluation, end: int) -> None:
        """Take in a slice: what is measured of it alone; its events happen before `end`."""

    def column(self) -> Ints:
        """Return the measure of all slices for each row: (rows,) int64."""


def fold_of(measure: Measure, kept: Kept) -> Fold:
    """Return the fold of a measure; events that are its value are put into `kept`."""
    if measure.reduction == "decay":
        return Fading(measure)
    if measure.reduction == "distinct":
        return Words(measure)
    if measure.reduction in {"last", "first"}:
        return End(measure, kept)
    return Joined(measure)


class Kept:
    """Single events of slices that are the value of some row."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._count = 0

    def add(self, events: pa.Table, places: Ints) -> Ints:
        """Keep events by their places in a slice; returns their places here."""
        different, number = np.unique(places, return_inverse=True)
        rows = events.take(pa.array(different))
        self._tables.append(pa.table({name: _plain(rows[name]) for name in rows.column_names}))
        first = self._count
        self._count += len(different)
        return first + number

    def table(self) -> pa.Table:
        """Return all of them."""
        return pa.concat_tables(self._tables) if self._tables else log.SCHEMA.empty_table()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return words without the dictionary of their slice."""
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


class Joined:
    """A sum or an extreme."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._so_far: Ints | None = None

    def add(self, own: Evaluation, end: int) -> None:
        """Join with a slice."""
        new, old = own.column(self._measure), self._so_far
        self._so_far = new if old is None else joined(self._measure.reduction, old, new)

    def column(self) -> Ints:
        """Return the number of each row."""
        return _made(self._so_far)


def joined(reduction: Reduction, one: Ints, other: Ints) -> Ints:
    """Return a sum or an extreme of two parts."""
    both: Ints
    if reduction == "sum":
        both = one + other
    elif reduction == "most":
        both = np.maximum(one, other)
    else:
        both = np.where(one == NONE, other, np.where(other == NONE, one, np.minimum(one, other)))
    return both


class End:
    """A value of the latest or the earliest event, or the event itself."""

    def __init__(self, measure: Measure, kept: Kept) -> None:
        self._measure = measure
        self._kept = kept
        self._so_far: Ints | None = None

    def add(self, own: Evaluation, end: int) -> None:
        """A later slice has the latest event if it has any; the earliest stays what it is."""
        new = own.column(self._measure)
        old = np.full(len(new), NONE) if self._so_far is None else self._so_far
        wanted = _is_new(self._measure, old, new)
        if self._measure.value == "event" and wanted.any():
            new = new.copy()
            new[wanted] = self._kept.add(own.inputs.events, new[wanted])
        self._so_far = np.where(wanted, new, old)

    def column(self) -> Ints:
        """Return the value of each row, or the place in what was kept."""
        return _made(self._so_far)


def _is_new(measure: Measure, old: Ints, new: Ints) -> Flags:
    """Return which rows have another end with a later slice: (rows,) bool."""
    is_there: Flags = new != NONE
    return is_there & (old == NONE) if measure.reduction == "first" else is_there


class Fading:
    """A sum that decays."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._begin = np.iinfo(np.int64).min  # of the next slice, in half-lives
        self._so_far: fading.Faded | None = None
        self._groups: Groups | None = None

    def add(self, own: Evaluation, end: int) -> None:
        """Add the half-lives of a slice."""
        measure, items = self._measure, own.items(self._measure.of)
        values = np.ones(len(items.group), np.int64)
        values = values if measure.value == "one" else items.values(measure.value)
        runs, events = items.runs(counted(measure)), (items.since, values)
        until = end if end == log.NEVER else end // measure.half_life_us
        so_far = self._so_far or fading.nothing(items.rows)
        rows, half_life = items.groups.times, measure.half_life_us
        self._so_far = fading.faded(runs, events, rows, half_life, so_far, (self._begin, until))
        self._begin, self._groups = until, items.groups

    def column(self) -> Ints:
        """Return the bits of a float64 for each row."""
        (total, _), groups = _made(self._so_far), _made(self._groups)
        found = fading.seen(total, groups.times, self._measure.half_life_us)
        bits: Ints = found[groups.back].view(np.int64)
        return bits


class Words:
    """Distinct words."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._count: Ints | None = None  # (rows + 1,) words that begin to be seen, less that cease
        self._groups: Groups | None = None
        self._left = Runs(words=pa.array([], pa.string()), codes=_NONE, first=_NONE, last=_NONE)

    def add(self, own: Evaluation, end: int) -> None:
        """Count what rows of a slice see; keep the words that those behind it still do."""
        items = own.items(self._measure.of)
        runs = self._left.and_those_of(_runs(self._measure, items, own.inputs))
        if self._count is None:
            self._count = np.zeros(items.rows + 1, np.int64)
        order = kernels.by_first(runs.first, items.rows)
        order = order[kernels.by_first(runs.codes[order], len(runs.words))]
        cuts = _cuts(items.groups, end)
        left = fading.met((runs.first, runs.last), runs.codes, order, cuts, self._count)
        self._left = Runs(words=runs.words, codes=left[0], first=left[1], last=left[2]).shortened()
        self._groups = items.groups

    def column(self) -> Ints:
        """Return the number of words for each row."""
        found: Ints = np.cumsum(_made(self._count))[_made(self._groups).back]
        return found


_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs of rows that see a word, by its code; no run is empty."""

    words: pa.Array
    codes: Ints
    first: Ints
    last: Ints

    def and_those_of(self, other: Runs) -> Runs:
        """Return both, with one code for each word."""
        both = pa.concat_arrays([self.words, other.words.cast(pa.string())]).dictionary_encode()
        codes, own = both.indices.to_numpy().astype(np.int64), len(self.words)
        return Runs(
            words=both.dictionary,
            codes=np.concatenate([codes[:own][self.codes], codes[own:][other.codes]]),
            first=np.concatenate([self.first, other.first]),
            last=np.concatenate([self.last, other.last]),
        )

    def shortened(self) -> Runs:
        """Return them without words that no run has."""
        used, codes = np.unique(self.codes, return_inverse=True)
        words = self.words.take(pa.array(used))
        return Runs(words=words, codes=codes, first=self.first, last=self.last)


def _runs(measure: Measure, items: Items, inputs: Inputs) -> Runs:
    _, words = inputs.codes(str(measure.value))
    first, last = items.runs(counted(measure))
    codes = items.values(measure.value)
    there = (codes >= 0) & (first < last)
    return Runs(words=words, codes=codes[there], first=first[there], last=last[there])


def _cuts(groups: Groups, end: int) -> Ints:
    """Return for each row the first one of its group behind a slice that ends at `end`: (rows,)."""
    inside = np.concatenate([[0], np.cumsum(groups.times <= end)])
    starts = groups.starts
    cuts = starts[:-1] + inside[starts[1:]] - inside[starts[:-1]]
    every: Ints = np.repeat(cuts, np.diff(starts))
    return every


def _made[T](of_slices: T | None) -> T:
    if of_slices is None:
        raise AssertionError("what comes in slices comes in one or more")
    return of_slices
