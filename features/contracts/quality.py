"""The tally of an ingestion: rows per kind and field, how many hold a value and how many are valid.

A tally is a sum, so workers may count apart. Scores are made of it in `scores`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.contracts.batch import Census
    from features.contracts.check import Checked
    from features.contracts.contract import Contract

UNKNOWN = ""  # the kind of rows without a contract
ENVELOPE = ("event_time", "kind", "known_at", "row_key", "source")
_DAY_US = 86_400_000_000
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True)
class Count:
    """Rows of one kind, and of each field how many hold a value and how many break a rule."""

    rows: int = 0
    present: Mapping[str, int] = field(default_factory=dict)  # by field
    broken: Mapping[str, int] = field(default_factory=dict)  # by field
    known_from: int | None = None  # microseconds, of good rows
    known_to: int | None = None
    happened_to: int | None = None

    def __add__(self, other: Count) -> Count:
        """Return the count of the rows of both."""
        return Count(
            rows=self.rows + other.rows,
            present=_summed(self.present, other.present),
            broken=_summed(self.broken, other.broken),
            known_from=min(_there(self.known_from, other.known_from), default=None),
            known_to=max(_there(self.known_to, other.known_to), default=None),
            happened_to=max(_there(self.happened_to, other.happened_to), default=None),
        )

    @property
    def days(self) -> int:
        """Days that known_at covers, at least one."""
        if self.known_from is None or self.known_to is None:
            return 1
        return (self.known_to - self.known_from) // _DAY_US + 1


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts by kind. The sum of two is the tally of the rows of both, in either order."""

    kinds: Mapping[str, Count] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of the rows of both."""
        every, none = sorted({*self.kinds, *other.kinds}), Count()
        return Tally(kinds={k: self.kinds.get(k, none) + other.kinds.get(k, none) for k in every})


NOTHING = Tally()


def tally(terms: Mapping[str, Contract], checked: Checked) -> Tally:
    """Count the rows of a checked lot, good and bad."""
    kinds = [UNKNOWN, *terms]
    broken = _broken(kinds, checked)
    rows = checked.census.held.sum(axis=1).tolist()
    there = [place for place, count in enumerate(rows) if count]
    counts = {kinds[p]: _count(checked.census, p, rows[p], broken[kinds[p]]) for p in there}
    return Tally(kinds=dict(sorted(counts.items())))


def _count(census: Census, place: int, rows: int, broken: Mapping[str, int]) -> Count:
    known_to = int(census.known_to[place])
    count = Count(rows=rows, present=_present(census, place, rows, broken), broken=broken)
    if known_to == _NEVER:
        return count
    return Count(
        rows=rows,
        present=count.present,
        broken=broken,
        known_from=int(census.known_from[place]),
        known_to=known_to,
        happened_to=int(census.happened_to[place]),
    )


def _present(census: Census, place: int, rows: int, broken: Mapping[str, int]) -> dict[str, int]:
    held = census.held[place]
    sets = np.arange(len(held))
    there = {
        column: int(held[(sets >> bit) & 1 == 1].sum()) for bit, column in enumerate(census.columns)
    }
    # what every event needs is absent only where a rule is broken
    return there | {name: rows - broken.get(name, 0) for name in ENVELOPE}


def _broken(kinds: Sequence[str], checked: Checked) -> dict[str, dict[str, int]]:
    """Return by kind and column how many rows break a rule there."""
    counted: dict[str, dict[str, int]] = {kind: {} for kind in kinds}
    rows = checked.bad["row"].to_numpy()
    names = pc.index_in(checked.bad["kind"], value_set=pa.array(kinds, pa.string()))
    kind_of_row = pc.fill_null(names, 0).to_numpy()
    for column in sorted({broken.column for broken in checked.broken}):
        mine = [np.asarray(b.rows, np.int64) for b in checked.broken if b.column == column]
        places = np.searchsorted(rows, np.unique(np.concatenate(mine)))
        for kind, count in zip(kinds, np.bincount(kind_of_row[places]).tolist(), strict=False):
            if count:
                counted[kind][column] = count
    return counted


def _summed(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    every = sorted({*some, *others})
    return {name: some.get(name, 0) + others.get(name, 0) for name in every}


def _there(*moments: int | None) -> list[int]:
    return [moment for moment in moments if moment is not None]
