"""What a feature says in a seller's words, from its declaration alone. Pure.

A feature is said as "Pricing page visits: 3 in 30 days". Features that look at the same events, and
at the same side of them (that and when they happen, or what they hold), say the same thing and are
one group. Its id is made of the declaration, so no change of a label or a window moves it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from features.views import aggregates as a
from features.views.language import Events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from features.views import View

type Unit = Literal["count", "number", "text", "hours", "share", "times", "cents", "ppm"]

UNITS: dict[type[a.Feature], Unit] = {
    **dict.fromkeys((a.Count, a.Distinct, a.Streak, a.Transitions), "count"),
    **dict.fromkeys((a.Sum, a.Mean, a.Min, a.Max, a.LastNumber, a.FirstNumber), "number"),
    **dict.fromkeys((a.LastText, a.LastName, a.FirstText, a.FirstName), "text"),
    **dict.fromkeys((a.HoursSince, a.HoursSinceFirst, a.Gap, a.HoursIn), "hours"),
    **dict.fromkeys((a.ResponseHours, a.HoursUnanswered), "hours"),
    **dict.fromkeys((a.Trend, a.Silence), "times"),
    a.Share: "share",
    a.Ratio: "number",
    a.Decay: "number",
}
SIDES: dict[type[a.Feature], str] = {  # what of the events is looked at; else: that they happen
    **dict.fromkeys((a.Sum, a.Mean, a.Min, a.Max, a.LastNumber, a.FirstNumber), "number"),
    **dict.fromkeys((a.LastText, a.FirstText), "text"),
    **dict.fromkeys((a.LastName, a.FirstName, a.Share), "name"),
}
_WINDOW = re.compile(r"_\d+d$")  # at the end of a column's name
_HOURS = re.compile(r"^Hours\b")
_HOUR, _DAYS = 1, 48  # hours: below and from here on, other units are read more easily


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How one feature is said; empty words stand for its name and label."""

    group: str = ""  # stable id of what it looks at
    topic: str = ""  # the group in words
    subject: str = ""  # what the value is a value of
    unit: Unit = "number"
    window_days: float | None = None

    def said(self, value: object, label: str) -> str:
        """Return a value of the feature in words, null as None.

        >>> Wording(subject="Pricing page visits", unit="count", window_days=30).said(3, "")
        'Pricing page visits: 3 in 30 days'
        """
        has_window = self.window_days and self.unit not in {"times", "text"}
        window = f" in {self.window_days:g} days" if has_window else ""
        return f"{self.subject or label}: {_value(value, self.unit)}{window}"


PLAIN = Wording()


def wordings(view: View) -> dict[str, Wording]:
    """Return how the features of a view are said, by name."""
    groups: dict[str, list[a.Feature]] = {}
    for feature in view.features:
        groups.setdefault(group(feature), []).append(feature)
    return {
        feature.name: Wording(
            group=id,
            topic=_topic(members),
            subject=_subject(feature),
            unit=_unit(feature),
            window_days=feature.window_days,
        )
        for id, members in groups.items()
        for feature in members
    }


def group(feature: a.Feature) -> str:
    """Return the id of what a feature looks at.

    >>> group(a.Count(name="n", label="N", events=Events(kind="touch", names=("email_sent",))))
    'touch:email_sent'
    """
    looked_at = {value for value in vars(feature).values() if isinstance(value, Events)}
    words = " + ".join(sorted(map(_events, looked_at)))
    side = feature.column if isinstance(feature, a.Distinct) else SIDES.get(type(feature), "")
    parts = f" among {_listed(feature.names)}" if isinstance(feature, a.Share) else ""
    return f"{words}{parts}{f', {side}' if side else ''}"


def _events(events: Events) -> str:
    names = f":{_listed(events.names)}" if events.names else ""
    of = f"@{events.of}" if events.of else ""
    where = [
        f"[{w.column} {_listed(w.one_of) or f'{w.at_least} to {w.below}'}]" for w in events.where
    ]
    return f"{events.kind}{names}{of}{''.join(sorted(where))}"


def _listed(names: Iterable[str]) -> str:
    return "|".join(sorted(names))


def _topic(members: list[a.Feature]) -> str:
    """Return the words of the feature that says most plainly what all look at."""
    plain = [feature for feature in members if isinstance(feature, a.Count)]
    return _subject((plain or members)[0])


def _subject(feature: a.Feature) -> str:
    label = feature.label.removesuffix(f", last {feature.window_days or 0:g} days")
    return _HOURS.sub("Time", label) if _unit(feature) == "hours" else label


def _unit(feature: a.Feature) -> Unit:
    unit, name = UNITS[type(feature)], _WINDOW.sub("", feature.name)
    if unit != "number":
        return unit
    return "cents" if name.endswith("_cents") else "ppm" if name.endswith("_ppm") else unit


def _value(value: object, unit: Unit) -> str:
    if value is None or value != value:
        return "none" if unit == "hours" else "unknown"
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float):
        return str(value)
    return _number(value, unit)


def _number(value: float, unit: Unit) -> str:
    match unit:
        case "hours":
            return _duration(value)
        case "share":
            return f"{value:.0%}"
        case "ppm":
            return f"{value / 1e6:.0%}"
        case "cents":
            return f"{value / 100:,.2f}"
        case "times":
            return f"{value:,.1f} times"
        case "count" if value == 0:
            return "none"
        case _:
            return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _duration(hours: float) -> str:
    if hours < _HOUR:
        return _several(hours * 60, "minute")
    return _several(hours, "hour") if hours < _DAYS else _several(hours / 24, "day")


def _several(count: float, word: str) -> str:
    return f"{round(count):,} {word}{'' if round(count) == 1 else 's'}"
