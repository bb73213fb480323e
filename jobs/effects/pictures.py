"""Pictures of what an action does: an effect is a dot, its interval the line through it. Pure, but
for the drawing library's own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, PercentFormatter

from jobs.drawing import ACCENT, FAINT, OTHER, OURS, Picture, canvas, picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.effects.known import Cause, Curve, Figure, NegativeControl, Overlap

ROW = 0.24  # inches
Z90 = 1.6448536269514722


def effects(figures: Sequence[Figure], title: str) -> Picture:
    """Draw differences of one kind, each with its 90 % interval."""
    scale = 100.0 if figures[0].measure == "happens" else 1.0
    unit = "points" if figures[0].measure == "happens" else figures[0].unit
    names = [_name(each) for each in figures]
    marks = [(each.effect * scale, each.sd * scale) for each in figures]
    return _forest(title, f"{unit} more than without it", names, marks)


def _name(of: Figure) -> str:
    arm = of.arm.replace("_", " ")
    where = "" if of.column == "all" else f", {of.column.replace('_', ' ')} {of.value}"
    return f"{arm}, {of.horizon_days:g} days{where}"


def hazards(told: Cause, title: str, shown: Sequence[str]) -> Picture:
    """Draw a ratio of rates and those of its parts, of the columns that may be shown."""
    parts = [each for each in told.by if each.column in shown]
    names = ["all", *(f"{each.column.replace('_', ' ')} {each.value}" for each in parts)]
    figure, axes = canvas(title, "times the rate without it", "", width=5.4,
                          height=0.95 + ROW * len(names))  # fmt: skip
    for place, each in enumerate([told, *parts]):
        low, high = each.interval
        colour = OURS if place == 0 else OTHER
        axes.plot([low, high], [-place, -place], color=colour, linewidth=2)
        axes.plot([each.ratio], [-place], "o", color=colour, markersize=5)
    axes.axvline(1.0, color=ACCENT, linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(axis="x", which="minor", labelsize=7)
    axes.set_yticks([-n for n in range(len(names))], names)
    axes.set_ylim(0.6 - len(names), 0.6)
    low, high = told.interval
    return picture(
        figure, f"{told.ratio:.2f} times the rate, 90 % interval {low:.2f} to {high:.2f}."
    )


def overlap(of: Overlap) -> Picture:
    """Draw how many of each arm had which chance to be treated."""
    figure, axes = canvas("Chance to be treated", "chance", "share of the arm", width=4.6)
    edges = np.linspace(0.0, 1.0, of.edges + 1)
    for (arm, counts), colour in zip(of.histogram.items(), (OTHER, OURS, ACCENT), strict=False):
        share = np.array(counts) / max(sum(counts), 1)
        axes.stairs(share, edges, color=colour, linewidth=1.8, label=arm.replace("_", " "))
    axes.legend(frameon=False, fontsize=8)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    left = f"{of.trimmed:.0%} of {of.lots:,} rows are left out."
    return picture(figure, f"Where curves lie over one another, arms can be compared. {left}")


def gain(of: Curve) -> Picture:
    """Draw what treating the best first gains, beside treating anybody."""
    per = 1000.0
    title = f"{of.outcome}, {of.arm.replace('_', ' ')}"
    figure, axes = canvas(title, "share treated, the best first", "gained per 1,000", width=4.6)
    end = of.gain[-1] * per
    share, line = np.array(of.share), np.array(of.share) * end
    axes.fill_between(share, line + np.array(of.low) * per, line + np.array(of.high) * per,
                      color=FAINT, linewidth=0)  # fmt: skip
    axes.plot([0, 1], [0, end], color=OTHER, linestyle="--", linewidth=1.2, label="anybody first")
    axes.plot(share, np.array(of.gain) * per, color=OURS, linewidth=1.8, label="the best first")
    axes.legend(frameon=False, fontsize=8)
    axes.set(xlim=(0, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    low, high = per * of.qini_low, per * of.qini_high
    return picture(
        figure, f"Qini {per * of.qini:.1f} per 1,000 heads, 90 % interval {low:.1f} to {high:.1f}."
    )


def controls(several: Sequence[NegativeControl]) -> Picture:
    """Draw effects on what came before the action, where nothing is right."""
    names = [_before(each) for each in several]
    marks = [(100 * each.effect, 100 * each.sd) for each in several]
    found = _forest("On what came before", "points", names, marks)
    held = sum(abs(effect) <= Z90 * sd for effect, sd in marks)
    return Picture(svg=found.svg, caption=f"{held} of {len(marks)} intervals hold 0.")


def _before(of: NegativeControl) -> str:
    name = f"{of.arm.replace('_', ' ')}, {of.name.replace('_', ' ')}"
    return f"{name}, action {of.days:g} days earlier" if of.is_earlier else name


def _forest(
    title: str, words: str, names: Sequence[str], marks: Sequence[tuple[float, float]]
) -> Picture:
    """Draw numbers (value, sd) with 90 % intervals, the first at the top."""
    figure, axes = canvas(title, words, "", width=5.4, height=0.95 + ROW * len(names))
    for place, (value, sd) in enumerate(marks):
        reach = Z90 * sd
        colour = OURS if abs(value) > reach else OTHER
        axes.plot([value - reach, value + reach], [-place, -place], color=colour, linewidth=2)
        axes.plot([value], [-place], "o", color=colour, markersize=5)
    axes.axvline(0.0, color=ACCENT, linestyle="--", linewidth=1)
    axes.set_yticks([-n for n in range(len(names))], names)
    axes.set_ylim(0.6 - len(names), 0.6)
    clear = sum(abs(value) > Z90 * sd for value, sd in marks)
    return picture(figure, f"{clear} of {len(marks)} intervals do not hold 0.")
