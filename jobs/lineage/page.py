"""A page of its own with both trees as one picture: what it was made from on the left, the thing in
the middle, what was made from it on the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from jobs.lineage.tree import DOWN, UP, VERSIONS, plain, short, tails, words

if TYPE_CHECKING:
    from jobs.lineage.tree import Found

WIDE, HIGH = 290, 52  # of a box, in pixels
ACROSS, BELOW = 70, 14  # between boxes
MARGIN = 24
LETTERS = 36  # of a line in a box
HUES = {"event": 210, "row": 30, "file": 30, "contract": 280, "mapping": 280, "origin": 50}
HUES |= {"snapshot": 190, "model": 140, "decision": 340, "forecast": 100, "report": 0, "run": 60}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Lineage of {title}</title><style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 24px; color: #1c2430; background: #fff; }}
h1 {{ font-size: 19px; margin: 0 0 4px; }}  p {{ margin: 0 0 14px; color: #596275; }}
.picture {{ overflow: auto; border: 1px solid #d9dee7; border-radius: 8px; }}
text {{ font: 12px system-ui, sans-serif; fill: #1c2430; }}
.kind {{ font-weight: 600; }}  .what {{ fill: #596275; font-size: 11px; }}
.link {{ fill: none; stroke: #a9b3c4; stroke-width: 1.5; }}
li {{ margin: 2px 0; }}
</style></head><body>
<h1>{title}</h1><p>{what}. Left: {up}. Right: {down}.</p>
<div class="picture"><svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"
 viewBox="0 0 {width} {height}" role="img" aria-label="tree of lineage">{drawn}</svg></div>
{versions}
<script>
document.getElementById("asked").scrollIntoView({{block: "center", inline: "center"}})
</script>
</body></html>
"""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box of the picture: column counted from the thing itself, left negative; row from 0."""

    column: int
    row: float
    node: dict[str, Any] | None  # None: a line about what is not shown
    note: str = ""
    parent: int = -1  # position of the box it hangs on


def html(found: Found) -> str:
    """Return the page."""
    told = found.as_dict()
    boxes = layout(told)
    left = min(box.column for box in boxes)
    columns = max(box.column for box in boxes) - left + 1
    rows = max(box.row for box in boxes) + 1
    width = 2 * MARGIN + columns * WIDE + (columns - 1) * ACROSS
    height = round(2 * MARGIN + rows * HIGH + (rows - 1) * BELOW)
    title = f"{found.root.key.kind} {short(found.root.key.id)}"
    return _PAGE.format(
        title=escape(title),
        what=escape(found.root.what),
        up=UP,
        down=DOWN,
        width=width,
        height=height,
        drawn="".join(_drawn(boxes, left)),
        versions=_versions(found),
    )


def layout(told: dict[str, Any]) -> list[Box]:
    """Return the boxes of `Found.as_dict`, the thing itself first; a parent stands beside the
    middle of its branches, and no two boxes share a place.
    """
    boxes = [Box(column=0, row=0.0, node=told["root"])]
    sides = [(told[name], sign) for name, sign in (("up", -1), ("down", 1)) if name in told]
    middles = [_placed(boxes, branch, sign, at=0, start=0.0)[0] for branch, sign in sides]
    middle = max(middles, default=0.0)
    for sign, own in zip((s for _, s in sides), middles, strict=True):
        _shift(boxes, sign, middle - own)
    boxes[0] = Box(column=0, row=middle, node=told["root"])
    return boxes


def _placed(
    boxes: list[Box], branch: dict[str, Any], sign: int, *, at: int, start: float
) -> tuple[float, float]:
    """Place what follows the box at position `at`; returns its middle row and the next free one."""
    column, free, middles = boxes[at].column + sign, start, []
    for inner in branch["branches"]:
        mine = len(boxes)
        boxes.append(Box(column=column, row=0.0, node=inner, parent=at))
        middle, free = _placed(boxes, inner, sign, at=mine, start=free)
        boxes[mine] = Box(column=column, row=middle, node=inner, parent=at)
        middles.append(middle)
    for note in tails(branch):
        boxes.append(Box(column=column, row=free, node=None, note=note, parent=at))
        middles.append(free)
        free += 1
    if not middles:
        return start, start + 1
    return (middles[0] + middles[-1]) / 2, free


def _shift(boxes: list[Box], sign: int, by: float) -> None:
    for place, box in enumerate(boxes):
        if box.column * sign > 0:
            boxes[place] = Box(
                column=box.column, row=box.row + by, node=box.node, note=box.note, parent=box.parent
            )


def _drawn(boxes: list[Box], left: int) -> list[str]:
    def corner(box: Box) -> tuple[float, float]:
        x = MARGIN + (box.column - left) * (WIDE + ACROSS)
        return x, MARGIN + box.row * (HIGH + BELOW)

    links = [_link(corner(boxes[b.parent]), corner(b)) for b in boxes if b.parent >= 0]
    return [*links, *(_box(box, *corner(box)) for box in boxes)]


def _link(parent: tuple[float, float], child: tuple[float, float]) -> str:
    toward = 1 if child[0] > parent[0] else -1
    x1, x2 = (parent[0] + WIDE, child[0]) if toward == 1 else (parent[0], child[0] + WIDE)
    y1, y2, half = parent[1] + HIGH / 2, child[1] + HIGH / 2, ACROSS / 2 * toward
    path = f"M{x1:g} {y1:g}C{x1 + half:g} {y1:g} {x2 - half:g} {y2:g} {x2:g} {y2:g}"
    return f'<path class="link" d="{path}"/>'


def _box(box: Box, x: float, y: float) -> str:
    if box.node is None:
        place = f'x="{x + 8:g}" y="{y + HIGH / 2 + 4:g}"'
        return f'<text class="what" {place}>{escape(_cut(box.note))}</text>'
    node, hue = box.node, HUES.get(box.node["kind"], 220)
    asked, stroke = (' id="asked"', 2.5) if box.parent < 0 else ("", 1)
    at = (node["at"] or "")[:16].replace("T", " ")
    lines = [
        f'<text class="kind" x="{x + 8:g}" y="{y + 16:g}">'
        f"{escape(_cut(node['kind'] + ' ' + _brief(node['id'])))}</text>",
        f'<text class="what" x="{x + 8:g}" y="{y + 31:g}">{escape(_cut(node["what"]))}</text>',
        f'<text class="what" x="{x + 8:g}" y="{y + 45:g}">{escape(at)}</text>',
    ]
    return (
        f"<g{asked}><title>{escape(words(node))}\n{escape(node['id'])}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="7" '
        f'fill="hsl({hue} 75% 96%)" stroke="hsl({hue} 45% 55%)" stroke-width="{stroke}"/>'
        + "".join(lines)
        + "</g>"
    )


def _brief(id: str) -> str:
    table, at, number = id.partition("@")
    return f"{table}@{number[:6]}…" if at else short(id)


def _cut(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def _versions(found: Found) -> str:
    if not found.versions:
        return ""
    items = "".join(f"<li>{escape(words(plain(node)))}</li>" for node in found.versions)
    return f"<h1>{VERSIONS}</h1><ul>{items}</ul>"
