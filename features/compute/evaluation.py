"""One evaluation: the measures of a call, each computed once, for rows in the order given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from features.compute import decay, kernels
from features.compute.groups import Groups
from features.compute.items import Items, of_pairs, of_stream
from features.compute.measures import NONE, Measure, Pairs, Stream

if TYPE_CHECKING:
    import pyarrow as pa

    from features.compute.inputs import Inputs, Ints
    from features.views.language import Entity


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The events and rows of a call, and what was computed of them so far."""

    inputs: Inputs
    rows: pa.Table
    entity: Entity
    _groups: dict[str, Groups] = field(default_factory=dict)
    _items: dict[Stream | Pairs, Items] = field(default_factory=dict)
    _sorted: dict[Measure, Ints] = field(default_factory=dict)

    def column(self, measure: Measure) -> Ints:
        """Return a measure for each row: (rows,) int64; of decay the bits of a float64."""
        back = self._group(_stream(measure.of)).back
        values = self._reduced(measure)
        is_same = len(back) == 0 or (back[-1] == len(back) - 1 and bool((np.diff(back) == 1).all()))
        return values if is_same else values[back]

    def _group(self, stream: Stream) -> Groups:
        of = stream.events.of
        if of not in self._groups:
            self._groups[of] = Groups.of(self.rows, of or "entity", of or self.entity)
        return self._groups[of]

    def items(self, of: Stream | Pairs) -> Items:
        """Return the events or pairs that a measure goes over."""
        if of not in self._items:
            if isinstance(of, Pairs):
                self._items[of] = of_pairs(of, self.inputs, self.items(of.stream))
            else:
                self._items[of] = of_stream(of, self.inputs, self._group(of))
        return self._items[of]

    def _reduced(self, measure: Measure) -> Ints:
        if measure not in self._sorted:
            self._sorted[measure] = self._reduce(measure)
        return self._sorted[measure]

    def _reduce(self, measure: Measure) -> Ints:
        items = self.items(measure.of)
        runs = (items.first, items.last(_window(measure)))
        if measure.reduction == "sum":
            return _sum(measure, items, runs)
        if measure.reduction == "distinct":
            return _distinct(measure, items, runs, self.inputs)
        if measure.reduction == "decay":
            values = _weights(measure, items)
            return decay.decayed(
                runs, items.since, values, items.groups.times, measure.half_life_us
            ).view(np.int64)
        if measure.reduction in {"least", "most"}:
            return _extreme(items, runs, items.values(measure.value), measure.reduction == "least")
        return self._of_end(measure, items)

    def _of_end(self, measure: Measure, items: Items) -> Ints:
        """Return a value of the latest or earliest item."""
        place = self._place(measure, items)
        if measure.value == "place":
            return place
        values = items.places if measure.value == "event" else items.values(measure.value)
        return np.where(place < 0, NONE, np.append(values, NONE)[place])

    def _place(self, measure: Measure, items: Items) -> Ints:
        name = Measure(
            of=measure.of,
            reduction=measure.reduction,
            value="place",
            window_us=measure.window_us,
        )
        if name not in self._sorted:
            runs = (items.first, items.last(measure.window_us))
            order = np.arange(len(items.group))
            place = _extreme(items, runs, order, measure.reduction == "first")
            self._sorted[name] = np.maximum(place, -1)
        return self._sorted[name]


def _stream(of: Stream | Pairs) -> Stream:
    return of.stream if isinstance(of, Pairs) else of


def _window(measure: Measure) -> int | None:
    if measure.reduction != "decay":
        return measure.window_us
    longest = decay.HALF_LIVES * measure.half_life_us
    return longest if measure.window_us is None else min(longest, measure.window_us)


def _weights(measure: Measure, items: Items) -> Ints:
    return np.ones(len(items.group), np.int64) if measure.value == "one" else items.values("number")


def _sum(measure: Measure, items: Items, runs: tuple[Ints, Ints]) -> Ints:
    if measure.value == "one":
        return kernels.counted(*runs, items.rows)
    return kernels.summed(*runs, items.values(measure.value), items.rows)


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
