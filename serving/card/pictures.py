"""The pictures of a model card. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.card import drawing
from serving.card.drawing import ACCENT, FAINT, OTHER, OURS, WIDE, Frame, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from serving.card.facts import Evaluation, Group, Interval, Point, Share, Trade

RANKING = {
    "auc": "AUC (1 is perfect, 0.5 a coin)",
    "average_precision": "average precision (higher is better)",
    "lift_10": "lift in the best 10 % (higher is better)",
}
PROBABILITY = {
    "log_loss": "log loss (lower is better)",
    "brier": "Brier score (lower is better)",
    "calibration_slope": "calibration slope (1 is right)",
}
SCORERS = {"model": OURS, "rules": ACCENT, "base_rate": OTHER}
NAMES = {"model": "model", "rules": "rules", "base_rate": "base rate"}
MARKS = {"auc": 0.5, "lift_10": 1.0, "calibration_slope": 1.0}  # of a coin, or of what is right
LETTER = 6.6  # width of a letter, about
LINE, STRIP = 17, 24  # height of a line, and of a headline


def calibration(points: Sequence[Point]) -> Picture:
    """Draw how often scores came true, with intervals, against the diagonal of a perfect score."""
    top = min(1.0, 1.05 * max(1e-3, *(max(p.high, p.probability) for p in points)))
    frame = Frame(x=(0, top), y=(0, top))
    drawn = [
        frame.axes("predicted probability", "share that came true", (drawing.percent,) * 2),
        frame.line([0, top], [0, top], OTHER, dashed=True),
        frame.line([p.probability for p in points], [p.rate for p in points], OURS),
    ]
    for p in points:
        said = f"{p.rate:.1%} ({p.low:.1%} to {p.high:.1%}) of {p.rows:,} rows"
        drawn.append(frame.upright(p.probability, p.low, p.high, OURS))
        drawn.append(frame.dot(p.probability, p.rate, OURS, said))
    drawn.append(drawing.legend([(OURS, "model, 95 % interval"), (OTHER, "perfect")], 72, 26))
    inside = sum(p.low <= p.probability <= p.high for p in points)
    caption = (
        f"{sum(p.rows for p in points):,} held-out rows; on the dashed line a score means what it "
        f"says. The line lies within the interval at {inside} of {len(points)} points."
    )
    return _picture("Calibration", "".join(drawn), caption)


def gain(curve: Mapping[str, Sequence[float]]) -> Picture:
    """Draw the share of positives found among the best-ranked rows: model, rules and chance."""
    frame = Frame(x=(0, 1), y=(0, 1))
    names = [name for name in ("rules", "model") if name in curve]
    drawn = [
        frame.axes("share worked, best first", "share of positives found", (drawing.percent,) * 2),
        frame.line([0, 1], [0, 1], OTHER, dashed=True),
        *(frame.line(curve["share"], curve[name], SCORERS[name]) for name in names),
    ]
    entries = [*((SCORERS[n], NAMES[n]) for n in reversed(names)), (OTHER, "chance")]
    drawn.append(drawing.legend(entries, 300, 200))
    place = min(range(len(curve["share"])), key=lambda i: abs(curve["share"][i] - 0.2))
    found = [f"{NAMES[n]} {curve[n][place]:.0%}" for n in reversed(names)]
    caption = f"Working the best 20 % finds, of all positives: {', '.join(found)}."
    return _picture("Gain", "".join(drawn), caption)


def metrics(title: str, evaluation: Evaluation, words: Mapping[str, str]) -> Picture:
    """Draw metrics with their intervals: model, rules and base rate below each other."""
    drawn, y = [], 0.0
    for key, name in words.items():
        found = [(scorer, evaluation.scorers.get(scorer, {}).get(key)) for scorer in SCORERS]
        rows = [
            (NAMES[s], i, SCORERS[s], f"{i.value:.3f}")
            for s, i in found
            if i is not None and i.value is not None
        ]
        if rows:
            drawn.append(drawing.text(0, y + 15, name, bold=True))
            drawn.append(_intervals(rows, y + STRIP, mark=MARKS.get(key)))
            y += STRIP + LINE * len(rows) + 8
    caption = f"95 % intervals, from {evaluation.clusters:,} accounts drawn anew, each as a whole."
    return _picture(title, "".join(drawn), caption, high=max(y, LINE))


def groups(attribute: str, parts: Mapping[str, Group]) -> Picture:
    """Draw by how much scores are too high or too low in parts of the held-out rows."""
    shown = {name: part for name, part in parts.items() if part.gap.value is not None}
    rows = [
        (f"{drawing.cut(name, 15)} ({part.rows:,})", part.gap, OURS, _gap(part))
        for name, part in shown.items()
    ]
    drawn = _intervals(rows, 4, mark=0.0) if rows else drawing.text(0, 15, "too few rows in each")
    caption = (
        "Predicted less actual share, with 95 % interval: right of the dashed line scores are too "
        "high. Rows in brackets; AUC where enough of them came true and enough did not."
    )
    title = f"By {attribute.replace('_', ' ')}"
    return _picture(title, drawn, caption, high=LINE * max(len(rows), 1) + 8)


def importance(shares: Sequence[Share], by: str) -> Picture:
    """Draw how much each feature matters, strongest first."""
    most, drawn = max(share.share for share in shares), []
    for i, share in enumerate(shares):
        y, wide = i * 19, 140 * share.share / most
        said = f"{share.share:.3f}" if by == "contribution" else drawing.percent(share.share)
        drawn.append(drawing.text(0, y + 13, drawing.cut(share.label, 34)))
        drawn.append(f'<rect x="222" y="{y + 3}" width="{wide:.1f}" height="12" fill="{OURS}"/>')
        drawn.append(drawing.text(227 + wide, y + 13, said))
    means = {
        "contribution": "Mean absolute contribution to the log-odds of held-out rows.",
        "gain": "Share in what all splits gained in training; the training kept no contributions.",
    }
    return _picture("What matters", "".join(drawn), means[by], high=19 * len(shares) + 4)


def front(trades: Sequence[Trade]) -> Picture:
    """Draw the trials of which none was both better and cheaper, and the one that was taken."""
    losses, costs = [t.loss for t in trades], [t.cost for t in trades]
    frame = Frame(x=_around(costs), y=_around(losses))
    ordered = sorted(trades, key=lambda t: t.cost)
    spelt = (lambda v: f"{v:g}", lambda v: f"{v:.4g}")
    drawn = [
        frame.axes("cost of a score", "loss", spelt),
        frame.line([t.cost for t in ordered], [t.loss for t in ordered], FAINT),
    ]
    for t in ordered:
        colour, radius = (ACCENT, 6.0) if t.chosen else (OURS, 3.5)
        said = f"loss {t.loss:.4f}, cost {t.cost:g}"
        drawn.append(frame.dot(t.cost, t.loss, colour, said, radius=radius))
    caption = f"{len(trades)} trials on the front of quality against cost; the large dot was taken."
    return _picture("Search", "".join(drawn), caption)


def _intervals(
    rows: Sequence[tuple[str, Interval, str, str]], y: float, mark: float | None = None
) -> str:
    """Return a line per row: words, an interval in a colour on a scale of all rows, words."""
    ends = [n for _, i, _, _ in rows for n in (i.value, i.low, i.high) if n is not None]
    low, high = _around([*ends, *([] if mark is None else [mark])])
    left, right = 132.0, WIDE - 18 - LETTER * max(len(after) for *_, after in rows)

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    drawn = []
    if mark is not None:
        line = drawing.segment((at(mark), y - 4), (at(mark), y + LINE * len(rows)), OTHER, 1)
        drawn.append(line.replace("/>", ' stroke-dasharray="4 3"/>'))
    for i, (words, interval, colour, after) in enumerate(rows):
        middle = y + LINE * i + 6
        drawn.append(drawing.text(0, middle + 4, drawing.cut(words, 22)))
        drawn.append(drawing.segment((left, middle), (right, middle), FAINT, 1))
        drawn.append(_whisker(interval, middle, colour, at))
        drawn.append(drawing.text(right + 8, middle + 4, after))
    return "".join(drawn)


def _gap(part: Group) -> str:
    """Return the gap of a group, and its AUC."""
    said = f"{part.gap.value or 0:+.1%}"
    return said if part.auc is None else f"{said}, AUC {part.auc:.2f}"


def _whisker(interval: Interval, y: float, colour: str, at: Callable[[float], float]) -> str:
    drawn = ""
    if interval.low is not None and interval.high is not None:
        drawn = drawing.segment((at(interval.low), y), (at(interval.high), y), colour, 3)
    return f'{drawn}<circle cx="{at(interval.value or 0):.1f}" cy="{y:g}" r="4" fill="{colour}"/>'


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Return a range with some room at both ends, never empty."""
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or max(0.1 * abs(high), 1e-6)
    return low - room, high + room


def _picture(title: str, drawn: str, caption: str, *, high: float = drawing.HIGH) -> Picture:
    return Picture(title=title, svg=drawing.svg(drawn, title, high=high), caption=caption)
