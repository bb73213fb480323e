"""Numbers as a planner writes and reads them, and as documents have them. Pure.

A number that is shown and read again is the same: shares are percent, cents are the currency, and
the decimal point is only moved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from cluster.errors import Refusal, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST_NUMBER = 24  # characters, before it is written with an exponent
_NUMBER = re.compile(r"[+-]?(\d{1,15}(\.\d{0,40})?|\.\d{1,40})(e[+-]?\d{1,3})?", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]+")
_AWAY = re.compile(r"(\d{4}-\d\d-\d\d)(?: to (\d{4}-\d\d-\d\d))?(?:: (\d{1,6}))?")

type Read = Callable[[str], Any]  # a value, or a Refusal of what it was given
type Show = Callable[[Any], str]


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How a value is written in a form: read(show(value)) == value."""

    read: Read
    show: Show
    scale: int = 0  # powers of ten between what a document says and what is shown
    shift: int = 0  # added to what a document says


def wrong(rule: str, text: str, remedy: str) -> Refusal:
    """Return what is wrong with a text that somebody wrote."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:60])
    return Refusal(rule=rule, value=f"'{shown}'", remedy=remedy)


def decimal(text: str) -> Decimal | Refusal:
    """Read a number; thin spaces and commas between thousands are let pass."""
    plain = re.sub(r"(?<=\d)[ ,\u2009\u202f](?=\d{3}\b)", "", text.strip().rstrip("%×").strip())
    if not _NUMBER.fullmatch(plain):
        return wrong("must be a number", text, "write it as 1.5")
    try:
        return Decimal(plain)
    except InvalidOperation:
        return wrong("must be a number", text, "write it as 1.5")


def number(scale: int = 0) -> Codec:
    """Return the codec of a float that is shown times ten to the power `scale`."""

    def read(text: str) -> Any:
        found = decimal(text)
        return found if isinstance(found, Refusal) else float(found.scaleb(-scale))

    def show(value: Any) -> str:
        return digits(Decimal(repr(float(value))).scaleb(scale))

    return Codec(read=read, show=show, scale=scale)


def whole(scale: int = 0, shift: int = 0) -> Codec:
    """Return the codec of an int that is shown plus `shift`, times ten to the power `scale`."""

    def read(text: str) -> Any:
        found = decimal(text)
        if isinstance(found, Refusal):
            return found
        value = found.scaleb(-scale)
        if value != value.to_integral_value():
            rule = (
                "must be a whole number" if scale >= 0 else f"must have {-scale} decimals at most"
            )
            return wrong(rule, text, "round it")
        return int(value) - shift

    def show(value: Any) -> str:
        return digits(Decimal(int(value) + shift).scaleb(scale))

    return Codec(read=read, show=show, scale=scale, shift=shift)


def digits(value: Decimal) -> str:
    """Return a number without empty decimals, and without an exponent unless it is very long."""
    text = f"{value:f}"
    if len(text) > LONGEST_NUMBER:
        return str(value.normalize())
    return text.rstrip("0").rstrip(".") if "." in text else text


def several(read: Read = str.strip, show: Show = str) -> Codec:
    """Return the codec of a list, written with commas between."""

    def read_all(text: str) -> Any:
        found = [read(part.strip()) for part in text.split(",") if part.strip()]
        bad = [each for each in found if isinstance(each, Refusal)]
        return bad[0] if bad else found

    return Codec(read=read_all, show=lambda values: ", ".join(map(show, values)))


def chosen(options: Sequence[str]) -> Codec:
    """Return the codec of one of some words."""

    def read(text: str) -> Any:
        if text in options:
            return text
        return wrong(f"must be one of {', '.join(options)}", text, nearest(text, options))

    return Codec(read=read, show=str)


def day(text: str) -> date | Refusal:
    """Read a date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return wrong("must be a date", text, "write it as 2026-03-31")


def away(text: str) -> dict[str, Any] | Refusal:
    """Read when reps are away: 2026-03-02 to 2026-03-06: 2."""
    found = _AWAY.fullmatch(text)
    if found is None:
        return wrong("must say from when to when", text, "write 2026-03-02 to 2026-03-06: 2")
    first, last, reps = found.groups()
    return {"first": first, "last": last or first, "reps": int(reps or 1)}


def shown_away(said: dict[str, Any]) -> str:
    """Return the same as a text."""
    return f"{said['first']} to {said['last']}: {said.get('reps', 1)}"


def threshold(text: str) -> tuple[str, float] | Refusal:
    """Read the threshold of a route: call=0.4."""
    route, _, least = text.partition("=")
    found = decimal(least)
    if not route.strip() or isinstance(found, Refusal):
        return wrong("must be a route and its threshold", text, "write call=0.4")
    return route.strip(), float(found)


def name_of(text: str) -> str:
    """Return what a scenario is called in documents, of what somebody wrote.

    >>> name_of("20 % more follow-ups")
    '20_percent_more_follow-ups'
    """
    plain = re.sub(r"\s*%", " percent", text.strip().lower())
    return _NOT_IN_NAMES.sub("_", plain).strip("_")[:60]


def words_of(name: str) -> str:
    """Return the name of a scenario in words: what `name_of` reads as the same name.

    >>> words_of("more_reps")
    'more reps'
    """
    words = name.replace("_", " ")
    return words if name_of(words) == name else name


TEXT = Codec(read=str.strip, show=str)
FLAG = Codec(read=lambda text: text == "yes", show=lambda value: "yes" if value else "")
NUMBER, PERCENT, MONEY, WHOLE = number(), number(2), whole(-2), whole()
WEEK = whole(shift=1)  # the first is called 1, not 0
NAMES = several()
DAYS = several(lambda text: found if isinstance(found := day(text), Refusal) else found.isoformat())
AWAY = several(away, shown_away)
