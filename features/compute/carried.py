"""Pairs over slices of time: what must be known of a slice to pair its events with later ones.

An event of a later slice comes into force behind the end of this one. So it can only follow one
that is the last of its group at some moment behind the end: those are carried, each with the
moments at which it is the last, if there is a row then. So they are no more than rows, and as a
rule one of a group. Among the events of the next slice they stand first, and no two are there at
once, so that the walk over pairs meets them like any other event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numba import njit

from features import log
from features.compute.formulas import period
from features.compute.items import Items, values_of_pairs
from features.compute.pairs import paired

if TYPE_CHECKING:
    from features.compute.inputs import Flags, Inputs, Ints
    from features.compute.measures import Pairs
    from features.views.language import Events


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Events of slices before, each with the moments at which it is the last one of its group."""

    group: Ints
    since: Ints  # event_time
    enter: Ints
    leave: Ints
    chosen: dict[Events, Flags]  # what they must be to be the earlier one of a pair

    @classmethod
    def none(cls) -> Self:
        """Before the first slice there is nothing."""
        nothing = np.empty(0, np.int64)
        return cls(group=nothing, since=nothing, enter=nothing, leave=nothing, chosen={})

    def are(self, choice: Events) -> Flags:
        """Return which of them are of a choice: (events,) bool; none of one that is not asked of an
        earlier event.
        """
        return self.chosen.get(choice, np.zeros(len(self.group), bool))


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What follows what in one stream of a slice: events carried into it, its own, and in each
    group one that stands for whatever comes behind its end.
    """

    events: Items
    carried: Carried
    inputs: Inputs
    origin: Ints  # (walked,) place in carried, own and to come, one after the other
    group: Ints  # (walked,) ascending
    since: Ints
    pairs: tuple[Ints, Ints, Ints, Ints]  # earlier, later, came, went

    @classmethod
    def of(cls, events: Items, carried: Carried, inputs: Inputs, end: int) -> Self:
        """Walk over the events of a stream that a slice has; its events happen before `end`."""
        count = len(events.groups)
        group = np.concatenate([carried.group, events.group, np.arange(count)])
        origin = np.argsort(group, kind="stable")
        never = np.full(count, log.NEVER)
        come = never if end == log.NEVER else np.full(count, end + 1)
        since = np.concatenate([carried.since, events.since, never])[origin]
        enter = np.concatenate([carried.enter, events.enter, come])[origin]
        leave = np.concatenate([carried.leave, events.leave, never])[origin]
        starts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=count))])
        every = np.ones(len(origin), bool)
        found = paired(since, enter, leave, starts, (every, every, 0))
        held = found[2] < found[3]
        return cls(
            events=events,
            carried=carried,
            inputs=inputs,
            origin=origin,
            group=group[origin],
            since=since,
            pairs=(found[0][held], found[1][held], found[2][held], found[3][held]),
        )

    def items(self, pairs: Pairs, windows: tuple[int | None, ...]) -> Items:
        """Return the pairs that are asked for, the later one an event of this slice."""
        earlier, later, _, _ = self.pairs
        fits = self._is_own(later) & _apart(self.since, earlier, later, pairs.apart_days)
        fits &= self._are(pairs.before)[earlier] & self._are(pairs.after)[later]
        return self._items(np.flatnonzero(fits), windows)

    def left(self, choices: set[Events]) -> Carried:
        """Return what is carried out of the slice; what is the last one at no row's T is not."""
        come = len(self.carried.group) + len(self.events.group)
        numbers = np.flatnonzero(self.origin[self.pairs[1]] >= come)
        numbers = numbers[_seen(self._items(numbers, (None,)))]
        earlier, _, came, went = (part[numbers] for part in self.pairs)
        return Carried(
            group=self.group[earlier],
            since=self.since[earlier],
            enter=came,
            leave=went,
            chosen={choice: self._are(choice)[earlier] for choice in choices},
        )

    def _items(self, numbers: Ints, windows: tuple[int | None, ...]) -> Items:
        """Return some of the pairs, by their numbers."""
        earlier, later, came, went = (part[numbers] for part in self.pairs)
        since, until, group = self.since[earlier], self.since[later], self.group[earlier]
        counts = np.bincount(group, minlength=len(self.events.groups))
        return Items(
            groups=self.events.groups,
            group=group,
            starts=np.concatenate([[0], np.cumsum(counts)]),
            since=since,
            enter=came,
            leave=went,
            places=self._places[later],
            valued=lambda value: values_of_pairs(value, since, until),
            windows=windows,
        )

    @property
    def _places(self) -> Ints:
        """The places of the events in the slice, -1 of others: (walked,)."""
        before = np.full(len(self.carried.group), -1)
        to_come = np.full(len(self.events.groups), -1)
        places: Ints = np.concatenate([before, self.events.places, to_come])[self.origin]
        return places

    def _is_own(self, walked: Ints) -> Flags:
        begin, count = len(self.carried.group), len(self.events.group)
        origin = self.origin[walked]
        own: Flags = (begin <= origin) & (origin < begin + count)
        return own

    def _are(self, choice: Events | None) -> Flags:
        """Return which of the events are of a choice, those to come of every one: (walked,)."""
        if choice is None:
            return np.ones(len(self.origin), bool)
        own = self.inputs.chosen(choice)[self.events.places]
        others = np.ones(len(self.events.groups), bool)
        found: Flags = np.concatenate([self.carried.are(choice), own, others])[self.origin]
        return found


def _seen(items: Items) -> Flags:
    """Return which items any row sees: (items,) bool."""
    first, last = items.runs(None)
    seen: Flags = first < last
    return seen


@njit(cache=True, nogil=True)
def _apart(times: Ints, earlier: Ints, later: Ints, days: int) -> Flags:
    """Return which pairs lie in periods that are neither the same nor neighbours; 0 days: all."""
    apart = np.ones(earlier.size, np.bool_)
    if days:
        for i in range(earlier.size):
            apart[i] = period(times[later[i]], days) - period(times[earlier[i]], days) > 1
    return apart
