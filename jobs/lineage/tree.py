"""Trees as plain values, and on a terminal: one line per thing, with kind, id, what and when."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from features.lineage.graph import Branch, Node

SHORT = 12  # characters of a hash on the terminal
WIDTH = 400  # columns, where the output is not a terminal: one line per thing
UP, DOWN, VERSIONS = "made from", "used for", "other versions of its row, and marks"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A thing, what it was made from and what was made from it."""

    root: Node
    up: Branch | None
    down: Branch | None
    versions: tuple[Node, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values: `root`, and where asked for `up`, `down` and `versions`."""
        trees = {"up": self.up, "down": self.down}
        return {
            "root": plain(self.root),
            **{name: branch_of(found) for name, found in trees.items() if found is not None},
            "versions": [plain(node) for node in self.versions],
        }


def plain(node: Node) -> dict[str, Any]:
    """Return a node as JSON values, its time in ISO 8601."""
    at = node.at.isoformat() if node.at else None
    return {"kind": node.key.kind, "id": node.key.id, "what": node.what, "at": at}


def branch_of(branch: Branch) -> dict[str, Any]:
    """Return a branch as JSON values: its node with `branches`, `again` and `more`."""
    return {
        **plain(branch.node),
        "branches": [branch_of(inner) for inner in branch.branches],
        "again": [plain(node) for node in branch.again],
        "more": branch.more,
    }


def short(id: str) -> str:
    """Return an id as it is shown: a hash by its beginning, a row by its number.

    >>> short("ab" * 32), short("events@7"), short("ab" * 32 + ":17")
    ('abababababab', 'events@7', 'abababababab:17')
    """
    head, colon, rest = id.partition(":")
    return f"{head[:SHORT] if len(head) >= 32 and '@' not in head else head}{colon}{rest}"


def words(node: dict[str, Any]) -> str:
    """Return a node as one line."""
    at = f"  {node['at'][:19].replace('T', ' ')}" if node["at"] else ""
    return f"{node['kind']} {short(node['id'])}  {node['what']}{at}"


def show(found: dict[str, Any]) -> None:
    """Print the trees of `Found.as_dict`."""
    console = Console(highlight=False, soft_wrap=True, width=_width())
    console.print(_line(found["root"], bold=True))
    for name, title in (("up", UP), ("down", DOWN)):
        if name in found:
            tree = Tree(Text(title, style="bold"), guide_style="dim")
            _grow(tree, found[name])
            console.print(tree if tree.children else Text(f"{title}: nothing on record"))
    if found["versions"]:
        tree = Tree(Text(VERSIONS, style="bold"), guide_style="dim")
        for node in found["versions"]:
            tree.add(_line(node))
        console.print(tree)


def say(text: str) -> None:
    """Print one line."""
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def tails(branch: dict[str, Any]) -> list[str]:
    """Return lines for what follows a node and is not a branch of its own."""
    again = branch["again"]
    shown = ", ".join(f"{node['kind']} {short(node['id'])}" for node in again[:3])
    rest = f" and {len(again) - 3} others" if len(again) > 3 else ""
    return [
        *([f"shown elsewhere: {shown}{rest}"] if again else []),
        *([f"{branch['more']:,} more"] if branch["more"] else []),
    ]


def _grow(tree: Tree, branch: dict[str, Any]) -> None:
    for inner in branch["branches"]:
        _grow(tree.add(_line(inner)), inner)
    for text in tails(branch):
        tree.add(Text(text, style="dim"))


def _line(node: dict[str, Any], bold: bool = False) -> Text:
    text = Text(words(node), style="bold" if bold else "")
    text.stylize("cyan", 0, len(node["kind"]))
    return text


def _width() -> int | None:
    return None if sys.stdout.isatty() else WIDTH
