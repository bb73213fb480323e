"""The check of events against their contracts: good rows on, broken rows out with their reasons.

A family of rules is a function that finds the rows that break it; the check is all families over
all events, batch by batch. Columns are judged whole, so that only a broken row costs more than
nanoseconds, and good rows are not copied where all are good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.errors import WrongUse, nearest
from features.contracts import families, promises
from features.contracts.batch import Batch, Census, Clock, Rules, batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from features.contracts.contract import Contract
    from features.contracts.reasons import Broken

type Family = Callable[[Batch, Clock], Iterator[Broken]]

_NEEDED = ("name", *families.ENVELOPE)
_FAMILIES: tuple[Family, ...] = (
    families.complete,
    families.in_our_time,
    families.in_order,
    families.not_ahead,
    families.of_known_kind,
    families.well_formed,
    families.not_identifying,
    promises.required,
    promises.any_of,
    promises.declared,
    promises.listed,
    promises.in_range,
    promises.matching,
    promises.of_length,
)
FAMILIES = {family.__name__: family for family in _FAMILIES}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The verdict over a table of events: every row is in exactly one of the two."""

    good: pa.Table  # the rows that keep every rule, unchanged and in their order
    bad: pa.Table  # the others, `reasons` ("rule: value" of each broken rule, by "; ") and `row`
    broken: tuple[Broken, ...]  # every broken rule by column, those found before included
    census: Census  # of all rows


def check(
    contracts: Mapping[str, Contract] | Rules,
    events: pa.Table,
    before: Sequence[Broken] = (),
    *,
    now: datetime | None = None,
) -> Checked:
    """Split events by their contracts; WrongUse when a column that the rules need is missing.

    `before` is what reading the rows found broken, by positions in `events`: it is told first, and
    a cell that could not be read is not told to be absent as well. `row` of the bad ones is the
    position in `events` as well. Without `now` no time lies in the future. Who checks a few rows
    at a time makes the Rules once.
    """
    rules = contracts if isinstance(contracts, Rules) else Rules.of(contracts)
    _require_columns(rules, events)
    found = [broken for broken in before if len(broken.rows)]
    census = Census.nothing(rules)
    for batch in batches(rules, events, tuple(found)):
        here = [b for family in FAMILIES.values() for b in family(batch, Clock(now=now))]
        found += [broken for broken in here if len(broken.rows)]
        census += batch.census(_is_good(batch, here))
    return _split(events, found, census)


def _is_good(batch: Batch, here: list[Broken]) -> np.ndarray:
    is_good = np.ones(batch.events.num_rows, dtype=bool)
    for broken in here:
        is_good[broken.rows - batch.start] = False
    for column in {broken.column for broken in batch.before}:
        is_good[batch.failed(column)] = False
    return is_good


def _require_columns(rules: Rules, events: pa.Table) -> None:
    missing = sorted({*_NEEDED, *rules.columns} - set(events.column_names))
    if missing:
        hint = nearest(missing[0], events.column_names)
        raise WrongUse(
            f"events must have column '{missing[0]}' of their contracts, got none: {hint}"
        )


def _split(events: pa.Table, found: list[Broken], census: Census) -> Checked:
    rows, reasons = _by_row(found)
    bad, good = _told(events.take(pa.array(rows)), rows, reasons), events
    if rows.size:
        is_good = np.ones(events.num_rows, dtype=bool)
        is_good[rows] = False
        good = events.filter(pa.array(is_good))
    return Checked(good=good, bad=bad, broken=tuple(found), census=census)


def _told(bad: pa.Table, rows: np.ndarray, reasons: pa.Array) -> pa.Table:
    bad = bad.append_column("reasons", reasons)
    return bad.append_column("row", pa.array(rows, pa.int64()))


def _by_row(found: list[Broken]) -> tuple[np.ndarray, pa.Array]:
    """Return the broken rows in order, and of each its reasons in the order of the families."""
    if not found:
        return np.empty(0, dtype=np.int64), pa.array([], pa.string())
    rows = np.concatenate([np.asarray(broken.rows, dtype=np.int64) for broken in found])
    said = pa.concat_arrays([_strings(broken.reasons) for broken in found])
    order = np.argsort(rows, kind="stable")
    distinct, starts = np.unique(rows[order], return_index=True)
    ends = pa.array(np.append(starts, len(rows)).astype(np.int32))
    lists = pa.ListArray.from_arrays(ends, said.take(pa.array(order)))
    return distinct, pc.binary_join(lists, "; ")


def _strings(reasons: Sequence[str] | pa.Array) -> pa.Array:
    whole = reasons.combine_chunks() if isinstance(reasons, pa.ChunkedArray) else reasons
    return whole if isinstance(whole, pa.Array) else pa.array(list(whole), pa.string())
