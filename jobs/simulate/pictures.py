"""Pictures of a forecast: what is open now against what is new, and where the hours go. Pure, but
for the drawing library's own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jobs.drawing import ACCENT, FAINT, OTHER, OURS, Picture, canvas, picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

BANDS = (("p05", "p95", 0.15), ("p25", "p75", 0.25))
OF_PART = {"existing": "deals\nopen now", "leads": "leads\nopen now", "new": "what\narrives"}
UNITS = {"won": ("won", 1.0), "value_cents": ("value won, thousands", 1e5)}


def fan(rows: pd.DataFrame, measure: str, step: str, title: str = "Forecast") -> Picture:
    """Draw the cumulative forecast of each scenario: median, 50 % and 90 % band."""
    words, scale = UNITS[measure]
    figure, axes = canvas(f"{title}: {words}", step, f"{words}, so far", width=5.6)
    chosen = rows[(rows["part"] == "all") & (rows["dimension"] == "all")]
    chosen = chosen[(chosen["measure"] == measure) & (chosen["span"] == "cumulative")]
    told = []
    for (name, one), colour in zip(
        chosen.groupby("scenario", sort=False), (OURS, ACCENT, OTHER), strict=False
    ):
        _band(axes, one, scale, colour, str(name).replace("_", " "))
        told.append(f"{name}: {_interval(one.iloc[-1], scale)}")
    axes.set(xlim=(1, chosen["step"].max()), ylim=(0, None))
    axes.legend(frameon=False, loc="upper left", title="median, 50 % and 90 % bands", fontsize=8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return picture(figure, "; ".join(told) + " (90 % interval)")


def waterfall(
    rows: pd.DataFrame, scenario: str, measure: str, title: str = "Existing and new"
) -> Picture:
    """Draw what each part adds to the total by the last step: means, with 90 % intervals."""
    words, scale = UNITS[measure]
    figure, axes = canvas(title, "", words, width=5.6)
    last = _last(rows, scenario, measure)
    base = 0.0
    for place, part in enumerate(OF_PART):
        one = last.loc[part]
        axes.bar(place, one["mean"] / scale, bottom=base, color=OURS if place == 0 else OTHER)
        _whisker(axes, place, base * scale, one, scale)
        base += one["mean"] / scale
    axes.bar(len(OF_PART), base, color=FAINT, edgecolor=OURS)
    _whisker(axes, len(OF_PART), 0.0, last.loc["all"], scale)
    axes.set_xticks(range(len(OF_PART) + 1), [*OF_PART.values(), "all"])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    share = last.loc["existing", "mean"] / max(last.loc["all", "mean"], 1e-12)
    return picture(figure, f"{share:.0%} of what is expected comes from deals that are open now.")


def stages(rows: pd.DataFrame, names: Sequence[str], step: str) -> Picture:
    """Draw how many units are expected to be open in each stage, step by step."""
    figure, axes = canvas("Open by stage", step, "units open, mean", width=5.6)
    chosen = rows[rows["dimension"] == "all"]
    heights = [chosen[chosen["stage"] == name].sort_values("step")["mean"] for name in names]
    shades = [_shade(place, len(names)) for place in range(len(names))]
    steps = sorted(chosen["step"].unique())
    axes.stackplot(steps, heights, labels=list(names), colors=shades)
    axes.set_xlim(steps[0], steps[-1])
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    first, last = (sum(float(h.iloc[at]) for h in heights) for at in (0, -1))
    return picture(
        figure, f"{first:,.0f} units open after the first {step}, {last:,.0f} at the end."
    )


def heat(
    load: np.ndarray, desks: Sequence[str], step: str, title: str = "How full the desks are"
) -> Picture:
    """Draw how full each desk is: the share of its capacity that is used, float64 [desks, steps],
    not a number where it has none.
    """
    figure, axes = canvas(title, step, "", width=5.6, height=1.3 + 0.3 * len(desks))
    steps = np.arange(1, load.shape[1] + 2) - 0.5
    mesh = axes.pcolormesh(
        steps, np.arange(len(desks) + 1) - 0.5, load, cmap="Blues", vmin=0, vmax=1
    )
    axes.set_yticks(range(len(desks)), list(desks))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    bar = figure.colorbar(mesh, ax=axes, format=FuncFormatter(lambda value, _: f"{value:.0%}"))
    bar.outline.set_visible(False)
    full = [name for name, row in zip(desks, load, strict=True) if np.nanmean(row) > 0.95]
    said = f"{', '.join(full)}: no hour is left" if full else "every desk has hours left"
    return picture(figure, f"Contacts made as a share of those that could be; {said}.")


def risks(deals: pd.DataFrame, names: Mapping[int, str], most: int = 12) -> Picture:
    """Draw the open deals that carry most of the spread of the value won."""
    chosen = deals.head(most).iloc[::-1]
    figure, axes = canvas(
        "Deals that carry the risk",
        "share of the spread",
        "",
        width=5.6,
        height=0.9 + 0.2 * len(chosen),
    )
    labels = [names[unit] for unit in chosen["unit"]]
    bars = axes.barh(labels, chosen["share"], color=OURS)
    axes.bar_label(bars, [f"{chance:.0%} to win" for chance in chosen["chance"]], padding=3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.margins(x=0.28)
    share = chosen["share"].sum()
    return picture(
        figure, f"These {len(chosen)} of {len(deals):,} open deals make {share:.0%} of the spread."
    )


def _band(axes: Axes, one: pd.DataFrame, scale: float, colour: str, name: str) -> None:
    for low, high, alpha in BANDS:
        axes.fill_between(
            one["step"], one[low] / scale, one[high] / scale, color=colour, alpha=alpha, lw=0
        )
    axes.plot(one["step"], one["p50"] / scale, color=colour, label=name)


def _last(rows: pd.DataFrame, scenario: str, measure: str) -> pd.DataFrame:
    chosen = rows[(rows["scenario"] == scenario) & (rows["measure"] == measure)]
    chosen = chosen[(chosen["dimension"] == "all") & (chosen["span"] == "cumulative")]
    return chosen[chosen["step"] == chosen["step"].max()].set_index("part")


def _whisker(axes: Axes, place: int, base: float, one: pd.Series, scale: float) -> None:
    low, high = ((base + one[name]) / scale for name in ("p05", "p95"))
    axes.plot([place, place], [low, high], color=ACCENT, linewidth=1.6)


def _interval(one: pd.Series, scale: float) -> str:
    low, mid, high = (f"{one[name] / scale:,.0f}" for name in ("p05", "p50", "p95"))
    return f"{mid} ({low} to {high})"


def _shade(place: int, several: int) -> tuple[float, float, float]:
    """Return a blue, the darker the later the stage."""
    light = 0.82 - 0.62 * place / max(several - 1, 1)
    return (light * 0.86, light * 0.95, min(1.0, light * 1.05 + 0.1))
