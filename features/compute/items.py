"""Items: what a reduction goes over, events or pairs of them, group by group and in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from features.compute import order
from features.compute.formulas import working_minutes
from features.compute.measures import NONE, Pairs
from features.compute.pairs import paired
from features.views.language import Events

if TYPE_CHECKING:
    from collections.abc import Callable

    from features.compute.groups import Groups
    from features.compute.inputs import Inputs, Ints
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
    values: Callable[[str | Events], Ints]  # (items,) int64; NONE where there is none
    places: Ints  # (items,) the event, of a pair the later one
    _first: list[Ints] = field(default_factory=list)
    _last: dict[int | None, Ints] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.groups.times)

    @property
    def first(self) -> Ints:
        """First row that each item covers: (items,) int32."""
        if not self._first:
            rows = (self.groups.starts, self.groups.times)
            self._first.append(order.entered(self.group, self.enter, *rows))
        return self._first[0]

    def last(self, window_us: int | None) -> Ints:
        """One past the last row that each item covers, given a window: (items,) int32."""
        if window_us not in self._last:
            leave = self.leave
            if window_us is not None:
                leave = np.minimum(leave, self.since + (window_us + 1))
            rows = (self.groups.starts, self.groups.times)
            self._last[window_us] = order.left(self.group, self.first, leave, *rows)
        return self._last[window_us]


def of_stream(stream: Stream, inputs: Inputs, groups: Groups) -> Items:
    """Return the events of a stream that belong to a group of rows."""
    group = groups.of_events(inputs)
    chosen = inputs.chosen(stream.events)
    if stream.partner is not None:
        chosen = chosen | inputs.chosen(stream.partner)
    wanted = chosen & (group >= 0)
    places, starts = order.by_group(inputs.order[wanted[inputs.order]], group, len(groups))
    return Items(
        groups=groups,
        group=group[places],
        starts=starts,
        since=inputs.times[places],
        enter=inputs.enter[places],
        leave=inputs.leave[places],
        values=lambda value: _of_events(value, inputs, places),
        places=places,
    )


def of_pairs(pairs: Pairs, inputs: Inputs, events: Items) -> Items:
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
        starts=np.searchsorted(group, np.arange(len(events.starts))),
        since=events.since[earlier],
        enter=came,
        leave=went,
        values=lambda value: _of_pairs(value, events.since[earlier], events.since[later]),
        places=events.places[later],
    )


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


def _of_pairs(value: str | Events, earlier: Ints, later: Ints) -> Ints:
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
