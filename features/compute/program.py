"""A view as flat arrays, for one row at one moment: what seen.py and instant.py go
through.

A selection is a choice of events that share a key with the row; every event has a bit for each. A
stream is what has one of some bits. Measures lie stream by stream, formulas in the order of the
features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from features import log
from features.compute import formulas
from features.compute.evaluation import counted
from features.compute.lowering import lowered
from features.compute.measures import Pairs, Stream
from features.views.language import Events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from features.compute.measures import Measure
    from features.views.aggregates import Feature
    from features.views.language import View, Where

SUM, LEAST, MOST, LAST, FIRST, DISTINCT, DECAY = range(7)
REDUCTIONS = ("sum", "least", "most", "last", "first", "distinct", "decay")
ONE, NUMBER, HAS_NUMBER, KNOWN_NUMBER, TIME, EVENT, CHOICE = range(7)
GAP, MINUTES, MINUTES2, WORK, WORK2 = range(7, 12)
VALUES = (
    *("one", "number", "has_number", "known_number", "time", "event", "choice"),
    *("gap", "minutes", "minutes2", "work", "work2"),
)
# columns of Tables.measures
REDUCTION, VALUE, OF, WINDOW, HALF_LIFE, IS_PAIRS, BEFORE, AFTER, APART = range(9)
ANY = -1  # of BEFORE and AFTER
REAL, WHOLE = "real", "whole"  # how a feature comes out
LIMITS = np.iinfo(np.int64)

type Array = np.ndarray


class Tables(NamedTuple):
    """What the kernels read. A mask is one or more uint64, a bit per selection."""

    words: Array  # (columns, words + 1, mask): what an event with that word may be of; 0: others
    keys: Array  # (keys, mask): selections by the key that they share
    ranges: Array  # (ranges, 3) int64: a selection, the least and the greatest number
    streams: Array  # (streams, mask)
    starts: Array  # (streams + 1,) where the measures of each stream begin
    measures: Array  # (measures, 9) int64
    formulas: Array  # (features, 3) int64: formula, first operand, one past the last
    operands: Array  # int64: measures
    constants: Array  # (features, 2) float64


class Words(NamedTuple):
    """Texts as they lie in an Arrow buffer."""

    data: Array  # uint8
    offsets: Array  # (n + 1,) int32


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """A view, ready to be evaluated for one row."""

    view: View
    tables: Tables
    columns: tuple[tuple[str, Words], ...]  # with conditions, and the words that are asked for
    keys: tuple[str, ...]  # columns shared with the row; empty: the view's own entity
    distinct: tuple[str, ...]  # columns whose values are counted
    has_numbers: bool  # does it need those of events?
    results: tuple[tuple[str, str], ...]  # name of a feature; REAL, WHOLE or a column of an event
    anchor: int  # the selection of the anchor; ANY where none was given


@cache
def compiled(view: View, anchor: Events | None = None) -> Program:
    """Return the program of a view, made once.

    Keep it: to look it up, all of the view is hashed. An anchor is an event by which a row is
    there, and that has its account.
    """
    measures = _by_stream({m for f in view.features for m in lowered(f).operands})
    selections = _selections(measures, anchor)
    distinct = _numbered(str(m.value) for m in measures if m.reduction == "distinct")
    keys = _numbered(["", *(each.of for each in selections)])
    columns = {name: _words(selections, name) for name in _conditioned(selections)}
    tables = Tables(
        words=_word_masks(selections, columns),
        keys=_masks([each.of == key for each in selections] for key in keys),
        ranges=_ranges(selections),
        **_of_streams(measures, selections, distinct),
        **_of_features(view, measures),
    )
    return Program(
        view=view,
        tables=tables,
        columns=tuple((name, spelled(words)) for name, words in columns.items()),
        keys=tuple(keys),
        distinct=tuple(distinct),
        has_numbers=_has_numbers(view, measures, tables),
        results=tuple((feature.name, _result(feature)) for feature in view.features),
        anchor=ANY if anchor is None else selections[anchor],
    )


def _result(feature: Feature) -> str:
    how = lowered(feature)
    return how.column or (WHOLE if how.formula in formulas.WHOLE else REAL)


def _has_numbers(view: View, measures: list[Measure], tables: Tables) -> bool:
    asked = {measure.value for measure in measures} & {"number", "has_number", "known_number"}
    given = any(lowered(feature).column == "number" for feature in view.features)
    return bool(asked) or given or bool(len(tables.ranges))


def spelled(words: list[str]) -> Words:
    """Return words as an Arrow buffer would have them."""
    data = [word.encode() for word in words]
    offsets = np.array([0, *accumulate(map(len, data))], np.int32)
    offsets.flags.writeable = False
    return Words(np.frombuffer(b"".join(data) or b" ", np.uint8), offsets)


def stream_of(measure: Measure) -> Stream:
    """Return the stream of a measure, or of its pairs."""
    return measure.of.stream if isinstance(measure.of, Pairs) else measure.of


def _numbered[T](values: Iterable[T]) -> dict[T, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _by_stream(measures: set[Measure]) -> list[Measure]:
    ordered = sorted(measures, key=repr)
    streams = _numbered(map(stream_of, ordered))
    return sorted(ordered, key=lambda measure: streams[stream_of(measure)])


def _selections(measures: list[Measure], anchor: Events | None) -> dict[Events, int]:
    found = [anchor] if anchor else []
    for measure in measures:
        ends = (measure.of.before, measure.of.after) if isinstance(measure.of, Pairs) else ()
        stream = stream_of(measure)
        choices = (stream.events, stream.partner, *ends, measure.value)
        found += [_shared(each, stream) for each in choices if isinstance(each, Events)]
    return _numbered(found)


def _shared(events: Events, stream: Stream) -> Events:
    """Return a choice among the events of a stream: these share the stream's key with the row."""
    return replace(events, of=stream.events.of)


def _conditions(events: Events) -> list[tuple[str, tuple[str, ...]]]:
    """Return columns and the words of which they must have one."""
    names = [("name", events.names)] if events.names else []
    where = [(each.column, each.one_of) for each in events.where if each.one_of]
    return [("kind", (events.kind,)), *names, *where]


def _conditioned(selections: Iterable[Events]) -> list[str]:
    return list(dict.fromkeys(name for each in selections for name, _ in _conditions(each)))


def _words(selections: Iterable[Events], column: str) -> list[str]:
    every = [_conditions(each) for each in selections]
    return sorted({w for found in every for name, words in found if name == column for w in words})


def _masks(rows: Iterable[Iterable[bool]]) -> Array:
    """Return flags as bits: (rows, mask) uint64, of at least one row."""
    flags = [list(row) for row in rows] or [[False]]
    masks = np.zeros((len(flags), max(1, -(-len(flags[0]) // 64))), np.uint64)
    for row, given in enumerate(flags):
        for place in np.flatnonzero(given):
            masks[row, place // 64] |= np.uint64(1 << int(place % 64))
    return masks


def _word_masks(selections: dict[Events, int], columns: dict[str, list[str]]) -> Array:
    most = max((len(words) for words in columns.values()), default=0)
    masks = [
        _masks(
            [all(w in words for name, words in _conditions(each) if name == column)
             for each in selections]
            for w in [None, *listed, *[None] * (most - len(listed))]
        )
        for column, listed in columns.items()
    ]  # fmt: skip
    return np.stack(masks) if masks else np.zeros((0, 1, 1), np.uint64)


def _ranges(selections: dict[Events, int]) -> Array:
    found = [
        (number, *_range(where))
        for each, number in selections.items()
        for where in each.where
        if where.column == "number"
    ]
    return np.array(found, np.int64).reshape(-1, 3)


def _range(where: Where) -> tuple[int, int]:
    """Return the least and the greatest number that are in a range; in this order if any is."""
    least = LIMITS.min if where.at_least is None else where.at_least
    most = LIMITS.max if where.below is None else where.below - 1
    is_none = least > min(most, LIMITS.max) or most < LIMITS.min
    return (1, 0) if is_none else (max(least, LIMITS.min), min(most, LIMITS.max))


def _of_streams(
    measures: list[Measure], selections: dict[Events, int], distinct: dict[str, int]
) -> dict[str, Array]:
    streams = _numbered(map(stream_of, measures))
    among = [{_shared(e, s) for e in (s.events, s.partner) if e is not None} for s in streams]
    counts = np.bincount([streams[stream_of(m)] for m in measures], minlength=len(streams))
    rows = [_measure(measure, selections, distinct) for measure in measures]
    return {
        "streams": _masks([each in chosen for each in selections] for chosen in among),
        "starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "measures": np.array(rows, np.int64).reshape(-1, APART + 1),
    }


def _measure(
    measure: Measure, selections: dict[Events, int], distinct: dict[str, int]
) -> list[int]:
    stream, value, window = stream_of(measure), measure.value, counted(measure)
    pairs = measure.of if isinstance(measure.of, Pairs) else None
    ends = (pairs.before, pairs.after) if pairs else (None, None)
    number = 0
    if measure.reduction == "distinct":
        number, value = distinct[str(value)], "one"
    elif isinstance(value, Events):
        number, value = selections[_shared(value, stream)], "choice"
    return [
        *(REDUCTIONS.index(measure.reduction), VALUES.index(value), number),
        *(log.NEVER if window is None else window, measure.half_life_us, pairs is not None),
        *(ANY if end is None else selections[_shared(end, stream)] for end in ends),
        pairs.apart_days if pairs else 0,
    ]


def _of_features(view: View, measures: list[Measure]) -> dict[str, Array]:
    places = _numbered(measures)
    hows = [lowered(feature) for feature in view.features]
    ends = np.cumsum([0, *(len(how.operands) for how in hows)])
    constants = np.zeros((len(hows), 2))
    for row, how in enumerate(hows):
        constants[row, : len(how.constants)] = how.constants
    rows = zip((how.formula for how in hows), ends[:-1], ends[1:], strict=True)
    return {
        "formulas": np.array(list(rows), np.int64).reshape(-1, 3),
        "operands": np.array([places[m] for how in hows for m in how.operands], np.int64),
        "constants": constants,
    }
