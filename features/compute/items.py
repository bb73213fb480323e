"""Items: what a reduction goes over, events or pairs of them, group by group and in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from features import log
from features.compute import order
from features.compute.formulas import working_minutes
from features.compute.measures import NONE, Pairs
from features.compute.pairs import paired
from features.views.language import Events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from features.compute.groups import Groups
    from features.compute.inputs import Flags, Inputs, Ints
    from features.compute.measures import Stream

MINUTE = 60_000_000  # microseconds


@dataclass(frozen=True, kw_only=True)
class Items:
    """Events or pairs, each in force for the moments `enter <= T < leave`."""

    groups: Groups
    group: Ints  # (items,) ascending
    starts: Ints  # (groups + 1,) first item of each group
    since: Ints  # (items,) time that must lie in a window
    enter: Ints
    leave: Ints
    places: Ints  # (items,) the event, of a pair the later one
    valued: Callable[[str | Events], Ints]  # (items,) int64; NONE where there is none
    windows: tuple[int | None, ...]  # of the measures of these items, None last
    _values: dict[str | Events, Ints] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.groups.times)

    def values(self, value: str | Events) -> Ints:
        """Return a value of each item: (items,) int64."""
        if value not in self._values:
            self._values[value] = self.valued(value)
        return self._values[value]

    @cached_property
    def covered(self) -> tuple[Ints, Ints]:
        """First row that each item covers, (items,), and one past the last, (windows, items)."""
        windows = np.array([log.NEVER if w is None else w for w in self.windows], np.int64)
        rows = (self.groups.starts, self.groups.times)
        return order.covered(self.group, (self.enter, self.leave, self.since), windows, rows)

    def runs(self, window_us: int | None) -> tuple[Ints, Ints]:
        """Return first rows and, for one window, one past the last: (items,) int32 each."""
        first, last = self.covered
        return first, last[self.windows.index(window_us)]


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """Events that belong to a group of rows, by group and in order."""

    groups: Groups
    places: Ints
    group: Ints
    times: Ints
    enter: Ints
    leave: Ints

    @classmethod
    def of(cls, inputs: Inputs, groups: Groups, is_wanted: Flags) -> Sorted:
        """Sort the events that are wanted."""
        group = np.where(is_wanted, groups.of_events(inputs), np.int32(-1))
        places, _ = order.by_group(group, len(groups), inputs.keys)
        return cls(
            groups=groups,
            places=places,
            group=group[places],
            times=inputs.times[places],
            enter=inputs.enter[places],
            leave=inputs.leave[places],
        )


def ascending(windows: Iterable[int | None]) -> tuple[int | None, ...]:
    """Return windows once each, the shortest first, all history last."""
    return tuple(sorted(set(windows), key=lambda w: log.NEVER if w is None else w))


def is_of(stream: Stream, inputs: Inputs) -> Flags:
    """Return which events a stream is made of: (events,) bool."""
    chosen = inputs.chosen(stream.events)
    return chosen if stream.partner is None else chosen | inputs.chosen(stream.partner)


def of_stream(
    stream: Stream, inputs: Inputs, events: Sorted, windows: tuple[int | None, ...]
) -> Items:
    """Return the events of a stream that belong to a group of rows."""
    arrays = (events.places, events.group, events.times, events.enter, events.leave)
    places, group, since, enter, leave = order.chosen(is_of(stream, inputs), *arrays)
    return Items(
        groups=events.groups,
        group=group,
        starts=_starts(group, len(events.groups)),
        since=since,
        enter=enter,
        leave=leave,
        places=places,
        valued=lambda value: _of_events(value, inputs, places),
        windows=windows,
    )


def of_pairs(pairs: Pairs, inputs: Inputs, events: Items, windows: tuple[int | None, ...]) -> Items:
    """Return the pairs of a stream's items."""
    ends = (pairs.before, pairs.after)
    before, after = (_is_one(end, inputs, events.places) for end in ends)
    earlier, later, came, went = paired(
        events.since, events.enter, events.leave, events.starts, (before, after, pairs.apart_days)
    )
    group = events.group[earlier]
    return Items(
        groups=events.groups,
        group=group,
        starts=_starts(group, len(events.groups)),
        since=events.since[earlier],
        enter=came,
        leave=went,
        places=events.places[later],
        valued=lambda value: values_of_pairs(value, events.since[earlier], events.since[later]),
        windows=windows,
    )


def _starts(group: Ints, groups: int) -> Ints:
    """Return where each group begins, of ascending ones: (groups + 1,)."""
    starts = np.zeros(groups + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=groups), out=starts[1:])
    return starts


def _is_one(end: Events | None, inputs: Inputs, places: Ints) -> np.ndarray:
    return np.ones(len(places), bool) if end is None else inputs.chosen(end)[places]


def _of_events(value: str | Events, inputs: Inputs, places: Ints) -> Ints:
    """Return a value of each event: of a column of words its code, -1 for null."""
    if isinstance(value, Events):
        values = inputs.chosen(value).astype(np.int64)
    elif value == "known_number":
        values = np.where(inputs.has_number, inputs.numbers, NONE)
    elif value in _OF_EVENTS:
        values = _OF_EVENTS[value](inputs)
    else:
        values, _ = inputs.codes(value)
    chosen: Ints = values[places]
    return chosen


_OF_EVENTS: dict[str, Callable[[Inputs], Ints]] = {
    "number": lambda inputs: inputs.numbers,
    "has_number": lambda inputs: inputs.has_number.astype(np.int64),
    "time": lambda inputs: inputs.times,
}


def values_of_pairs(value: str | Events, earlier: Ints, later: Ints) -> Ints:
    """Return a value of each pair: its gap in microseconds, in minutes, in working minutes."""
    if value == "time":
        return later
    gap: Ints = later - earlier
    if value == "gap":
        return gap
    if str(value).startswith("work"):
        gap = working_minutes(later) - working_minutes(earlier)
    else:
        gap = gap // MINUTE
    return gap * gap if str(value).endswith("2") else gap
