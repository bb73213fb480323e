"""Counts and sums of plain events: all choices, values and windows of a key in one sweep.

Sums do not care about order. So events are only brought together by group, those that no sum asks
for are left out by a table of kinds and names, and each event adds at the first row that it covers
and takes back at the last, straight into the columns. Marks of a group follow one another in time
for the most part, so they are looked for from where the last one was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from features import log
from features.compute.measures import Measure, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from features.compute.groups import Groups
    from features.compute.inputs import Inputs
    from features.views.language import Events

type Ints = np.ndarray  # int64 or int32
type Flags = np.ndarray  # bool

ONE, NUMBER, HAS_NUMBER = 0, 1, 2  # what a lane adds up
NEVER = log.NEVER
NEAR = 8  # rows that are looked through one by one
SOME = 256  # events that are looked at at a time


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One value of one choice of events, summed over some windows."""

    choices: tuple[Events, ...]  # events must be in all of them
    value: int


def is_total(measure: Measure) -> bool:
    """Is a measure a count or a sum of events that are told by kind and name alone?"""
    if measure.reduction != "sum" or not isinstance(measure.of, Stream) or measure.of.partner:
        return False
    return not any(choice.where for choice in _lane(measure).choices)


def totals(measures: Sequence[Measure], inputs: Inputs, groups: Groups) -> dict[Measure, Ints]:
    """Return the sums of one key for rows in the order of their groups: (rows,) int64 each."""
    lanes = list(dict.fromkeys(_lane(measure) for measure in measures))
    windows = sorted({_window(measure) for measure in measures})
    columns = np.full((len(lanes), len(windows)), -1, np.int64)
    for place, measure in enumerate(measures):
        columns[lanes.index(_lane(measure)), windows.index(_window(measure))] = place
    classes, table = _classes(lanes, inputs)
    kinds, names = inputs.codes("kind")[0], inputs.codes("name")[0]
    chosen = _by_group(kinds, names, classes, groups.of_events(inputs), len(groups))
    found = np.zeros((len(measures), len(groups.times)), np.int64)
    _sweep(
        (inputs.times, inputs.known, inputs.leave, *_numbers(lanes, inputs)),
        chosen,
        (groups.starts, groups.times),
        (*table, np.array([lane.value for lane in lanes]), columns, np.array(windows, np.int64)),
        found,
    )
    return dict(zip(measures, found, strict=True))


def _lane(measure: Measure) -> Lane:
    choice, value = measure.of.events, measure.value  # type: ignore[union-attr]
    if not isinstance(value, str):
        return Lane(choices=(choice, value), value=ONE)
    return Lane(choices=(choice,), value=("one", "number", "has_number").index(value))


def _window(measure: Measure) -> int:
    return log.NEVER if measure.window_us is None else measure.window_us


def _numbers(lanes: list[Lane], inputs: Inputs) -> tuple[Ints, Flags]:
    """Return numbers and which there are, of those only that lanes want."""
    values = {lane.value for lane in lanes}
    numbers = inputs.numbers if NUMBER in values else np.empty(0, np.int64)
    return numbers, inputs.has_number if HAS_NUMBER in values else np.empty(0, bool)


def _classes(lanes: list[Lane], inputs: Inputs) -> tuple[Ints, tuple[Ints, Ints]]:
    """Return the class of each kind and name, (kinds + 1, names + 1) int32 with -1 for none and
    null last, and the lanes of each class: where they begin, (classes + 1,), and they.
    """
    kinds, names = (_places(inputs.codes(column)[1]) for column in ("kind", "name"))
    found = np.full((len(kinds) + 1, len(names) + 1), -1, np.int32)
    known: dict[tuple[int, ...], int] = {}
    for kind in {lane.choices[0].kind for lane in lanes} & kinds.keys():
        mine = [(n, _names_of(lane.choices)) for n, lane in enumerate(lanes) if _is_of(lane, kind)]
        always = tuple(n for n, wanted in mine if wanted is None)
        if always:
            found[kinds[kind]] = known.setdefault(always, len(known))
        for name in set().union(*(wanted for _, wanted in mine if wanted)) & names.keys():
            both = tuple(n for n, wanted in mine if wanted is None or name in wanted)
            found[kinds[kind], names[name]] = known.setdefault(both, len(known))
    starts = np.cumsum([0, *(len(numbers) for numbers in known)])
    return found, (starts, np.array([n for numbers in known for n in numbers], np.int64))


def _places(words: pa.Array) -> dict[str, int]:
    return {word: place for place, word in enumerate(words.to_pylist())}


def _is_of(lane: Lane, kind: str) -> bool:
    return all(choice.kind == kind for choice in lane.choices)


def _names_of(choices: tuple[Events, ...]) -> frozenset[str] | None:
    """Return the names that are in all choices, or None for any name."""
    named = [frozenset(choice.names) for choice in choices if choice.names]
    return frozenset.intersection(*named) if named else None


@njit(cache=True, nogil=True)
def _by_group(
    kinds: Ints, names: Ints, classes: Ints, group: Ints, groups: int
) -> tuple[Ints, Ints, Ints]:
    """Return the events that have a class and a group, group by group: their places and classes,
    (events,) int32, and where each group begins, (groups + 1,).
    """
    starts = np.zeros(groups + 2, np.int64)
    for i in range(group.size):
        if group[i] >= 0 and classes[kinds[i], names[i]] >= 0:
            starts[group[i] + 2] += 1
    for number in range(2, groups + 2):
        starts[number] += starts[number - 1]
    places = np.empty(starts[-1], np.int32)
    found = np.empty(starts[-1], np.int32)
    for i in range(group.size):
        if group[i] >= 0 and classes[kinds[i], names[i]] >= 0:
            free = starts[group[i] + 1]
            places[free], found[free] = i, classes[kinds[i], names[i]]
            starts[group[i] + 1] = free + 1
    return places, found, starts[:-1]


@njit(cache=True, nogil=True)
def _sweep(
    events: tuple[Ints, Ints, Ints, Ints, Flags],
    chosen: tuple[Ints, Ints, Ints],
    rows: tuple[Ints, Ints],
    table: tuple[Ints, Ints, Ints, Ints, Ints],
    found: Ints,
) -> None:
    """Write the sums to `found`, (columns, rows): events some at a time, group by group.

    A cell is one row, window and lane; window 0 has what comes, the others what goes.
    """
    places, classes, starts = chosen
    row_starts, moments = rows
    wide, most = (table[4].size + 1) * table[2].size, 0
    for group in range(starts.size - 1):
        most = max(most, row_starts[group + 1] - row_starts[group])
    cells, between = np.zeros((most + 1) * wide, np.int64), np.empty(most + 2, np.int64)
    at, last = np.empty((SOME, table[4].size + 1), np.int64), np.empty(table[4].size + 1, np.int64)
    for group in range(starts.size - 1):
        count = row_starts[group + 1] - row_starts[group]
        if count and starts[group] < starts[group + 1]:
            between[0], between[count + 1], last[:] = -NEVER, NEVER, 1
            between[1 : count + 1] = moments[row_starts[group] : row_starts[group + 1]]
            for begin in range(starts[group], starts[group + 1], SOME):
                end = min(begin + SOME, starts[group + 1])
                _seek(events, places[begin:end], between[: count + 2], table, (at, last))
                _mark(events, (places[begin:end], classes[begin:end]), table, at, cells)
            own = cells[: (count + 1) * wide].reshape(count + 1, -1, table[2].size)
            _accumulate(own, table[3], row_starts[group], found)


@njit(cache=True, nogil=True)
def _seek(
    events: tuple[Ints, Ints, Ints, Ints, Flags],
    places: Ints,
    rows: Ints,
    table: tuple[Ints, Ints, Ints, Ints, Ints],
    found: tuple[Ints, Ints],
) -> None:
    """Write the first row that each event covers and, per window, one past the last: where the
    cells of that row and window begin. Looks for them from the `last` ones; `rows` are T between
    -NEVER and NEVER.
    """
    at, last = found
    lanes, windows = table[2].size, table[4]
    wide = at.shape[1] * lanes
    since, leave = np.empty(places.size, np.int64), np.empty(places.size, np.int64)
    row = last[0]
    for i in range(places.size):
        since[i], leave[i] = events[0][places[i]], events[2][places[i]]
        row = _moved(rows, row, max(since[i] + 1, events[1][places[i]]))
        at[i, 0] = (row - 1) * wide
    last[0] = row
    for window in range(windows.size):
        row, length = last[window + 1], windows[window]
        for i in range(places.size):
            past = min(leave[i], since[i] + length + 1) if length < NEVER else leave[i]
            row = _moved(rows, row, past)
            at[i, window + 1] = max((row - 1) * wide, at[i, 0]) + (window + 1) * lanes
        last[window + 1] = row


@njit(cache=True, nogil=True, inline="always")
def _moved(rows: Ints, row: int, moment: int) -> int:
    """Return the first row whose T is not before a moment, looked for from `row`."""
    if rows[min(row + NEAR, rows.size - 1)] < moment or rows[max(row - NEAR, 0)] >= moment:
        row = int(np.searchsorted(rows, moment))
    while rows[row] < moment:
        row += 1
    while rows[row - 1] >= moment:
        row -= 1
    return row


@njit(cache=True, nogil=True)
def _mark(
    events: tuple[Ints, Ints, Ints, Ints, Flags],
    chosen: tuple[Ints, Ints],
    table: tuple[Ints, Ints, Ints, Ints, Ints],
    at: Ints,
    cells: Ints,
) -> None:
    """Add each event at its first row, and behind the last of each window."""
    places, classes = chosen
    starts, lanes, values = table[:3]
    for i in range(places.size):
        for j in range(starts[classes[i]], starts[classes[i] + 1]):
            lane, value = lanes[j], 1
            if values[lane] == NUMBER:
                value = events[3][places[i]]
            elif values[lane] == HAS_NUMBER:
                value = int(events[4][places[i]])
            for window in range(at.shape[1]):
                cells[at[i, window] + lane] += value


@njit(cache=True, nogil=True)
def _accumulate(cells: Ints, columns: Ints, begin: int, found: Ints) -> None:
    """Make sums of the marks of a group, and clear them."""
    rows = cells.shape[0] - 1
    for row in range(1, rows):
        cells[row] += cells[row - 1]
    for lane in range(columns.shape[0]):
        for window in range(columns.shape[1]):
            column = columns[lane, window]
            if column >= 0:
                for row in range(rows):
                    found[column, begin + row] = cells[row, 0, lane] - cells[row, window + 1, lane]
    cells[:] = 0
