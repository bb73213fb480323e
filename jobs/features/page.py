"""A page of its own about one view: each feature with a picture of its values, the share of nulls,
what it means and who uses it.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from jobs.features import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDE, HIGH = 260, 72  # of a picture, in pixels
ROW = 16  # height of a bar of texts
TEXTS = 5  # that are shown
LETTERS = 16  # of a text that is shown
GAP = 1.5  # between bars

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>View {title}</title><style>
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 24px; color: #1c2430; background: #fff; }}
h1 {{ font-size: 19px; margin: 0 0 4px; }}  p {{ margin: 0 0 4px; color: #596275; }}
.all {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(292px, 1fr)); gap: 14px;
 margin-top: 18px; }}
.one {{ border: 1px solid #d9dee7; border-radius: 8px; padding: 12px 15px; overflow: hidden; }}
.one.out {{ border-color: #d1622b; }}
h2 {{ font: 600 14px ui-monospace, monospace; margin: 0; overflow-wrap: anywhere; }}
.label {{ color: #1c2430; }}  .means, .facts, .used {{ font-size: 12px; }}
.finding {{ float: right; font-size: 11px; color: #fff; background: #b34a17; border-radius: 9px;
 padding: 1px 8px; }}
svg {{ display: block; margin: 6px 0; }}
svg text {{ font: 11px system-ui, sans-serif; fill: #596275; }}
.bar {{ fill: #1f5fa8; }}  .rest {{ fill: #8a8f98; }}  .empty {{ fill: #eceff4; }}
.null {{ fill: #d1622b; }}
</style></head><body>
<h1>{title}</h1>
{head}
<div class="all">
{features}
</div>
</body></html>
"""


def html(found: dict[str, Any]) -> str:
    """Return the page of a described view."""
    return _PAGE.format(
        title=escape(found["name"]),
        head="\n".join(f"<p>{escape(line)}</p>" for line in text.head(found)),
        features="\n".join(map(_feature, found["features"])),
    )


def _feature(feature: dict[str, Any]) -> str:
    health = feature["health"]
    finding = health["finding"] if health else None
    badge = f'<span class="finding">{escape(finding)}</span>' if finding else ""
    facts = f"{feature['type']}, {text.window(feature)}, {feature['privacy']}"
    picture = _picture(health) if health else "<p>not measured</p>"
    kind = "one out" if finding else "one"
    lines = [
        f'<section class="{kind}">{badge}<h2>{escape(feature["name"])}</h2>',
        f'<p class="label">{escape(feature["label"])}</p>',
        f'<p class="means">{escape(feature["means"])}</p>',
        picture,
        f'<p class="facts">{escape(facts)}</p>',
        f'<p class="used">{escape(text.used(feature))}</p></section>',
    ]
    return "\n".join(lines)


def _picture(health: dict[str, Any]) -> str:
    sketch = health["sketch"]
    drawn = _texts(sketch, health["rows"]) if "values" in sketch else _histogram(health)
    said = f'<p class="facts">{escape(text.state(health))}</p>'
    return f"{drawn}{_nulls(health['null_share'])}{said}"


def _histogram(health: Mapping[str, Any]) -> str:
    sketch = health["sketch"]
    bars: Sequence[int] = sketch["bars"]
    if not bars:
        return ""
    step, top = WIDE / len(bars), max(bars)
    drawn = []
    for place, count in enumerate(bars):
        high = max(HIGH * count / top, 0.5 if count else 0)
        at = f'x="{place * step:.2f}" y="{HIGH - high:.2f}"'
        size = f'width="{step - GAP:.2f}" height="{high:.2f}"'
        drawn.append(f'<rect class="bar" {at} {size}><title>{count:,} rows</title></rect>')
    first, last = (f"{sketch[end]:,.6g}" for end in ("low", "high"))
    less = " or less" if health["min"] < sketch["low"] else ""
    more = " or more" if health["max"] > sketch["high"] else ""
    ends = (
        f'<text x="0" y="{HIGH + 13}">{first}{less}</text>'
        f'<text x="{WIDE}" y="{HIGH + 13}" text-anchor="end">{last}{more}</text>'
    )
    label = f"histogram from {first} to {last}"
    return _svg(HIGH + 18, label, "".join(drawn) + ends)


def _texts(sketch: Mapping[str, Any], rows: int) -> str:
    values, counts = sketch["values"][:TEXTS], sketch["counts"]
    other = sum(counts[len(values) : -1])
    shown = [(value, count, "bar") for value, count in zip(values, counts, strict=False)]
    shown += [("all others", other, "rest")] if other else []
    if not shown:
        return ""
    drawn = []
    for place, (value, count, kind) in enumerate(shown):
        y, wide = place * ROW, (WIDE - 150) * count / rows
        drawn.append(
            f'<text x="0" y="{y + 11}">{escape(_cut(value))}</text>'
            f'<rect class="{kind}" x="108" y="{y + 2}" width="{wide:.2f}" height="{ROW - 4}">'
            f"<title>{escape(value)}: {count:,} rows</title></rect>"
            f'<text x="{112 + wide:.2f}" y="{y + 11}">{count / rows:.0%}</text>'
        )
    return _svg(len(shown) * ROW, "most frequent texts", "".join(drawn))


def _nulls(share: float | None) -> str:
    if share is None:
        return ""
    bars = (
        f'<rect class="empty" x="0" y="0" width="{WIDE}" height="5" rx="2"/>'
        f'<rect class="null" x="0" y="0" width="{WIDE * share:.2f}" height="5" rx="2"/>'
    )
    return _svg(5, f"{share:.1%} null", bars)


def _svg(high: int, label: str, drawn: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{high}"'
        f' viewBox="0 0 {WIDE} {high}" role="img" aria-label="{escape(label)}">{drawn}</svg>'
    )


def _cut(value: str) -> str:
    return value if len(value) <= LETTERS else f"{value[: LETTERS - 1]}…"
