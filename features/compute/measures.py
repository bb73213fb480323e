"""Measures: the whole numbers that features are made of, each asked for once.

A stream is a choice of events, or of pairs of events that follow one another. A measure is one
reduction of a stream over one window. All of them are exact, so that their order of evaluation
cannot be seen; what is not exact, a division or a root, is done once per row from them (see
formulas.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from features.views.language import Events

NONE = -(1 << 63)  # a measure that has no value

type Reduction = Literal["sum", "least", "most", "last", "first", "distinct", "decay"]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The events of one choice or, with a partner, those of either, in one order."""

    events: Events
    partner: Events | None = None


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Events of a stream that follow one another, the earlier and the later one.

    Both are in the window. An event that is learnt of late, or corrected, parts and joins pairs
    from that moment on.
    """

    stream: Stream
    before: Events | None = None  # what the earlier one must be; None: anything
    after: Events | None = None  # the later one
    apart_days: int = 0  # periods of so many days that lie further apart than neighbours; 0: any


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number per row, or a place: `last` and `first` of "event" are events of the bucket."""

    of: Stream | Pairs
    reduction: Reduction
    value: str | Events  # see streams.py and pairs.py; Events: 1 for one of these, else 0
    window_us: int | None = None
    half_life_us: int = 0  # of decay


def micros(days: float | None) -> int | None:
    """Return a window in microseconds."""
    return None if days is None else round(days * 86_400_000_000)
