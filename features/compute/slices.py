"""A view over events that come in slices of time: the same to the bit as over all at once, holding
no more than a slice and what rows have seen so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.compute.carried import Carried, Walk
from features.compute.evaluation import Evaluation
from features.compute.face import finished, in_order
from features.compute.folds import Kept, fold_of
from features.compute.inputs import Inputs
from features.compute.lowering import lowered
from features.compute.measures import Measure, Pairs, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from features.compute.folds import Fold
    from features.compute.items import Items
    from features.views.language import Entity, Events, View

REPLACED = pa.schema([pa.field("event_id", pa.binary(16)), pa.field("replaced", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The events that happen from the end of the slice before to an end of its own."""

    events: pa.Table
    end: int  # in microseconds; NEVER of the last slice
    replaced: pa.Table  # REPLACED: when versions were replaced, at least by those in other slices


def compute_slices(view: View, slices: Iterable[Slice], spine: pa.Table) -> pa.Table:
    """Return what `compute` does for the events of all slices together; of one slice or more, the
    earliest first.
    """
    rows, kept = in_order(spine), Kept()
    measures = tuple(dict.fromkeys(m for f in view.features for m in lowered(f).operands))
    folds = {measure: fold_of(measure, kept) for measure in measures}
    carried: dict[Stream, Carried] = {}
    for each in slices:
        carried = _taken_in(each, folds, carried, rows, view.entity)
        del each  # before the next one is read
    columns = {measure: fold.column() for measure, fold in folds.items()}
    return finished(view, rows, columns.__getitem__, Inputs(kept.table()))


def _taken_in(
    each: Slice,
    folds: Mapping[Measure, Fold],
    carried: Mapping[Stream, Carried],
    rows: pa.Table,
    entity: Entity,
) -> dict[Stream, Carried]:
    """Take in a slice; returns what is carried out of it."""
    own = _Own(
        inputs=_inputs(each),
        rows=rows,
        entity=entity,
        measures=tuple(folds),
        carried=carried,
        end=each.end,
    )
    for fold in folds.values():
        fold.add(own, each.end)
    return own.left()


def _inputs(each: Slice) -> Inputs:
    inputs = Inputs(each.events)
    found = pc.index_in(each.events["event_id"], each.replaced["event_id"])
    places = pc.fill_null(found, -1).to_numpy()
    replaced = np.append(each.replaced["replaced"].to_numpy(), log.NEVER)
    inputs.leave = np.minimum(inputs.leave, replaced[places])
    return inputs


@dataclass(frozen=True, kw_only=True)
class _Own(Evaluation):
    """The evaluation of one slice; the earlier event of a pair may lie in one before."""

    carried: Mapping[Stream, Carried]
    end: int
    _walks: dict[Stream, Walk] = field(default_factory=dict)

    def items(self, of: Stream | Pairs) -> Items:
        """Return the events or pairs that a measure goes over."""
        if of not in self._items and isinstance(of, Pairs):
            self._items[of] = self._walk(of.stream).items(of, self.windows.get(of, ()))
        return super().items(of)

    def left(self) -> dict[Stream, Carried]:
        """Return what is carried out of the slice, for each stream that has pairs."""
        choices: dict[Stream, set[Events]] = {}
        for pairs in [m.of for m in self.measures if isinstance(m.of, Pairs)]:
            before = {pairs.before} if pairs.before else set()
            choices.setdefault(pairs.stream, set()).update(before)
        return {stream: self._walk(stream).left(choices[stream]) for stream in choices}

    def _walk(self, stream: Stream) -> Walk:
        if stream not in self._walks:
            carried = self.carried.get(stream, Carried.none())
            self._walks[stream] = Walk.of(self.items(stream), carried, self.inputs, self.end)
        return self._walks[stream]
