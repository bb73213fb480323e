"""A feature in one plain sentence, made from its declaration alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from features.views import aggregates as a

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from features.views.aggregates import Feature
    from features.views.language import Events, Where

type Say = Callable[[Any, str], str]  # feature, entity of its view

STATISTICS = {"mean": "mean", "max": "longest", "deviation": "standard deviation of the"}
PERIODS = {1: "days", 7: "weeks"}


def sentence(feature: Feature, entity: str) -> str:
    """Return what a feature of a view of `entity` is.

    >>> from features.views import view
    >>> sentence(view("lead_engagement").features[6], "lead")
    'count of touch events named web_visit of the lead, last 7 days'
    """
    said = _BY_TYPE[type(feature)](feature, entity)
    if feature.window_days is None or isinstance(feature, a.Trend):
        return said
    return f"{said}, last {_days(feature.window_days)}"


def _many(events: Events, entity: str) -> str:
    return _named(events, entity, "events")


def _one(events: Events, entity: str) -> str:
    return _named(events, entity, "event")


def _named(events: Events, entity: str, noun: str) -> str:
    names = f" named {_or(events.names)}" if events.names else ""
    where = "".join(f" with {_condition(each)}" for each in events.where)
    return f"{events.kind} {noun}{names} of the {events.of or entity}{where}"


def _condition(where: Where) -> str:
    if where.one_of:
        return f"{where.column} {_or(where.one_of)}"
    bounds = {"at least": where.at_least, "below": where.below}
    said = [f"{word} {value}" for word, value in bounds.items() if value is not None]
    return f"number {' and '.join(said)}"


def _or(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _days(days: float) -> str:
    return "day" if days == 1 else f"{days:g} days"


def _of_many(before: str, after: str = "") -> Say:
    return lambda feature, entity: f"{before} {_many(feature.events, entity)}{after}"


def _of_one(before: str, after: str = "") -> Say:
    return lambda feature, entity: f"{before} {_one(feature.events, entity)}{after}"


def _distinct(feature: a.Distinct, entity: str) -> str:
    return f"count of different values of {feature.column} in {_many(feature.events, entity)}"


def _ratio(feature: a.Ratio, entity: str) -> str:
    return f"{_many(feature.events, entity)} per {_one(feature.per, entity)}"


def _share(feature: a.Share, entity: str) -> str:
    return f"share named {_or(feature.names)} among {_many(feature.events, entity)}"


def _trend(feature: a.Trend, entity: str) -> str:
    recent, longer = _days(feature.window_days or 0), _days(feature.than_days)
    return (
        f"{_many(feature.events, entity)} a day, last {recent}, divided by those a day,"
        f" last {longer}"
    )


def _gap(feature: a.Gap, entity: str) -> str:
    return f"{STATISTICS[feature.statistic]} hours between {_many(feature.events, entity)}"


def _streak(feature: a.Streak, entity: str) -> str:
    period = PERIODS[feature.period_days]
    return f"{period} in a row with {_many(feature.events, entity)}, up to the latest"


def _decay(feature: a.Decay, entity: str) -> str:
    of = "count" if feature.of == "events" else "sum of the numbers"
    half = _days(feature.half_life_days)
    return f"{of} of {_many(feature.events, entity)}, each worth half after {half}"


def _hours_in(feature: a.HoursIn, entity: str) -> str:
    return f"hours spent in {_or(feature.names)}, by {_many(feature.events, entity)}"


def _transitions(feature: a.Transitions, entity: str) -> str:
    before, after = (_or(n) if n else "any" for n in (feature.before, feature.after))
    return f"count of steps from {before} to {after} in {_many(feature.events, entity)}"


def _response(feature: a.ResponseHours, entity: str) -> str:
    asked, answer = _one(feature.events, entity), _one(feature.answer, entity)
    return f"{STATISTICS[feature.statistic]} hours from {asked} to the next, where it is {answer}"


def _unanswered(feature: a.HoursUnanswered, entity: str) -> str:
    asked, answer = _one(feature.events, entity), _one(feature.answer, entity)
    return f"hours since the latest {asked}, where no {answer} came after it"


_BY_TYPE: dict[type[Feature], Say] = {
    a.Count: _of_many("count of"),
    a.Sum: _of_many("sum of the numbers of"),
    a.Mean: _of_many("mean number of"),
    a.Min: _of_many("least number of"),
    a.Max: _of_many("greatest number of"),
    a.LastNumber: _of_one("number of the latest"),
    a.LastText: _of_one("text of the latest"),
    a.LastName: _of_one("name of the latest"),
    a.FirstNumber: _of_one("number of the earliest"),
    a.FirstText: _of_one("text of the earliest"),
    a.FirstName: _of_one("name of the earliest"),
    a.Distinct: _distinct,
    a.Ratio: _ratio,
    a.Share: _share,
    a.HoursSince: _of_one("hours since the latest"),
    a.HoursSinceFirst: _of_one("hours since the earliest"),
    a.Trend: _trend,
    a.Gap: _gap,
    a.Streak: _streak,
    a.Decay: _decay,
    a.HoursIn: _hours_in,
    a.Transitions: _transitions,
    a.ResponseHours: _response,
    a.HoursUnanswered: _unanswered,
    a.Silence: _of_one("pause since the latest", ", against the usual pauses between such"),
}
