"""From the language to arithmetic: the measures that a feature is made of, and the formula that
makes it of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from features import log
from features.compute import formulas
from features.compute.measures import Measure, Pairs, Stream, micros
from features.views import aggregates as a
from features.views.language import Events

if TYPE_CHECKING:
    from collections.abc import Callable

    from features.compute.measures import Reduction
    from features.views.aggregates import Feature
    from features.views.language import View


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """A feature as formula, operands and constants."""

    formula: int  # of formulas.py
    operands: tuple[Measure, ...]
    constants: tuple[float, ...] = ()
    column: str = ""  # of the event that the operand names, where the feature is a text or number


@cache
def lowered(feature: Feature) -> Lowered:
    """Return the arithmetic of a feature."""
    make: Callable[[Any], Lowered] = _BY_TYPE[type(feature)]
    return make(feature)


def _measure(feature: Feature, reduction: Reduction, value: str | Events = "one") -> Measure:
    stream = Stream(events=feature.events)
    window = micros(feature.window_days)
    return Measure(of=stream, reduction=reduction, value=value, window_us=window)


def _of(feature: Feature, of: Stream | Pairs, reduction: Reduction, value: str | Events) -> Measure:
    return replace(_measure(feature, reduction, value), of=of)


def _plain(reduction: Reduction, value: str = "one") -> Callable[[Feature], Lowered]:
    def make(feature: Feature) -> Lowered:
        return Lowered(formula=formulas.VALUE, operands=(_measure(feature, reduction, value),))

    return make


def _event(reduction: Reduction, column: str) -> Callable[[Feature], Lowered]:
    def make(feature: Feature) -> Lowered:
        operand = _measure(feature, reduction, "event")
        return Lowered(formula=formulas.VALUE, operands=(operand,), column=column)

    return make


def _mean(feature: a.Mean) -> Lowered:
    operands = (_measure(feature, "sum", "number"), _measure(feature, "sum", "has_number"))
    return Lowered(formula=formulas.DIVIDED, operands=operands)


def _distinct(feature: a.Distinct) -> Lowered:
    operand = _measure(feature, "distinct", feature.column)
    return Lowered(formula=formulas.VALUE, operands=(operand,))


def _ratio(feature: a.Ratio) -> Lowered:
    whole = _of(feature, Stream(events=feature.per), "sum", "one")
    return Lowered(formula=formulas.DIVIDED, operands=(_measure(feature, "sum"), whole))


def _share(feature: a.Share) -> Lowered:
    part = replace(feature.events, names=feature.names)
    operands = (_measure(feature, "sum", part), _measure(feature, "sum"))
    return Lowered(formula=formulas.DIVIDED, operands=operands)


def _since(reduction: Reduction) -> Callable[[Feature], Lowered]:
    def make(feature: Feature) -> Lowered:
        operand = _measure(feature, reduction, "time")
        return Lowered(formula=formulas.HOURS_SINCE, operands=(operand,))

    return make


def _trend(feature: a.Trend) -> Lowered:
    recent = _measure(feature, "sum")
    longer = replace(recent, window_us=micros(feature.than_days))
    constants = (float(feature.window_days or 0), float(feature.than_days))
    return Lowered(formula=formulas.RATE, operands=(recent, longer), constants=constants)


def _gap(feature: a.Gap) -> Lowered:
    pairs = Pairs(stream=Stream(events=feature.events))
    if feature.statistic == "max":
        return Lowered(formula=formulas.HOURS, operands=(_of(feature, pairs, "most", "gap"),))
    if feature.statistic == "mean":
        ends = (_measure(feature, "last", "time"), _measure(feature, "first", "time"))
        return Lowered(formula=formulas.MEAN_GAP, operands=(*ends, _measure(feature, "sum")))
    sums = tuple(_of(feature, pairs, "sum", value) for value in ("one", "minutes", "minutes2"))
    return Lowered(formula=formulas.DEVIATION, operands=sums)


def _streak(feature: a.Streak) -> Lowered:
    stream = Stream(events=feature.events)
    breaks = Pairs(stream=stream, apart_days=feature.period_days)
    operands = (
        _measure(feature, "last", "time"),
        _measure(feature, "first", "time"),
        _of(feature, breaks, "most", "time"),
    )
    constants = (float(feature.period_days),)
    return Lowered(formula=formulas.STREAK, operands=operands, constants=constants)


def _decay(feature: a.Decay) -> Lowered:
    value = "one" if feature.of == "events" else "number"
    half_life = micros(feature.half_life_days) or 0
    operand = replace(_measure(feature, "decay", value), half_life_us=half_life)
    return Lowered(formula=formulas.REAL, operands=(operand,))


def _hours_in(feature: a.HoursIn) -> Lowered:
    inside = replace(feature.events, names=feature.names)
    pairs = Pairs(stream=Stream(events=feature.events), before=inside)
    operands = (
        _of(feature, pairs, "sum", "gap"),
        _measure(feature, "last", "time"),
        _measure(feature, "last", inside),
    )
    return Lowered(formula=formulas.HOURS_IN, operands=operands)


def _transitions(feature: a.Transitions) -> Lowered:
    before = replace(feature.events, names=feature.before) if feature.before else None
    after = replace(feature.events, names=feature.after) if feature.after else None
    pairs = Pairs(stream=Stream(events=feature.events), before=before, after=after)
    return Lowered(formula=formulas.VALUE, operands=(_of(feature, pairs, "sum", "one"),))


def _response(feature: a.ResponseHours) -> Lowered:
    stream = Stream(events=feature.events, partner=feature.answer)
    pairs = Pairs(stream=stream, before=feature.events, after=feature.answer)
    if feature.statistic == "max":
        return Lowered(formula=formulas.HOURS, operands=(_of(feature, pairs, "most", "gap"),))
    sums = (_of(feature, pairs, "sum", "gap"), _of(feature, pairs, "sum", "one"))
    return Lowered(formula=formulas.MEAN_HOURS, operands=sums)


def _unanswered(feature: a.HoursUnanswered) -> Lowered:
    stream = Stream(events=feature.events, partner=feature.answer)
    operands = (
        _of(feature, stream, "last", "time"),
        _of(feature, stream, "last", feature.events),
    )
    return Lowered(formula=formulas.HOURS_IF, operands=operands)


def _silence(feature: a.Silence) -> Lowered:
    pairs = Pairs(stream=Stream(events=feature.events))
    sums = tuple(_of(feature, pairs, "sum", value) for value in ("one", "work", "work2"))
    operands = (*sums, _measure(feature, "last", "time"))
    return Lowered(formula=formulas.SILENCE, operands=operands)


_BY_TYPE: dict[type[Feature], Callable[[Any], Lowered]] = {
    a.Count: _plain("sum"),
    a.Sum: _plain("sum", "number"),
    a.Mean: _mean,
    a.Min: _plain("least", "known_number"),
    a.Max: _plain("most", "known_number"),
    a.LastNumber: _event("last", "number"),
    a.LastText: _event("last", "text"),
    a.LastName: _event("last", "name"),
    a.FirstNumber: _event("first", "number"),
    a.FirstText: _event("first", "text"),
    a.FirstName: _event("first", "name"),
    a.Distinct: _distinct,
    a.Ratio: _ratio,
    a.Share: _share,
    a.HoursSince: _since("last"),
    a.HoursSinceFirst: _since("first"),
    a.Trend: _trend,
    a.Gap: _gap,
    a.Streak: _streak,
    a.Decay: _decay,
    a.HoursIn: _hours_in,
    a.Transitions: _transitions,
    a.ResponseHours: _response,
    a.HoursUnanswered: _unanswered,
    a.Silence: _silence,
}


ALWAYS = ("event_id", "kind", "name", "event_time", "known_at")


def columns_of(view: View) -> list[str]:
    """Return the columns of the log that a view needs."""
    needed = set(ALWAYS)
    for feature in view.features:
        how = lowered(feature)
        needed |= {how.column} if how.column else set()
        for measure in how.operands:
            needed |= _columns_of(measure, view.entity)
    return [name for name in log.SCHEMA.names if name in needed]


def _columns_of(measure: Measure, entity: str) -> set[str]:
    stream = measure.of.stream if isinstance(measure.of, Pairs) else measure.of
    ends = (measure.of.before, measure.of.after) if isinstance(measure.of, Pairs) else ()
    choices = [stream.events, stream.partner, *ends, measure.value]
    events = [choice for choice in choices if isinstance(choice, Events)]
    named: set[str] = {where.column for choice in events for where in choice.where}
    if isinstance(measure.value, str):
        value = measure.value.removeprefix("has_").removeprefix("known_")
        named |= {value} if value in log.SCHEMA.names else set()
    return named | {stream.events.of or entity}
