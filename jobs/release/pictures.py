"""Pictures of a release: the accent is for an alarm; the candidate is drawn through, what answered
before is dashed. Pure, but for the drawing library's own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib import dates
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from jobs.drawing import ACCENT, FAINT, OTHER, OURS, Picture, canvas, picture
from serving.releases.evidence import CANDIDATE, STABLE
from serving.releases.judge import short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from matplotlib.axes import Axes

    from serving.releases.judge import Finding
    from serving.slots.releases import Kept

LEAST, HIGHEST = 1e-4, 1e2  # of an alarm, that is drawn
SMALL = {"width": 3.5, "height": 2.3}
FEW, WIDER = 300, 5  # scores of an arm, and how many bins are one then
DATES: Any = dates  # has no types


def weights(moves: Sequence[Kept], until: datetime) -> Picture:
    """Draw what the candidate was given, move by move."""
    figure, axes = canvas("What the candidate was given", "", "percent", width=4.4, height=2.3)
    times = _numbers([*(kept.since for kept in moves), until])
    share = [kept.release.places / 100 for kept in moves]
    mirror = [kept.release.mirror * 100 for kept in moves]
    for values, colour, style, label in (
        (mirror, OTHER, "--", "of the others' decisions, unseen"),
        (share, OURS, "-", "of the accounts"),
    ):
        drawn = [*values, values[-1]]
        axes.step(times, drawn, where="post", color=colour, linestyle=style, label=label)
    axes.set_ylim(0, max(5.0, *share, *mirror) * 1.5)  # with room for its words
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    _clock(axes, times[0], times[-1])
    most = max(share)
    return picture(figure, f"At most {most:g} % of the accounts; now {share[-1]:g} %.")


def evidence(guard: str, curve: Sequence[tuple[datetime, Finding]]) -> Picture:
    """Draw how the evidence of a guard grew, as a part of what is an alarm."""
    last = curve[-1][1]
    figure, axes = canvas(guard, "", "of an alarm", **SMALL)
    times = _numbers([at for at, _ in curve])
    parts = [min(max(f.strength / f.limit, LEAST), HIGHEST) for _, f in curve]
    axes.axhline(1.0, color=ACCENT, linestyle="--", linewidth=1.2)
    axes.step(times, parts, where="post", color=OURS, linewidth=1.8)
    end = ACCENT if last.is_alarm else OURS
    axes.plot(times[-1:], parts[-1:], "o", color=end, markersize=4, clip_on=False)
    axes.set_yscale("log")
    axes.set_ylim(min(0.5 * min(parts), 5e-3), max(6.0, 3 * max(parts)))
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    across = axes.get_yaxis_transform()
    axes.text(0.02, 1.2, "alarm", color=ACCENT, fontsize=8, va="bottom", transform=across)
    _clock(axes, times[0], times[-1])
    return picture(figure, _told(last))


def _told(finding: Finding) -> str:
    """Return what a guard asks, and how far it came."""
    asked = finding.said.partition(" (")[0].partition(", ")[0]
    parts = f"{short(finding.strength)} of {short(finding.limit)}"
    return f"{asked[:1].upper()}{asked[1:]}: evidence {parts}, {finding.events:,} events."


def scores(step: int, arms: Mapping[str, Sequence[int]]) -> Picture:
    """Draw how the scores of the two arms are distributed in a step."""
    figure, axes = canvas(f"Scores in step {step + 1}", "chance", "share of accounts", **SMALL)
    arms = _coarse(arms)
    bins = len(arms[CANDIDATE])
    edges = [n / bins for n in range(bins + 1)]
    counts = {name: sum(arms[name]) for name in (STABLE, CANDIDATE)}
    for name, colour, style in ((STABLE, OTHER, "--"), (CANDIDATE, OURS, "-")):
        if counts[name]:
            parts = [count / counts[name] for count in arms[name]]
            axes.stairs(parts, edges, color=colour, linestyle=style, linewidth=1.5, label=name)
    filled = [n for n in range(bins) if arms[STABLE][n] or arms[CANDIDATE][n]]
    axes.set_xlim(0, min(1.0, (filled[-1] + 2) / bins) if filled else 1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.legend(frameon=False, loc="upper right", fontsize=8)
    told = f"{counts[CANDIDATE]:,} of the candidate, {counts[STABLE]:,} of what answers."
    return picture(figure, f"Each account once: {told}")


def _coarse(arms: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Return fewer bins where few were scored, as each would hold one or none."""
    width = WIDER if min(map(sum, arms.values())) < FEW else 1
    return {
        name: [sum(counts[n : n + width]) for n in range(0, len(counts), width)]
        for name, counts in arms.items()
    }


def accounts(met: Mapping[str, int], in_step: Mapping[int, int]) -> Picture:
    """Draw how many accounts each arm has met, and how many the candidate met in each step."""
    figure, axes = canvas("Accounts", "", "", **SMALL)
    rows = [(f"candidate, step {n + 1}", in_step[n], FAINT) for n in sorted(in_step, reverse=True)]
    rows += [(CANDIDATE, met.get(CANDIDATE, 0), OURS), (STABLE, met.get(STABLE, 0), OTHER)]
    names, counts, colours = zip(*rows, strict=True)
    bars = axes.barh(names, counts, color=colours, edgecolor=OTHER, linewidth=0.6)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.margins(x=0.2)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return picture(figure, "Each account counts once for its arm, and once in each step.")


def _numbers(times: Sequence[datetime]) -> list[float]:
    """Return times as the library counts them."""
    found: list[float] = DATES.date2num(times).tolist()
    return found


def _clock(axes: Axes, first: float, last: float) -> None:
    """Let the axis across tell times, a few of them."""
    locator = DATES.AutoDateLocator(minticks=2, maxticks=4)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DATES.ConciseDateFormatter(locator))
    if first < last:
        axes.set_xlim(first, last)
