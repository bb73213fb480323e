"""Pictures of models and forecasts: the accent is for the lever. Pure, but for the drawing
library's own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.drawing import ACCENT, FAINT, OTHER, OURS, Picture, canvas, picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

NAMES = {"model": "model", "rules": "rules", "base_rate": "base rate"}


def calibration(points: Sequence[Mapping[str, Any]]) -> Picture:
    """Draw how often scores came true, with intervals, against the diagonal of a perfect score."""
    figure, axes = canvas("Calibration", "predicted probability", "share that came true")
    top = max([p["high"] for p in points] + [p["probability"] for p in points]) * 1.05
    axes.plot([0, top], [0, top], color=OTHER, linewidth=1, linestyle="--", label="perfect")
    x, rate = [p["probability"] for p in points], [p["rate"] for p in points]
    error = [[p["rate"] - p["low"] for p in points], [p["high"] - p["rate"] for p in points]]
    axes.errorbar(
        x, rate, yerr=error, fmt="o-", color=OURS, capsize=2, label="model, 95 % interval"
    )
    axes.set(xlim=(0, top), ylim=(0, top))
    axes.legend(frameon=False, loc="upper left")
    rows = sum(p["rows"] for p in points)
    return picture(
        figure, f"{rows:,} held-out rows; on the dashed line a score means what it says."
    )


def lift(curve: Mapping[str, Sequence[float]]) -> Picture:
    """Draw the share of positives found among the best-ranked rows: model, rules and chance."""
    figure, axes = canvas("Lift", "share worked, best first", "share of positives found")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, label="chance")
    colours = {"model": OURS, "rules": OTHER}
    for name in ("rules", "model"):
        if name in curve:
            axes.plot(curve["share"], curve[name], color=colours[name], label=NAMES[name])
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(frameon=False, loc="lower right")
    return picture(figure, _lift_words(curve))


def routes(counts: Mapping[str, int]) -> Picture:
    """Draw how many open entities go where."""
    figure, axes = canvas("Routes", "open entities", "", height=1.9)
    names = sorted(counts, key=lambda name: counts[name])
    bars = axes.barh([n.replace("_", " ") for n in names], [counts[n] for n in names], color=OURS)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.margins(x=0.12)
    return picture(figure, f"{sum(counts.values()):,} open entities, routed by the active policy.")


def fan(rows: pd.DataFrame, measure: str, scenarios: Sequence[str]) -> Picture:
    """Draw the cumulative forecast of each scenario: median, 50 % and 90 % band."""
    unit, scale = ("won deals", 1.0) if measure == "won" else ("value, millions", 1e8)
    figure, axes = canvas(f"Forecast: {unit}", "week", f"cumulative {unit}", width=5.6)
    for scenario, colour in zip(scenarios, (OURS, ACCENT), strict=False):
        one = _of(rows, scenario, measure, "cumulative")
        weeks = one["step"]
        axes.fill_between(
            weeks, one["p05"] / scale, one["p95"] / scale, color=colour, alpha=0.15, lw=0
        )
        axes.fill_between(
            weeks, one["p25"] / scale, one["p75"] / scale, color=colour, alpha=0.25, lw=0
        )
        axes.plot(weeks, one["p50"] / scale, color=colour, label=_words(scenario))
    axes.set_xlim(1, rows["step"].max())
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left", title="median, 50 % and 90 % bands")
    return picture(figure, _fan_words(rows, measure, scenarios, scale))


def difference(rows: pd.DataFrame) -> Picture:
    """Draw what the lever adds, draw by draw on the same luck."""
    figure, axes = canvas("What the lever adds", "week", "extra won deals, cumulative", width=5.6)
    one = _of(rows, "difference", "won", "cumulative")
    axes.axhline(0, color=OTHER, linewidth=1)
    axes.fill_between(
        one["step"], one["p05"], one["p95"], color=ACCENT, alpha=0.18, lw=0, label="90 %"
    )
    axes.fill_between(
        one["step"], one["p25"], one["p75"], color=ACCENT, alpha=0.28, lw=0, label="50 %"
    )
    axes.plot(one["step"], one["mean"], color=ACCENT, label="mean")
    axes.set_xlim(1, rows["step"].max())
    axes.legend(frameon=False, loc="upper left")
    last = one.iloc[-1]
    return picture(
        figure,
        f"After {last['step']} weeks {last['mean']:+.1f} deals on average, in 90 % of the draws"
        f" {last['p05']:+d} to {last['p95']:+d}: the same luck with and without the lever.",
    )


def _of(rows: pd.DataFrame, scenario: str, measure: str, span: str) -> pd.DataFrame:
    wanted = (rows["scenario"] == scenario) & (rows["measure"] == measure) & (rows["span"] == span)
    is_all = (rows["part"] == "all") & (rows["dimension"] == "all")
    return rows[wanted & is_all].sort_values("step")


def _lift_words(curve: Mapping[str, Sequence[float]]) -> str:
    at = list(curve["share"]).index(min(curve["share"], key=lambda s: abs(s - 0.2)))
    found = [f"{NAMES[n]} {curve[n][at]:.0%}" for n in ("model", "rules") if n in curve]
    return f"Working the best 20 % finds, of all positives: {', '.join(found)}."


def _fan_words(rows: pd.DataFrame, measure: str, scenarios: Sequence[str], scale: float) -> str:
    ends = [(s, _of(rows, s, measure, "cumulative").iloc[-1]) for s in scenarios]
    digits = 0 if measure == "won" else 1
    return "; ".join(
        f"{_words(s)}: {e['p50'] / scale:,.{digits}f}"
        f" ({e['p05'] / scale:,.{digits}f} to {e['p95'] / scale:,.{digits}f})"
        for s, e in ends
    )


def _words(scenario: str) -> str:
    return "business as usual" if scenario == "baseline" else f"with {scenario.replace('_', ' ')}"
