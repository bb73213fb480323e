"""Pictures of a backtest: ours in colour, the truth as an accent, what we are compared with in
grey. Pure, but for the drawing library's own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import dates
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jobs.backtest.results import POOLED
from jobs.drawing import ACCENT, FAINT, OTHER, OURS, Picture, canvas, picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from jobs.backtest.results import Judged

BINS = 10
SIZE = {"width": 4.8, "height": 2.9}
DATES: Any = dates  # it has no types
_MARKERS = ("s", "^", "D", "v", "P")  # of the others, to be told apart without colour


def coverage(ours: Judged) -> Picture:
    """Draw how often intervals of each level held, with two standard errors, against what they
    were made for.
    """
    figure, axes = canvas("Coverage", "level of the interval", "share that held the truth", **SIZE)
    found = ours.coverage
    level = [each.level for each in found]
    axes.plot([0.4, 1.0], [0.4, 1.0], color=OTHER, linestyle="--", linewidth=1, label="as said")
    shares, error = [each.share for each in found], [2.0 * each.error for each in found]
    axes.errorbar(level, shares, yerr=error, fmt="o", color=OURS, capsize=3, label="measured")
    axes.set_xlim(0.4, 1.0)
    axes.set_xticks(level)
    axes.set_ylim(min(0.4, *(s - e for s, e in zip(shares, error, strict=True))) - 0.02, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.legend(frameon=False, loc="upper left")
    told = ", ".join(f"{each.level:.0%}: {each.share:.0%} ± {each.error:.0%}" for each in found)
    independent = min(each.effective for each in found)
    return picture(
        figure,
        f"{told}; bars are two standard errors. {found[0].intervals:,} intervals of"
        f" {ours.origins:,} origins say as much as about {independent:,.0f} independent ones.",
    )


def reliability(curve: pd.DataFrame) -> Picture:
    """Draw how many deals of about the same chance (rows as of deals.curve) were won, with two
    standard errors of chance alone.
    """
    title = "Chances of single deals"
    figure, axes = canvas(title, "chance that was said", "share that was won", **SIZE)
    said, share = curve["chance"].to_numpy(), curve["share"].to_numpy()
    error = 2.0 * curve["error"].to_numpy()
    end = min(1.0, 1.05 * float(max(said.max(), (share + error).max())))
    axes.plot([0.0, end], [0.0, end], color=OTHER, linestyle="--", linewidth=1, label="as said")
    axes.errorbar(said, share, yerr=error, fmt="o", color=OURS, capsize=3, label="measured")
    axes.set(xlim=(0.0, end), ylim=(0.0, end))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.legend(frameon=False, loc="upper left")
    return picture(
        figure,
        f"{int(curve['deals'].sum()):,} deals, counted at each origin at which they were open, in"
        f" {len(curve)} groups by chance. Above the line more were won than was said.",
    )


def pit(values: Sequence[float]) -> Picture:
    """Draw where outcomes lay in their forecasts."""
    figure, axes = canvas("Where outcomes lay", "share of the draws below", "outcomes", **SIZE)
    counts, edges = np.histogram(values, BINS, (0.0, 1.0))
    axes.bar(edges[:-1], counts, 1 / BINS, align="edge", color=OURS, edgecolor="white")
    axes.axhline(len(values) / BINS, color=OTHER, linestyle="--", linewidth=1)
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return picture(
        figure,
        "Flat is good. High at both ends: intervals are too narrow; high in the middle: too wide;"
        " high on the right: forecasts are too low.",
    )


def fan(rows: pd.DataFrame, unit: str, scale: float) -> Picture:
    """Draw the forecasts of one forecaster, series and horizon by origin, and what came."""
    figure, axes = canvas("Forecast and truth by origin", "origin", unit, **SIZE)
    rows = rows.sort_values("origin")
    moments = rows["origin"].dt.tz_localize(None).to_numpy()
    for low, high, shade in (("p05", "p95", 0.15), ("p25", "p75", 0.25)):
        edges = rows[low].to_numpy() / scale, rows[high].to_numpy() / scale
        axes.fill_between(moments, *edges, color=OURS, alpha=shade, lw=0)
    axes.plot(moments, rows["p50"].to_numpy() / scale, color=OURS, label="median, 50 % and 90 %")
    axes.plot(
        moments, rows["truth"].to_numpy() / scale, "o", color=ACCENT, ms=3.5, label="what came"
    )
    axes.xaxis.set_major_locator(DATES.AutoDateLocator(minticks=3, maxticks=7))
    axes.set_ylim(0, 1.2 * max(rows["p95"].max(), rows["truth"].max(), scale) / scale)
    axes.legend(frameon=False, loc="upper left", ncols=2)
    outside = int(((rows["truth"] < rows["p05"]) | (rows["truth"] > rows["p95"])).sum())
    return picture(
        figure,
        f"What was forecast at each of {len(rows):,} origins for the next {_steps(rows)} and what"
        f" came: {outside} outside its 90 % interval.",
    )


def crps(judged: Sequence[tuple[str, Judged]], scale: float, unit: str) -> Picture:
    """Draw the score of each named forecaster by horizon; the first is ours."""
    figure, axes = canvas("Score by horizon", "steps ahead", f"CRPS, {unit}", **SIZE)
    for number, name in enumerate(dict.fromkeys(name for name, _ in judged)):
        chosen = [one for called, one in judged if called == name and one.horizon != POOLED]
        chosen.sort(key=lambda each: each.horizon)
        x, y = [each.horizon for each in chosen], [each.crps / scale for each in chosen]
        _line(axes, (x, y), name, number)
    axes.set_ylim(bottom=0)
    axes.set_xticks(_few(sorted({one.horizon for _, one in judged} - {POOLED})))
    axes.legend(frameon=False, fontsize=8)
    return picture(figure, "Lower is better; in the unit of what is forecast.")


def _few(horizons: list[int]) -> list[int]:
    """Return at most eight of the horizons, the last among them."""
    apart = -(-len(horizons) // 8)
    return horizons[::-apart][::-1]


def _line(axes: Axes, points: tuple[list[int], list[float]], label: str, number: int) -> None:
    if number == 0:
        axes.plot(*points, "o-", color=OURS, linewidth=2, markersize=4, label=label, zorder=3)
        return
    marker = _MARKERS[(number - 1) % len(_MARKERS)]
    axes.plot(*points, marker + "-", color=OTHER, linewidth=1, markersize=4, mfc=FAINT, label=label)


def _steps(rows: pd.DataFrame) -> str:
    horizon = int(rows["horizon"].iloc[0])
    return "step" if horizon == 1 else f"{horizon} steps"
