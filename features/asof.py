"""Point-in-time join of ready-made features: of each entity the latest row that was known at T.

A feature row may be seen at T when `event_time < T` and `known_at <= T`, and with a `max_age` when
`event_time >= T - max_age`. Of the rows that may be seen the greatest by (event_time, known_at) is
joined; of rows alike in both, the one whose other columns are greatest, compared in the order of
their names: null is least, floats are in the total order of IEEE 754, types without an order go by
their text. So late rows and corrections count once they are known, and the order of the input does
not matter.

The rows that ask are sorted by (entity, T) into slots. A feature row enters at the first slot that
may see it and stays to the last of its entity, so the answer is the running maximum of what has
entered; when that is too old at T, all others are older. Features are not sorted: the work is
O((features + rows) x log(rows per entity)), however skewed the entities, however late the features.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from features import log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

type Ints = np.ndarray  # int64, or int32 for codes
type Flags = np.ndarray  # bool
type Cells = pa.Array | pa.ChunkedArray

TEXTS = {pa.string(), pa.large_string(), pa.string_view()}
KEYS = {"entity": TEXTS, "event_time": {log.MICROSECONDS}, "known_at": {log.MICROSECONDS}}
SPINE = {"entity": TEXTS, "time": {log.MICROSECONDS}}
VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def join(
    spine: pa.Table,
    features: pa.Table,
    columns: Sequence[str],
    *,
    max_age: timedelta | None = None,
) -> pa.Table:
    """Return `spine` with `columns` of the row that each entity had at its time, null for none.

    `spine` has entity and time, `features` entity, event_time, known_at and values of any type;
    entities are strings, plain or dictionary-encoded, times are in microseconds UTC. Rows keep
    their order. A row that lacks its entity or a time meets nothing. Raises ValueError for missing
    or repeated columns, other types, and a max_age that is not positive.
    """
    _check("spine", spine, SPINE)
    _check("features", features, dict.fromkeys(columns) | KEYS)
    _check_new(columns, spine)
    limit = _limit(max_age)
    with ThreadPoolExecutor(pa.cpu_count()) as threads:
        rows = _joined(_Asked.of(spine, threads), features, limit, threads)
        values = list(threads.map(lambda name: _taken(features[name], rows), columns))
    for name, column in zip(columns, values, strict=True):
        spine = spine.append_column(features.schema.field(name).with_nullable(True), column)
    return spine


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The rows of a spine that can meet a feature, by entity and then by time: the slots."""

    names: pa.Array  # entities, each once
    starts: Ints  # (entities + 1,): slots of entity g are starts[g]:starts[g + 1]
    times: Ints  # (slots,) T
    places: Ints  # (slots,) row of the spine
    length: int  # of the spine

    @classmethod
    def of(cls, spine: pa.Table, threads: ThreadPoolExecutor) -> _Asked:
        texts = [_texts(chunk) for chunk in spine["entity"].chunks]
        names = pc.unique(pa.chunked_array(texts, pa.string())).drop_null()
        codes = _codes(spine["entity"], names, threads)
        times = _times(spine["time"], codes)
        starts, places = _grouped(codes, len(names))
        times = times[places]
        _spread(threads, len(names), lambda *share: _sort(starts, times, places, *share))
        return cls(names=names, starts=starts, times=times, places=places, length=len(codes))


def _joined(
    asked: _Asked, features: pa.Table, limit: np.uint64, threads: ThreadPoolExecutor
) -> pa.Array:
    """Return per row of the spine the feature row that it meets, or null."""
    codes = _codes(features["entity"], asked.names, threads)
    event, known = (_times(features[name], codes) for name in ("event_time", "known_at"))
    slots, best = np.empty(len(codes), np.int64), np.full(len(asked.times), -1)
    is_tied, rows = np.zeros(len(best), np.bool_), np.full(asked.length, -1)
    both = (codes, event, known, asked.starts, asked.times, slots)
    _spread(threads, len(codes), lambda *share: _find(*both, *share))
    _spread(threads, len(best), lambda *s: _enter(slots, event, known, best, is_tied, *s))
    if is_tied.any():
        _settle(_rivals(slots, best, is_tied, (event, known)), slots, best, features)
    carried = (event, known, best, asked.starts, asked.times, asked.places, limit, rows)
    _spread(threads, len(asked.names), lambda *share: _carry(*carried, *share))
    return pa.array(rows, mask=rows < 0)


def _rivals(slots: Ints, best: Ints, is_tied: Flags, times: tuple[Ints, Ints]) -> Ints:
    """Return the feature rows that are tied for a slot."""
    rivals = np.flatnonzero(is_tied[slots] & (slots >= 0))
    for each in times:
        rivals = rivals[each[rivals] == each[best[slots[rivals]]]]
    return rivals


def _settle(rivals: Ints, slots: Ints, best: Ints, features: pa.Table) -> None:
    """Of the rows that are tied for a slot, make the one with the greatest content the best."""
    others = sorted((n, i) for i, n in enumerate(features.column_names) if n not in KEYS)
    ranks = [_ranks(_taken(features.column(i), pa.array(rivals))) for _, i in others]
    greatest_last = rivals[np.lexsort((*reversed(ranks), slots[rivals]))[::-1]]
    best[slots[greatest_last]] = greatest_last  # what is written last stays


def _ranks(column: pa.ChunkedArray) -> Ints:
    """Return per cell its rank, 1 for the greatest, the same for equal cells: (n,) uint64."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = _ordered_bits(column)
    try:
        ranks = pc.rank(column, "descending", tiebreaker="dense")
    except pa.ArrowNotImplementedError:
        texts = [None if value is None else repr(value) for value in column.to_pylist()]
        ranks = pc.rank(pa.array(texts, pa.string()), "descending", tiebreaker="dense")
    return ranks.to_numpy()  # type: ignore[no-any-return]


def _ordered_bits(column: pa.ChunkedArray) -> pa.Array:
    """Return integers in the total order of the floats (IEEE 754-2019, 5.10)."""
    bits = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy().view(np.int64)
    return pa.array(bits ^ ((bits >> 63) & log.NEVER), mask=pc.is_null(column).to_numpy())


def _taken(column: pa.ChunkedArray, rows: pa.Array) -> pa.ChunkedArray:
    """Return the cells of `rows`, null for null; views are cast, for Arrow takes none of them."""
    if plain := VIEWS.get(column.type):
        return column.cast(plain).take(rows).cast(column.type)
    if not pa.types.is_primitive(column.type) or not len(column):
        return column.take(rows)
    whole, places = column.combine_chunks(), rows.fill_null(0)
    shape = (whole.type, len(whole), [None, whole.buffers()[1]], 0, whole.offset)
    cells = pa.Array.from_buffers(*shape).take(places)  # five times as fast without nulls
    is_there = pc.and_(rows.is_valid(), whole.is_valid().take(places))
    buffers = [is_there.buffers()[1], cells.buffers()[1]]
    return pa.chunked_array([pa.Array.from_buffers(whole.type, len(rows), buffers)])


def _codes(column: pa.ChunkedArray, names: pa.Array, threads: ThreadPoolExecutor) -> Ints:
    """Return per cell its place in `names`, or -1: (n,) int32."""
    if pa.types.is_dictionary(column.type):
        whole = column.combine_chunks()
        codes = pc.index_in(_texts(whole), value_set=names).take(whole.indices)
        return np.array(pc.fill_null(codes, -1))
    size = len(column) // pa.cpu_count() + 1
    parts = [column.slice(start, size) for start in range(0, len(column), size)]
    found = threads.map(lambda part: pc.index_in(_texts(part), value_set=names), parts)
    return np.concatenate([np.empty(0, np.int32), *(pc.fill_null(codes, -1) for codes in found)])


def _texts(cells: Cells) -> Cells:
    """Return the strings of a column, or of its dictionary."""
    texts = cells.dictionary if pa.types.is_dictionary(cells.type) else cells
    return texts if texts.type == pa.string() else texts.cast(pa.string())


def _times(column: pa.ChunkedArray, codes: Ints) -> Ints:
    """Return times as microseconds; a row without one gets the code -1."""
    if column.null_count:
        codes[pc.is_null(column).to_numpy()] = -1
        column = pc.fill_null(column, 0)
    return log.microseconds(column)


def _spread(threads: ThreadPoolExecutor, total: int, work: Callable[[int, int], None]) -> None:
    """Do the work on ranges of 0:total, one for each thread."""
    count = pa.cpu_count()
    bounds = [total * i // count for i in range(count + 1)]
    list(threads.map(work, bounds[:-1], bounds[1:]))


def _limit(max_age: timedelta | None) -> np.uint64:
    if max_age is not None and max_age <= timedelta(0):
        raise ValueError(f"max_age must be positive, got {max_age}: leave it out for no limit")
    age = (max_age or timedelta.max) // timedelta(microseconds=1)
    return np.uint64(min(age, np.iinfo(np.uint64).max))


def _check(name: str, table: pa.Table, types: Mapping[str, set[pa.DataType] | None]) -> None:
    for column, allowed in types.items():
        if table.column_names.count(column) != 1:
            names = ", ".join(table.column_names)
            raise ValueError(f"{name} must have one column '{column}', got {names}: add or rename")
        found = table.schema.field(column).type
        plain = found.value_type if pa.types.is_dictionary(found) else found
        if allowed and plain not in allowed:
            rule = f"'{column}' of {name} must be {' or '.join(sorted(map(str, allowed)))}"
            raise ValueError(f"{rule}, got {found}: cast it before the join")


def _check_new(columns: Sequence[str], spine: pa.Table) -> None:
    names = [*spine.column_names, *columns]
    if repeated := sorted({name for name in columns if names.count(name) > 1}):
        rule = "columns must be new to the spine and named once"
        raise ValueError(f"{rule}, got {', '.join(repeated)}: rename or leave out")


@njit(cache=True, nogil=True)
def _grouped(codes: Ints, groups: int) -> tuple[Ints, Ints]:
    """Return where each group starts, and the places of all codes but -1, group by group."""
    starts = np.zeros(groups + 1, np.int64)
    for code in codes:
        if code >= 0:
            starts[code + 1] += 1
    for group in range(groups):
        starts[group + 1] += starts[group]
    free = starts.copy()
    places = np.empty(starts[groups], np.int64)
    for place in range(codes.size):
        if codes[place] >= 0:
            places[free[codes[place]]] = place
            free[codes[place]] += 1
    return starts, places


@njit(cache=True, nogil=True)
def _sort(starts: Ints, times: Ints, places: Ints, low: int, high: int) -> None:
    for group in range(low, high):
        start, end = starts[group], starts[group + 1]
        order = np.argsort(times[start:end])
        times[start:end] = times[start:end][order]
        places[start:end] = places[start:end][order]


@njit(cache=True, nogil=True)
def _find(
    codes: Ints, event: Ints, known: Ints, starts: Ints, times: Ints,
    slots: Ints, low: int, high: int,
) -> None:  # fmt: skip
    for row in range(low, high):
        slots[row] = -1
        if codes[row] >= 0:
            slot, end = starts[codes[row]], starts[codes[row] + 1]
            above = end
            while slot < above:
                middle = (slot + above) // 2
                if times[middle] > event[row] and times[middle] >= known[row]:
                    above = middle
                else:
                    slot = middle + 1
            if slot < end:
                slots[row] = slot


@njit(cache=True, nogil=True)
def _enter(
    slots: Ints, event: Ints, known: Ints, best: Ints, is_tied: Flags, low: int, high: int
) -> None:
    for row in range(slots.size):
        slot = slots[row]
        if slot < low or slot >= high:
            continue
        other = best[slot]
        if other >= 0 and event[row] == event[other] and known[row] == known[other]:
            is_tied[slot] = True
        elif other < 0 or (event[row], known[row]) > (event[other], known[other]):
            best[slot], is_tied[slot] = row, False


@njit(cache=True, nogil=True)
def _carry(
    event: Ints, known: Ints, best: Ints, starts: Ints, times: Ints,
    places: Ints, limit: np.uint64, rows: Ints, low: int, high: int,
) -> None:  # fmt: skip
    for group in range(low, high):
        now = -1
        for slot in range(starts[group], starts[group + 1]):
            new = best[slot]
            if now < 0 or (new >= 0 and (event[new], known[new]) > (event[now], known[now])):
                now = new
            # unsigned: the difference of any two times fits
            if now >= 0 and np.uint64(times[slot]) - np.uint64(event[now]) <= limit:
                rows[places[slot]] = now
