"""One evaluation: the measures of a call, each computed once, for rows in the order given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from features.compute import decay, kernels
from features.compute.groups import Groups
from features.compute.items import Items, Sorted, ascending, is_of, of_pairs, of_stream
from features.compute.measures import NONE, Measure, Pairs, Stream
from features.compute.totals import is_total, totals

if TYPE_CHECKING:
    import pyarrow as pa

    from features.compute.inputs import Inputs, Ints
    from features.views.language import Entity

ONE = np.ones(1, np.int64)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The events and rows of a call, and what was computed of them so far."""

    inputs: Inputs
    rows: pa.Table
    entity: Entity
    measures: tuple[Measure, ...]  # that will be asked for
    _groups: dict[str, Groups] = field(default_factory=dict)
    _sorted: dict[tuple[str, frozenset[Stream]], Sorted] = field(default_factory=dict)
    _items: dict[Stream | Pairs, Items] = field(default_factory=dict)
    _done: dict[Measure, Ints] = field(default_factory=dict)

    def column(self, measure: Measure) -> Ints:
        """Return a measure for each row: (rows,) int64; of decay the bits of a float64."""
        if measure not in self._done:
            self._done.update(self._made(measure))
        groups = self._grouped(_key(measure.of))
        return self._done[measure] if groups.is_as_given else self._done[measure][groups.back]

    @cached_property
    def windows(self) -> dict[Stream | Pairs, tuple[int | None, ...]]:
        """Which windows each stream is asked for."""
        asked: dict[Stream | Pairs, set[int | None]] = {}
        for measure in self.measures:
            asked.setdefault(measure.of, set()).add(counted(measure))
        return {of: ascending(windows) for of, windows in asked.items()}

    def _grouped(self, key: str) -> Groups:
        if key not in self._groups:
            self._groups[key] = Groups.of(self.rows, key or "entity", key or self.entity)
        return self._groups[key]

    def _events(self, of: Stream | Pairs) -> Sorted:
        """Return the events of a stream, and of all others that will be asked for."""
        key, stream = _key(of), _stream(of)
        alike = frozenset(
            _stream(m.of) for m in self.measures if _key(m.of) == key and not is_total(m)
        )
        streams = alike if stream in alike else frozenset({stream})
        if (key, streams) not in self._sorted:
            is_wanted = np.logical_or.reduce([is_of(each, self.inputs) for each in streams])
            made = Sorted.of(self.inputs, self._grouped(key), is_wanted)
            self._sorted[key, streams] = made
        return self._sorted[key, streams]

    def items(self, of: Stream | Pairs) -> Items:
        """Return the events or pairs that a measure goes over."""
        if of not in self._items:
            windows = self.windows.get(of, ())
            if isinstance(of, Pairs):
                self._items[of] = of_pairs(of, self.inputs, self.items(of.stream), windows)
            else:
                self._items[of] = of_stream(of, self.inputs, self._events(of), windows)
        return self._items[of]

    def _made(self, measure: Measure) -> dict[Measure, Ints]:
        """Return the measure, and others that come with it."""
        if is_total(measure):
            key = _key(measure.of)
            alike = [m for m in self.measures if is_total(m) and _key(m.of) == key]
            return totals(alike, self.inputs, self._grouped(key))
        items = self.items(measure.of)
        if measure.reduction == "sum":
            return _sums(measure, items)
        return {measure: self._alone(measure, items)}

    def _alone(self, measure: Measure, items: Items) -> Ints:
        runs = items.runs(counted(measure))
        if measure.reduction == "distinct":
            return _distinct(measure, items, runs, self.inputs)
        if measure.reduction == "decay":
            return _decay(measure, items, runs)
        if measure.reduction in {"least", "most"}:
            return _extreme(items, runs, items.values(measure.value), measure.reduction == "least")
        return self._of_end(measure, items)

    def _of_end(self, measure: Measure, items: Items) -> Ints:
        """Return a value of the latest or earliest item."""
        place = self._place(measure, items)
        values = items.places if measure.value == "event" else items.values(measure.value)
        found: Ints = np.where(place < 0, NONE, np.append(values, NONE)[place])
        return found

    def _place(self, measure: Measure, items: Items) -> Ints:
        name = Measure(
            of=measure.of, reduction=measure.reduction, value="", window_us=measure.window_us
        )
        if name not in self._done:
            order = np.arange(len(items.group))
            place = _extreme(items, items.runs(name.window_us), order, name.reduction == "first")
            self._done[name] = np.maximum(place, -1)
        return self._done[name]


def counted(measure: Measure) -> int | None:
    """Return the window in which items count: decay forgets what is very old."""
    if measure.reduction != "decay":
        return measure.window_us
    longest = decay.HALF_LIVES * measure.half_life_us
    return longest if measure.window_us is None else min(longest, measure.window_us)


def _stream(of: Stream | Pairs) -> Stream:
    return of.stream if isinstance(of, Pairs) else of


def _key(of: Stream | Pairs) -> str:
    return _stream(of).events.of


def _sums(measure: Measure, items: Items) -> dict[Measure, Ints]:
    """Return the sums of a value over all windows: they cost little more than one."""
    values = ONE if measure.value == "one" else items.values(measure.value)
    totals = kernels.summed(items.covered, items.group, values, items.groups.starts)
    return {
        Measure(of=measure.of, reduction="sum", value=measure.value, window_us=window): total
        for window, total in zip(items.windows, totals, strict=True)
    }


def _decay(measure: Measure, items: Items, runs: tuple[Ints, Ints]) -> Ints:
    is_plain = measure.value == "one"
    values = np.ones(len(items.group), np.int64) if is_plain else items.values("number")
    times = items.groups.times
    return decay.decayed(runs, items.since, values, times, measure.half_life_us).view(np.int64)


def _distinct(measure: Measure, items: Items, runs: tuple[Ints, Ints], inputs: Inputs) -> Ints:
    words = len(inputs.codes(str(measure.value))[1])
    order = kernels.by_first(runs[0], items.rows)
    codes = items.values(measure.value)
    return kernels.distinct(*runs, codes, items.group, order, items.rows, words)


def _extreme(items: Items, runs: tuple[Ints, Ints], values: Ints, is_least: bool) -> Ints:
    if is_least:
        values = np.where(values == NONE, NONE, -values)
    found = kernels.greatest(*runs, values, (items.starts, items.groups.starts))
    return np.where(found == NONE, NONE, -found) if is_least else found
