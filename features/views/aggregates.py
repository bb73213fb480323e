"""The aggregates of the language: each says what one column of a view is, as of T.

"The events" are those that the feature looks at, in its window; "latest" and "earliest" are by
event_time, then known_at, then event id. Hours are of 3,600 s, days of 86,400 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from features.views.language import Column, Events

INTEGER, FLOAT, STRING = pa.int64(), pa.float64(), pa.string()


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of a view."""

    type: ClassVar[pa.DataType] = INTEGER  # Arrow type of the column

    name: str
    label: str  # what a seller reads
    events: Events
    window_days: float | None = None


class Count(Feature):
    """How many events; 0 when there are none."""


class Sum(Feature):
    """Sum of the events' numbers; 0 when there are none."""


class Mean(Feature):
    """Mean of the events' numbers; null when there are none."""

    type = FLOAT


class Min(Feature):
    """Least of the events' numbers; null when there are none."""


class Max(Feature):
    """Greatest of the events' numbers; null when there are none."""


class LastNumber(Feature):
    """Number of the latest event; null when there is none, or it has none."""


class LastText(Feature):
    """Text of the latest event; null when there is none, or it has none."""

    type = STRING


class LastName(Feature):
    """Name of the latest event (the stage a deal is in); null when there is none."""

    type = STRING


class FirstNumber(Feature):
    """Number of the earliest event; null when there is none, or it has none."""


class FirstText(Feature):
    """Text of the earliest event; null when there is none, or it has none."""

    type = STRING


class FirstName(Feature):
    """Name of the earliest event; null when there is none."""

    type = STRING


@dataclass(frozen=True, kw_only=True)
class Distinct(Feature):
    """How many different values of a column the events have; those without a value do not count."""

    column: Column


@dataclass(frozen=True, kw_only=True)
class Ratio(Feature):
    """Events per event of another kind (replies per mail); null when there are none of these."""

    type = FLOAT
    per: Events


@dataclass(frozen=True, kw_only=True)
class Share(Feature):
    """Share of the events that have one of some names; null when there are no events."""

    type = FLOAT
    names: tuple[str, ...]


class HoursSince(Feature):
    """Hours since the latest event; null when there is none."""

    type = FLOAT


class HoursSinceFirst(Feature):
    """Hours since the earliest event; null when there is none."""

    type = FLOAT


@dataclass(frozen=True, kw_only=True)
class Trend(Feature):
    """Events a day in the window, divided by events a day in a longer one; null when that has
    none. Above 1: more than usual.
    """

    type = FLOAT
    than_days: float


@dataclass(frozen=True, kw_only=True)
class Gap(Feature):
    """Hours between an event and the next one of the window: their mean, the longest, or their
    standard deviation (of the population, by whole minutes); null with fewer than two events.
    """

    type = FLOAT
    statistic: Literal["mean", "max", "deviation"] = "mean"


@dataclass(frozen=True, kw_only=True)
class Streak(Feature):
    """How many periods in a row have events, up to that of the latest event; 0 when there are none.
    A period is so many days of UTC; weeks begin on Monday.
    """

    period_days: Literal[1, 7] = 7


@dataclass(frozen=True, kw_only=True)
class Decay(Feature):
    """Sum of `0.5 ** (age / half_life)` over the events, or of that times their numbers; events
    older than 30 half-lives do not count.
    """

    type = FLOAT
    half_life_days: float
    of: Literal["events", "numbers"] = "events"


@dataclass(frozen=True, kw_only=True)
class HoursIn(Feature):
    """Hours spent in the states of some names: from each event that has one to the next event, and
    from the latest to T; null when there are no events.
    """

    type = FLOAT
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Transitions(Feature):
    """How often an event with a name of `after` came next after one with a name of `before`; no
    names: any.
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResponseHours(Feature):
    """Hours from an event to the answer that came next, no other event between: their mean, or the
    longest; null when nothing was answered.
    """

    type = FLOAT
    answer: Events
    statistic: Literal["mean", "max"] = "mean"


@dataclass(frozen=True, kw_only=True)
class HoursUnanswered(Feature):
    """Hours since the latest event, when no answer came after it; else null."""

    type = FLOAT
    answer: Events


class Silence(Feature):
    """The pause since the latest event against the entity's own pauses: pause divided by mean plus
    two standard deviations of those between events (at least one hour); above 1: abrupt
    disengagement. Pauses are counted in hours of Monday to Friday (UTC), so that a weekend is no
    silence; null with fewer than three of them.
    """

    type = FLOAT
