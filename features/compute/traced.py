"""The way back: from the value of a feature to the events that made it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster.errors import WrongUse, nearest
from features.compute.evaluation import counted
from features.compute.face import evaluated
from features.compute.inputs import Inputs
from features.compute.lowering import lowered
from features.compute.measures import NONE, Pairs

if TYPE_CHECKING:
    from features.compute.evaluation import Evaluation
    from features.compute.inputs import Ints
    from features.compute.items import Items
    from features.compute.measures import Measure
    from features.views.language import View

type Flags = np.ndarray  # bool


def trace(view: View, name: str, events: pa.Table, row: pa.Table) -> pa.Table:
    """Return the events that made the feature `name` of a row: those without which it would be
    another, and with which alone it is the same.

    `events` are those of the row's shard, `row` is a spine of one row. Events come in their order.
    A feature of pairs is made of all events of its window: what lies between matters.
    """
    feature = next((f for f in view.features if f.name == name), None)
    if feature is None:
        raise WrongUse(
            f"a feature must be of the view, got '{name}': {nearest(name, view.columns)}"
        )
    inputs = Inputs(events)
    own = evaluated(replace(view, features=(feature,)), inputs, row)
    made = [_places(measure, own) for measure in lowered(feature).operands]
    places = np.unique(np.concatenate(made)) if made else np.empty(0, np.int64)
    return events.take(pa.array(places[_order(inputs, places)]))


def _places(measure: Measure, own: Evaluation) -> Ints:
    """Return the events that a measure is made of."""
    items = own.items(measure.of.stream if isinstance(measure.of, Pairs) else measure.of)
    places: Ints = items.places[_made_of(measure, own, items)]
    return places


def _made_of(measure: Measure, own: Evaluation, items: Items) -> Flags:
    covering = _covering(items, counted(measure))
    if isinstance(measure.of, Pairs):
        return covering
    if measure.reduction in {"sum", "decay"}:
        counts = measure.value == "one" or items.values(measure.value) != 0
        return covering & counts
    if measure.reduction == "distinct":
        return covering & (items.values(measure.value) >= 0)
    return _deciding(measure, items, covering, own.column(measure)[0])


def _covering(items: Items, window_us: int | None) -> Flags:
    """Return which items the one row sees."""
    at = items.groups.times[0]
    covering: Flags = (items.enter <= at) & (at < items.leave)
    return covering if window_us is None else covering & (items.since >= at - window_us)


def _deciding(measure: Measure, items: Items, covering: Flags, value: int) -> Flags:
    """Return which items have the extreme, or are at the end."""
    if measure.reduction in {"least", "most"}:
        has_it: Flags = items.values(measure.value) == value
        return covering & has_it if value != NONE else has_it & False
    there = np.flatnonzero(covering)
    ends = there[-1:] if measure.reduction == "last" else there[:1]
    decides = np.zeros(len(covering), bool)
    decides[ends] = True
    return decides


def _order(inputs: Inputs, places: Ints) -> Ints:
    times, known, row, content = (key[places] for key in inputs.keys)
    order: Ints = np.lexsort((content, row, known, times))
    return order
