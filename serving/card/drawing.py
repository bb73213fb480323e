"""Drawing as SVG text: a frame with axes, marks in it. The same numbers give the same bytes.

Colours as in the report: one for us, grey for what we are compared with, one accent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OURS, OTHER, ACCENT, FAINT = "#1f5fa8", "#8a8f98", "#d1622b", "#d9dce1"
WIDE, HIGH = 420, 300  # of a picture, in units of its view box
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 12, 40  # margins of a frame


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawing, what it is called and the sentence that says what to see in it."""

    title: str
    svg: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A rectangle that numbers are drawn in."""

    x: tuple[float, float]  # range of the numbers
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a pair of numbers lies."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        inner = (WIDE - LEFT - RIGHT, HIGH - TOP - BOTTOM)
        return LEFT + across * inner[0], HIGH - BOTTOM - up * inner[1]

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, *, dashed: bool = False
    ) -> str:
        """Return a line through points."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.at, xs, ys))
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'

    def dot(self, x: float, y: float, colour: str, title: str, *, radius: float = 3.5) -> str:
        """Return a dot that says `title` when pointed at."""
        across, down = self.at(x, y)
        return (
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="{radius}" fill="{colour}">'
            f"<title>{escape(title)}</title></circle>"
        )

    def upright(self, x: float, low: float, high: float, colour: str) -> str:
        """Return an interval that stands at x."""
        across, bottom = self.at(x, low)
        return segment((across, bottom), (across, self.at(x, high)[1]), colour)

    def axes(
        self, x: str, y: str, spelt: tuple[Callable[[float], str], Callable[[float], str]]
    ) -> str:
        """Return both axes with their names and a few round numbers."""
        left, bottom = self.at(self.x[0], self.y[0])
        right, top = self.at(self.x[1], self.y[1])
        drawn = [segment((left, bottom), (right, bottom), OTHER, 1)]
        for tick in ticks(*self.x):
            drawn.append(text(self.at(tick, 0)[0], bottom + 15, spelt[0](tick), anchor="middle"))
        for tick in ticks(*self.y):
            place = self.at(0, tick)[1]
            drawn.append(segment((left, place), (right, place), FAINT, 1))
            drawn.append(text(left - 6, place + 4, spelt[1](tick), anchor="end"))
        drawn.append(text((left + right) / 2, HIGH - 6, x, anchor="middle"))
        middle = (top + bottom) / 2
        turned = f' transform="rotate(-90 11 {middle:.1f})"'
        drawn.append(text(11, middle, y, anchor="middle", more=turned))
        return "".join(drawn)


def svg(drawn: str, label: str, *, high: float = HIGH) -> str:
    """Return a picture that fills the width it is given."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high:g}" role="img"'
        f' aria-label="{escape(label)}">{drawn}</svg>'
    )


def text(
    x: float, y: float, words: str, *, anchor: str = "start", more: str = "", bold: bool = False
) -> str:
    """Return words at a place."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}{more}>{escape(words)}</text>'
    )


def segment(
    start: tuple[float, float], end: tuple[float, float], colour: str, width: float = 2
) -> str:
    """Return a straight line."""
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"'
        f' stroke-width="{width:g}"/>'
    )


def legend(entries: Sequence[tuple[str, str]], x: float, y: float) -> str:
    """Return (colour, words) one below the other."""
    return "".join(
        segment((x, y + 15 * i - 4), (x + 16, y + 15 * i - 4), colour, 3)
        + text(x + 22, y + 15 * i, words)
        for i, (colour, words) in enumerate(entries)
    )


def cut(words: str, letters: int) -> str:
    """Return words of at most so many letters."""
    return words if len(words) <= letters else f"{words[: letters - 1]}…"


def ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers from low to high."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def percent(value: float) -> str:
    """Return a share as a person reads it."""
    return f"{value:.1%}" if 0 < abs(value) < 0.01 else f"{value:.0%}"
