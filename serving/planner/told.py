"""Numbers of a result as a planner says them: deals, thousands of the currency, chances. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from serving.planner.plain import words_of

if TYPE_CHECKING:
    from serving.wire.simulations import RangeOut

BASELINE, PLAN = "baseline", "plan"
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
NOT_YET = "not in this horizon"
_NAMES = {BASELINE: "business as usual", PLAN: "the best plan"}
_PARTS = {
    "existing": "deals open now",
    "leads": "leads open now",
    "new": "what arrives",
    "all": "all",
}


def name(arm: str) -> str:
    """Return what a scenario is called."""
    return _NAMES.get(arm) or words_of(arm)


def part(word: str) -> str:
    """Return what a part of what is won is called."""
    return _PARTS.get(word, word)


def count(value: float, *, sign: bool = False) -> str:
    """Return a number of deals or people; one decimal where they are few.

    >>> count(3.14159, sign=True), count(1234.5)
    ('+3.1', '1,234')
    """
    few = abs(value) < 100 and not float(value).is_integer()
    return _signed(f"{abs(value):,.{1 if few else 0}f}", value, sign)


def money(cents: float, *, sign: bool = False) -> str:
    """Return an amount: thousands of the currency with k, less in whole units.

    >>> money(123_456_789), money(4_560_00), money(950_00), money(123_456, sign=True)
    ('1,235 k', '4.6 k', '950', '+1.2 k')
    """
    units = abs(cents) / 100
    if units >= 99_950:
        text = f"{units / 1000:,.0f} k"
    elif units >= 999.5:
        text = f"{units / 1000:.1f} k"
    else:
        text = f"{units:,.0f}"
    return _signed(text, cents, sign)


def precise(cents: float) -> str:
    """Return a small amount, as of one contact or one hour, with its decimals where it is small."""
    units = abs(cents) / 100
    return _signed(f"{units:,.2f}" if units < 100 else f"{units:,.0f}", cents, False)


def chance(share: float) -> str:
    """Return a probability in percent; never one that says more than is known.

    >>> chance(0.934), chance(0.999), chance(0.0)
    ('93 %', 'over 99 %', 'under 1 %')
    """
    if share > 0.99:
        return "over 99 %"
    return "under 1 %" if share < 0.01 else f"{share * 100:.0f} %"


def counts(of: RangeOut, *, sign: bool = False) -> str:
    """Return a mean with its interval."""
    low, high = count(round(of.low, 1), sign=sign), count(round(of.high, 1), sign=sign)
    return f"{count(of.mean, sign=sign)} ({low} to {high})"


def amounts(of: RangeOut, *, sign: bool = False) -> str:
    """Return a mean of cents with its interval."""
    low, high = money(of.low, sign=sign), money(of.high, sign=sign)
    return f"{money(of.mean, sign=sign)} ({low} to {high})"


def factor(value: float | None) -> str:
    """Return a ratio."""
    return NONE if value is None or not math.isfinite(value) else f"× {value:.2f}"


def _signed(text: str, value: float, sign: bool) -> str:
    is_nothing = not any(letter in "123456789" for letter in text)
    if is_nothing:
        return text
    return f"{MINUS if value < 0 else '+' if sign else ''}{text}"
