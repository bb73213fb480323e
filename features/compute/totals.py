"""Counts and sums of plain events: all choices, values and windows of a key in one sweep.

Sums do not care about order, so events are not sorted: they are only brought together by group, and
those that no sum asks for are left out by a table of kinds and names. See sweep.py for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features import log
from features.compute import sweep
from features.compute.measures import Measure, Stream
from features.fingerprint import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from features.compute.groups import Groups
    from features.compute.inputs import Inputs
    from features.views.language import Events

type Ints = np.ndarray  # int64 or int32
type Flags = np.ndarray  # bool

VALUES = {"one": sweep.ONE, "number": sweep.NUMBER, "has_number": sweep.HAS_NUMBER}


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
    chosen = sweep.by_group(kinds, names, classes, groups.of_events(inputs), len(groups))
    found = np.zeros((len(measures), len(groups.times)), np.int64)
    sweep.sweep(
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
        return Lane(choices=(choice, value), value=sweep.ONE)
    return Lane(choices=(choice,), value=VALUES[value])


def _window(measure: Measure) -> int:
    return log.NEVER if measure.window_us is None else measure.window_us


def _numbers(lanes: list[Lane], inputs: Inputs) -> tuple[Ints, Flags]:
    """Return numbers and which there are, of those only that lanes want."""
    values = {lane.value for lane in lanes}
    numbers = inputs.numbers if sweep.NUMBER in values else fixed(np.empty(0, np.int64))
    return numbers, inputs.has_number if sweep.HAS_NUMBER in values else np.empty(0, bool)


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
