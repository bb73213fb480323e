"""Burn rates: how fast the error budget of an objective is used up, and when that is told. Pure.

Rate 1 uses up the budget of a window of 30 days in 30 days. An alert looks at a long window, so
that a blip does not fire it, and at a short one of a twelfth, so that it ends soon after the cause
has (Beyer et al., The Site Reliability Workbook, 2018, chapter 5, table 5-8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE, HOUR, DAY = 60, 3_600, 86_400


@dataclass(frozen=True, kw_only=True)
class Burn:
    """An alert: both windows burn faster than `factor`."""

    severity: Literal["page", "ticket"]
    factor: float
    long_s: int
    short_s: int


BURNS = (
    Burn(severity="page", factor=14.4, long_s=HOUR, short_s=5 * MINUTE),
    Burn(severity="page", factor=6.0, long_s=6 * HOUR, short_s=30 * MINUTE),
    Burn(severity="ticket", factor=3.0, long_s=DAY, short_s=2 * HOUR),
    Burn(severity="ticket", factor=1.0, long_s=3 * DAY, short_s=6 * HOUR),
)
WINDOWS_S = tuple(sorted({each for burn in BURNS for each in (burn.long_s, burn.short_s)}))


@dataclass(frozen=True, kw_only=True)
class Point:
    """Two counters at a time: what was bad, of all."""

    at: float  # seconds
    bad: float
    all: float


def error_ratio(points: Sequence[Point], now: float, window_s: float) -> float | None:
    """Return the share that was bad within a window; None where nothing happened."""
    inside = [point for point in points if now - window_s <= point.at <= now]
    if len(inside) < 2:
        return None
    bad, every = inside[-1].bad - inside[0].bad, inside[-1].all - inside[0].all
    return bad / every if every else None


def burning(points: Sequence[Point], now: float, budget: float) -> tuple[Burn, ...]:
    """Return the alerts that fire now, given counters over time and the share that may be bad."""
    ratios = {window: error_ratio(points, now, window) or 0.0 for window in WINDOWS_S}
    return tuple(
        burn
        for burn in BURNS
        if min(ratios[burn.long_s], ratios[burn.short_s]) > burn.factor * budget
    )


def spelt(seconds: int) -> str:
    """Return a window as Prometheus writes it.

    >>> spelt(300), spelt(21_600), spelt(259_200)
    ('5m', '6h', '3d')
    """
    for size, letter in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{letter}"
    raise ValueError(f"a window must be whole minutes, got {seconds} s")
