"""A picture of each change: bars from the last score to this one, one per cause; and the page of
several. The same answer gives the same bytes.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from serving.card import drawing
from serving.card.drawing import ACCENT, FAINT, OTHER, OURS, WIDE

if TYPE_CHECKING:
    from serving.moved.split import Moved, Part
    from serving.moved.why import Answer, Why

LABELS = {
    "late_events": "late events",
    "time": "passing of time",
    "new_events": "new events",
    "model": "model",
    "calibrator": "calibrator",
    "policy": "policy",
}
LEFT, RIGHT, STRIP = 110, 56, 22  # margins of the bars, and height of one
_STYLE = """
body { margin: 0 auto; max-width: 1060px; padding: 24px; color: #1d232b;
 font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { display: grid; gap: 28px 34px; align-items: start;
 grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); }
h1 { font-size: 24px; overflow-wrap: anywhere; } h2 { margin: 0; font-size: 15px; }
figure { margin: 0; } svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #3d4652; }
svg text[font-weight] { font-weight: 600; }
ul { margin: 6px 0; padding-left: 20px; } p, li { font-size: 13px; color: #5c6672; }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head><body>
<h1>{title}</h1>
<p>From {then} to {now} (UTC); changes of the probability in percentage points.</p>
<main>{parts}</main>
</body></html>
"""


def page(target: str, answer: Answer) -> str:
    """Return the page of an answer: no script, no request."""
    gone = (f"<p>{escape(e)} {escape(reason)}.</p>" for e, reason in answer.unsplit.items())
    return _PAGE.format(
        title=f"Why scores moved: {escape(target)}",
        style=_STYLE,
        then=f"{answer.span[0]:%Y-%m-%d %H:%M}",
        now=f"{answer.span[1]:%Y-%m-%d %H:%M}",
        parts="".join([*(_part(each) for each in answer.whys), *gone]),
    )


def waterfall(moved: Moved) -> str:
    """Draw the change of one probability as SVG: before, a bar per cause, after."""
    values = [moved.before.probability]
    for part in moved.parts:
        values.append(values[-1] + part.probability)
    low, high = min(values), max(values)
    room = max(high - low, 0.01) * 0.05
    scale = _Scale(low=low - room, high=high + room)
    drawn = [_whole(scale, 0, "before", values[0])]
    for row, part in enumerate(moved.parts, start=1):
        drawn.append(_bar(scale, row, part, (values[row - 1], values[row])))
    drawn.append(_whole(scale, len(values), "now", values[-1]))
    return drawing.svg("".join(drawn), f"why the score of {moved.entity} moved", high=STRIP * 8 + 8)


class _Scale:
    """Where a probability lies across the picture."""

    def __init__(self, *, low: float, high: float) -> None:
        self._low, self._high = low, high

    def at(self, value: float) -> float:
        inner = WIDE - LEFT - RIGHT
        return LEFT + (value - self._low) / (self._high - self._low) * inner


def _whole(scale: _Scale, row: int, label: str, value: float) -> str:
    across, middle = scale.at(value), _middle(row)
    return (
        drawing.text(LEFT - 8, middle + 4, label, anchor="end", bold=True)
        + drawing.segment((LEFT, middle), (across, middle), FAINT, 10)
        + drawing.segment((across, middle - 8), (across, middle + 8), OURS, 3)
        + drawing.text(WIDE - RIGHT + 8, middle + 4, f"{value:.1%}", bold=True)
    )


def _bar(scale: _Scale, row: int, part: Part, span: tuple[float, float]) -> str:
    start, end = (scale.at(value) for value in span)
    middle = _middle(row)
    colour = OTHER if part.probability == 0 else OURS if part.probability > 0 else ACCENT
    size = "0" if part.is_nothing else f"{part.probability * 100:+.1f}"
    mark = drawing.segment((start, middle - 6), (start, middle + 6), OTHER, 1)
    bar = drawing.segment((start, middle), (end, middle), colour, 12) if start != end else ""
    words = drawing.text(LEFT - 8, middle + 4, LABELS[part.cause], anchor="end")
    return words + mark + bar + drawing.text(WIDE - RIGHT + 8, middle + 4, size)


def _middle(row: int) -> float:
    return STRIP * row + STRIP / 2 + 4


def _part(each: Why) -> str:
    moved = each.moved
    events = "".join(
        f"<li>{escape(e['came'])}: {escape(e['kind'])} {escape(e['name'])},"
        f" {e['event_time']:%Y-%m-%d %H:%M}</li>"
        for e in each.events
    )
    return (
        f"<figure><h2>{escape(moved.entity)}</h2>{waterfall(moved)}"
        f"<figcaption><p>{escape(_caption(moved))}</p><ul>{events}</ul></figcaption></figure>"
    )


def _caption(moved: Moved) -> str:
    if not moved.rerouted_by:
        return f"Routed to {moved.after.route}, as before."
    causes = ", ".join(LABELS[cause] for cause in moved.rerouted_by)
    if moved.after.route == moved.before.route:
        return f"Routed to {moved.after.route}, as before; changed on the way by {causes}."
    return f"Routed to {moved.after.route}, before to {moved.before.route}; changed by {causes}."
