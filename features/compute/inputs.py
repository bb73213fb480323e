"""The events of one call as arrays: when each is in force, and what it holds."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.fingerprint import fixed

if TYPE_CHECKING:
    from features.views.language import Events, Where

type Ints = np.ndarray  # int64, or int32 for codes; one-dimensional
type Flags = np.ndarray  # bool

COLUMNS = (
    *("event_id", "kind", "name", "event_time", "known_at", "account", "person", "lead"),
    *("opportunity", "campaign", "product", "rep", "number", "text"),
)


class Inputs:
    """Events, each in force for the moments `enter <= T < leave` (microseconds)."""

    def __init__(self, events: pa.Table) -> None:
        self.events = events
        self.times = log.microseconds(events["event_time"])
        self.known = log.microseconds(events["known_at"])
        self.leave = log.replaced_at(self.known, events["event_id"])
        self._codes: dict[str, tuple[Ints, pa.Array]] = {}
        self._chosen: dict[Events, Flags] = {}

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def enter(self) -> Ints:
        """From when on events are in force: (events,) int64."""
        enter: Ints = np.maximum(self.times + 1, self.known)
        return enter

    @cached_property
    def keys(self) -> tuple[Ints, Ints, Ints, Ints]:
        """What events are ordered by: event_time, then known_at, then both halves of the id."""
        return (self.times, self.known, *log.halves(self.events["event_id"]))

    @cached_property
    def numbers(self) -> Ints:
        """Numbers, 0 where there is none: (events,) int64."""
        return fixed(pc.fill_null(self.events["number"], 0).combine_chunks().to_numpy())

    @cached_property
    def has_number(self) -> Flags:
        """Which events have a number: (events,) bool."""
        return _flags(self.events["number"].is_valid())

    def codes(self, column: str) -> tuple[Ints, pa.Array]:
        """Return a column of words as places in a list of different words, -1 for null, and it."""
        if column not in self._codes:
            words = self.events[column]
            whole = words.unify_dictionaries() if _is_coded(words) else words
            array = whole.combine_chunks()
            coded = array if _is_coded(array) else array.dictionary_encode()
            self._codes[column] = _placed(coded), coded.dictionary
        return self._codes[column]

    def chosen(self, events: Events) -> Flags:
        """Return which events a choice is about, whatever their keys: (events,) bool."""
        if events not in self._chosen:
            found = self._among("kind", (events.kind,))
            if events.names:
                found = found & self._among("name", events.names)
            for condition in events.where:
                found = found & self._met(condition)
            self._chosen[events] = found
        return self._chosen[events]

    def _met(self, condition: Where) -> Flags:
        if condition.column != "number":
            return self._among(condition.column, condition.one_of)
        met = self.has_number
        if condition.at_least is not None:
            met = met & (self.numbers >= condition.at_least)
        if condition.below is not None:
            met = met & (self.numbers < condition.below)
        return met

    def _among(self, column: str, words: tuple[str, ...]) -> Flags:
        codes, listed = self.codes(column)
        is_one = _flags(pc.is_in(listed, value_set=pa.array(words, pa.string())))
        found: Flags = np.append(is_one, False)[codes]
        return found


def _flags(values: pa.Array | pa.ChunkedArray) -> Flags:
    flags: Flags = values.to_numpy(zero_copy_only=False) if len(values) else np.empty(0, bool)
    return flags.astype(bool, copy=False)


def _is_coded(values: pa.Array | pa.ChunkedArray) -> bool:
    return bool(pa.types.is_dictionary(values.type))


def _placed(coded: pa.DictionaryArray) -> Ints:
    codes = coded.indices.cast(pa.int32())
    placed: Ints = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)
    return placed
