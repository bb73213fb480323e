"""Pictures as SVG text in one style: the same numbers give the same bytes. Pure, but for the
drawing library's own state.

Colours: one for us, grey for what we are compared with, one accent; all readable in black and
white.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, OTHER, ACCENT, FAINT = "#1f5fa8", "#8a8f98", "#d1622b", "#d9dce1"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": OTHER,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "svg.hashsalt": "funnelcast",
    "svg.fonttype": "none",
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawing and the sentence that says what to see in it."""

    svg: str
    caption: str


def canvas(
    title: str, x: str, y: str, *, width: float = 4.2, height: float = 3.1
) -> tuple[Figure, Axes]:
    """Return an empty drawing with its axes named."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.tick_params(color=OTHER)
    return figure, axes


def picture(figure: Figure, caption: str) -> Picture:
    """Return a drawing as text."""
    text = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return Picture(svg=svg[svg.index("<svg") :], caption=caption)
