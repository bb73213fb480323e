"""Rows to be given features, grouped by the key that they share with events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log

if TYPE_CHECKING:
    from features.compute.inputs import Inputs, Ints


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Rows sorted by (group, T), where a group is the rows that share one key value."""

    key: str  # event column that names the group
    values: pa.Array  # key value per group
    starts: Ints  # (groups + 1,) first sorted row of each group
    times: Ints  # (rows,) T, sorted within its group
    back: Ints  # (rows,) sorted position of each original row

    @classmethod
    def of(cls, rows: pa.Table, column: str, key: str) -> Groups:
        """Group rows by a column; rows without a value belong to no group of events."""
        encoded = rows[column].combine_chunks().dictionary_encode()
        codes = pc.fill_null(encoded.indices, len(encoded.dictionary)).to_numpy(
            zero_copy_only=False
        )
        times = log.microseconds(rows["time"])
        order = np.lexsort((times, codes))
        counts = np.bincount(codes, minlength=len(encoded.dictionary) + 1)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return cls(
            key=key,
            values=encoded.dictionary,
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            times=times[order],
            back=back,
        )

    @cached_property
    def is_as_given(self) -> bool:
        """Do the rows come in this order?"""
        return bool((self.back == np.arange(len(self.back))).all())

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
