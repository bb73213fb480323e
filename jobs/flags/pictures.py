"""Pictures of a flag's experiment: a reading is drawn through, its interval is the band around it.
Pure, but for the drawing library's own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from jobs.drawing import ACCENT, FAINT, OTHER, OURS, Picture, canvas, picture
from serving.releases import compared, odds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.releases.compared import Point

TICKS = (0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0)  # of the ratios that are told apart


def curve(name: str, usual: str, course: Sequence[Point]) -> Picture:
    """Draw how the interval of a ratio of rates closed, account by account."""
    figure, axes = canvas(name, "accounts of both", f"times {usual}", width=4.4, height=2.8)
    accounts = [each.accounts for each in course]
    low, ratio, high = (
        [getattr(each.reading, part) for each in course] for part in ("low", "ratio", "high")
    )
    last = course[-1]
    axes.fill_between(accounts, low, high, step="post", color=FAINT, linewidth=0)
    axes.axhline(1.0, color=OTHER, linestyle="--", linewidth=1.2)
    axes.step(accounts, ratio, where="post", color=OURS, linewidth=1.8)
    is_less = compared.said(last.reading) == compared.LESS
    end = ACCENT if is_less else OURS
    axes.plot(accounts[-1:], ratio[-1:], "o", color=end, markersize=5, clip_on=False)
    axes.set_yscale("log")
    axes.set_ylim(float(odds.RATIOS[0]), float(odds.RATIOS[-1]))
    axes.set_yticks(TICKS)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(0, max(accounts))
    outcomes = f"{last.reading.outcomes:,} outcomes"
    return picture(figure, f"{name}: {compared.said(last.reading)}, by {outcomes}.")
