"""A batch of events beside their contracts: which promise speaks of which row, found once for all
rules.

Kinds and names repeat, so a rule is settled per distinct kind and name, and rows look it up. What
holds for a name of an event holds for a *variant*: a contract and the names it singles out alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.contracts import reasons
from features.contracts.columns import Column, Integers, Strings, column
from features.contracts.reasons import NOTHING, Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from features.contracts.contract import Contract, Property

KEYS = ("account", "person", "lead", "opportunity", "campaign", "product", "rep")
VALUES = ("number", "text")
LONGEST_BATCH = 1 << 18  # rows: what a rule needs beside them stays in the cache
NO_CONTRACT = 0  # the variant of a row whose kind has no contract


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The rows of one contract for which the same is promised."""

    contract: Contract
    promises: Mapping[str, Property]  # by column
    names: tuple[str, ...]  # the names singled out; none: all other names


@dataclass(frozen=True)
class Rules:
    """The contracts as variants. Worth keeping where checks are small and many."""

    contracts: Mapping[str, Contract]
    variants: Sequence[Variant]  # the variant number is the place here plus one
    _lookups: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, contracts: Mapping[str, Contract]) -> Rules:
        """Split every contract by the names that it singles out."""
        variants = [v for contract in contracts.values() for v in _variants(contract)]
        return cls(contracts, variants)

    @cached_property
    def columns(self) -> list[str]:
        """Every column of which a contract speaks, keys and values."""
        promised = {c for contract in self.contracts.values() for c in contract.columns}
        return sorted({*promised, *KEYS, *VALUES})

    def lookup(self, what: str, of: Callable[[Variant], int], absent: int) -> np.ndarray:
        """Return a number per variant, `absent` for rows without a contract: (variants + 1,) int64.

        `what` names it, for it is made once.
        """
        if what not in self._lookups:
            self._lookups[what] = np.array([absent, *map(of, self.variants)], dtype=np.int64)
        return self._lookups[what]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What counts as now; without it no time lies ahead."""

    now: datetime | None


@dataclass(frozen=True, kw_only=True)
class Census:
    """How many rows of each contract hold which columns; the first place is rows without one."""

    columns: tuple[str, ...]
    held: np.ndarray  # (contracts + 1, 2 ** columns) int64: rows per set of columns, as bits
    known_from: np.ndarray  # (contracts + 1,) int64 microseconds: first known_at of a good row
    known_to: np.ndarray  # and the last
    happened_to: np.ndarray  # last event_time of a good row

    @classmethod
    def nothing(cls, rules: Rules) -> Census:
        """Return the count of no rows."""
        span, contracts, columns = np.iinfo(np.int64), len(rules.contracts), rules.columns
        return cls(
            columns=tuple(columns),
            held=np.zeros((contracts + 1, 1 << len(columns)), dtype=np.int64),
            known_from=np.full(contracts + 1, span.max),
            known_to=np.full(contracts + 1, span.min),
            happened_to=np.full(contracts + 1, span.min),
        )

    def __add__(self, other: Census) -> Census:
        """Return the count of the rows of both."""
        return Census(
            columns=self.columns,
            held=self.held + other.held,
            known_from=np.minimum(self.known_from, other.known_from),
            known_to=np.maximum(self.known_to, other.known_to),
            happened_to=np.maximum(self.happened_to, other.happened_to),
        )


@dataclass(frozen=True)
class Batch:
    """Some rows of the events, in order, and what is known of them before the rules."""

    rules: Rules
    events: pa.Table
    start: int  # position of the first row in the whole table
    before: Sequence[Broken]  # what was found earlier, anywhere in the whole table

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Every column that the rules look at."""
        return {name: column(self.events[name]) for name in self._used}

    def strings(self, names: tuple[str, ...]) -> Iterator[tuple[str, Strings]]:
        """Yield those of the columns that hold strings."""
        found = ((name, self.columns.get(name)) for name in names)
        return ((name, cells) for name, cells in found if isinstance(cells, Strings))

    def integers(self, names: tuple[str, ...]) -> Iterator[tuple[str, Integers]]:
        """Yield those of the columns that hold integers or moments."""
        found = ((name, self.columns.get(name)) for name in names)
        return ((name, cells) for name, cells in found if isinstance(cells, Integers))

    def failed(self, name: str) -> np.ndarray:
        """Return the rows whose cell in a column was found to be broken before."""
        rows = [np.asarray(b.rows, np.int64) for b in self.before if b.column == name]
        here = np.concatenate(rows) - self.start if rows else np.empty(0, dtype=np.int64)
        return np.asarray(here[(here >= 0) & (here < self.events.num_rows)])

    def is_present(self, name: str) -> np.ndarray:
        """Return which cells hold something, be it what could not be read: (n,) bool."""
        there, failed = self.columns[name].is_present, self.failed(name)
        if failed.size:
            there = there.copy()
            there[failed] = True
        return there

    def wrong(self, name: str, rows: np.ndarray, words: Callable[[str | None], str]) -> Broken:
        """Say of some rows what is wrong with their value in a column."""
        if not rows.size:
            return NOTHING
        values = self.columns[name].take(rows)
        return reasons.broken(name, rows + self.start, values, words)

    def absent(self, name: str, rows: np.ndarray, rule: str) -> Broken:
        """Say of some rows that they lack a value."""
        if not rows.size:
            return NOTHING
        said = pa.array([f"{rule}: absent"]).take(pa.array(np.zeros(len(rows), dtype=np.int64)))
        return Broken(rows=rows + self.start, column=name, reasons=said)

    @cached_property
    def presence(self) -> np.ndarray:
        """(n,) int32: per row the set of columns that hold something, as bits of `bits`."""
        held = np.zeros(self.events.num_rows, dtype=np.int32)
        for name, bit in self.bits.items():
            held |= np.multiply(self.is_present(name), bit, dtype=np.int32)
        return held

    def census(self, is_good: np.ndarray) -> Census:
        """Count the rows, and note when the good ones happened and became known."""
        nothing = Census.nothing(self.rules)
        sets = 1 << len(self.bits)
        counted = np.bincount(self.contract_of * sets + self.presence, minlength=nothing.held.size)
        known, happened = (cells.values for _, cells in self.integers(("known_at", "event_time")))
        places = self.contract_of[is_good]
        np.minimum.at(nothing.known_from, places, known[is_good])
        np.maximum.at(nothing.known_to, places, known[is_good])
        np.maximum.at(nothing.happened_to, places, happened[is_good])
        return replace(nothing, held=counted.reshape(nothing.held.shape))

    @cached_property
    def bits(self) -> dict[str, int]:
        """One bit for each column of which contracts speak."""
        return {name: 1 << place for place, name in enumerate(self.rules.columns)}

    @cached_property
    def kinds(self) -> pa.DictionaryArray:
        """The kind of each row, coded."""
        return _coded(self.columns["kind"].cells)

    @cached_property
    def names(self) -> pa.DictionaryArray:
        """The name of each row, coded."""
        return _coded(self.columns["name"].cells)

    @cached_property
    def name_codes(self) -> np.ndarray:
        """(n,) int64: the place of the name among the distinct ones; a null is behind them."""
        return _places(self.names)

    @cached_property
    def distinct_names(self) -> int:
        """How many names there are."""
        return len(self.names.dictionary)

    @cached_property
    def contract_of(self) -> np.ndarray:
        """(n,) int64: the place of the contract, counted from one; 0 for none."""
        places = {kind: place for place, kind in enumerate(self.rules.contracts, start=1)}
        of_kind = [places.get(kind, NO_CONTRACT) for kind in self.kinds.dictionary.to_pylist()]
        lookup = np.array([*of_kind, NO_CONTRACT], dtype=np.int64)
        return _found(lookup, _places(self.kinds))

    @cached_property
    def pair_of(self) -> np.ndarray:
        """(n,) int64: one number per contract and name, see `pairs`."""
        pairs: np.ndarray = self.contract_of * (self.distinct_names + 1) + self.name_codes
        return pairs

    @cached_property
    def variant_of(self) -> np.ndarray:
        """(n,) int64: the variant that speaks of the row, NO_CONTRACT for none."""
        lookup = np.zeros((len(self.rules.contracts) + 1, self.distinct_names + 1), dtype=np.int64)
        places = {kind: place for place, kind in enumerate(self.rules.contracts, start=1)}
        for number, variant in enumerate(self.rules.variants, start=1):
            place = places[variant.contract.event_kind]
            if not variant.names:  # it comes before those that single names out
                lookup[place] = number
            else:
                listed = pc.is_in(self.names.dictionary, pa.array(variant.names))
                lookup[place, :-1][listed.to_numpy(zero_copy_only=False)] = number
        return _found(lookup.ravel(), self.pair_of)

    @cached_property
    def variant_counts(self) -> np.ndarray:
        """Rows of each variant: (variants + 1,)."""
        return np.bincount(self.variant_of, minlength=len(self.rules.variants) + 1)

    @cached_property
    def names_of(self) -> list[np.ndarray]:
        """Of each variant the codes of the names that occur in its rows."""
        wide = self.distinct_names + 1
        pairs = self.variant_of * wide + self.name_codes
        variants, codes = np.divmod(_occurring(pairs, len(self.variant_counts) * wide), wide)
        return [codes[variants == number] for number in range(len(self.variant_counts))]

    @property
    def _used(self) -> tuple[str, ...]:
        envelope = ("row_key", "source", "kind", "name", "event_time", "known_at", *KEYS, *VALUES)
        return tuple(dict.fromkeys((*envelope, *self.rules.columns)))


def batches(rules: Rules, events: pa.Table, before: Sequence[Broken]) -> Iterator[Batch]:
    """Yield the rows in batches of at most LONGEST_BATCH, in order."""
    for start in range(0, events.num_rows, LONGEST_BATCH):
        yield Batch(rules, events.slice(start, LONGEST_BATCH), start, before)


def _variants(contract: Contract) -> Iterator[Variant]:
    yield Variant(contract=contract, promises=contract.promises(""), names=())
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(contract.named):
        promises = contract.promises(name)
        alike.setdefault(tuple(p.name for p in promises.values()), []).append(name)
    for names in alike.values():
        promises = contract.promises(names[0])
        yield Variant(contract=contract, promises=promises, names=tuple(names))


def _places(coded: pa.DictionaryArray) -> np.ndarray:
    """Return the place of each row's value among the distinct ones; a null is behind them."""
    places = pc.fill_null(coded.indices.cast(pa.int64()), len(coded.dictionary))
    return np.asarray(places.to_numpy())


def _found(lookup: np.ndarray, places: np.ndarray) -> np.ndarray:
    values: np.ndarray = lookup[places]
    return values


def _occurring(numbers: np.ndarray, end: int) -> np.ndarray:
    """Return the distinct ones of numbers in [0, end), ascending."""
    if end > 8 * len(numbers):
        return np.unique(numbers)
    return np.flatnonzero(np.bincount(numbers, minlength=end))


def _coded(cells: pa.Array) -> pa.DictionaryArray:
    return cells.dictionary_encode()
