"""Rows to be given features, grouped by the key that they share with events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.compute.order import in_order, is_ascending

if TYPE_CHECKING:
    from features.compute.inputs import Inputs, Ints


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Rows sorted by (group, T), where a group is the rows that share one key value."""

    key: str  # event column that names the group
    values: pa.Array  # key value per group
    starts: Ints  # (groups + 1,) first sorted row of each group
    times: Ints  # (rows,) T, sorted within its group
    places: Ints  # (rows,) original row of each sorted one

    @classmethod
    def of(cls, rows: pa.Table, column: str, key: str) -> Groups:
        """Group rows by a column; rows without a value belong to no group of events."""
        codes, values = encoded(rows[column])
        times = log.microseconds(rows["time"])
        places, starts = in_order(codes, times, len(values) + 1)
        return cls(key=key, values=values, starts=starts, times=times[places], places=places)

    @cached_property
    def is_as_given(self) -> bool:
        """Do the rows come in this order?"""
        return is_ascending(self.places)

    @cached_property
    def back(self) -> Ints:
        """Sorted position of each original row: (rows,) int64."""
        back = np.empty(len(self.places), np.int64)
        back[self.places] = np.arange(len(back))
        return back

    def __len__(self) -> int:
        """How many groups have a key."""
        return len(self.values)

    def of_events(self, inputs: Inputs) -> Ints:
        """Return the group of each event, or -1: (events,) int32."""
        codes, words = inputs.codes(self.key)
        found = pc.index_in(words, value_set=self.values)
        places = pc.fill_null(found, -1).to_numpy(zero_copy_only=False)
        group: Ints = np.append(places, np.int32(-1))[codes]
        return group


def encoded(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Return words as places in a list of different words, nulls as one past its end, and it."""
    whole = column.combine_chunks().dictionary_encode()
    codes = pc.fill_null(whole.indices, len(whole.dictionary)).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), whole.dictionary
