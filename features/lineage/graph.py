"""The graph of what was made from what, and walks through it. Pure.

Nothing keeps the graph: families answer for the kinds of things that they know, each from the
records that are there anyway. A family may lead on from a node of another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from cluster.errors import WrongUse, nearest

SHORTEST = 6  # characters of an id that may stand for all of it
SHOWN = 8  # candidates in a message


class Key(NamedTuple):
    """What names a thing: its kind and its whole id."""

    kind: str
    id: str


@dataclass(frozen=True, kw_only=True)
class Node:
    """A thing, in one line."""

    key: Key
    what: str
    at: datetime | None = None  # when it became, UTC


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A node and what follows from it in one direction."""

    node: Node
    branches: tuple[Branch, ...] = ()
    again: tuple[Node, ...] = ()  # follow too, and are shown elsewhere
    more: int = 0  # follow too, and are not shown


class Family(Protocol):
    """What is known of some kinds of things."""

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds that it answers for."""

    def find(self, id: str) -> list[Node]:
        """Return the things whose id begins so; an exact match alone, where there is one."""

    def nodes(self, keys: Sequence[Key]) -> Iterable[Node]:
        """Yield the things of these keys, all of our kinds, that are kept."""

    def up(self, node: Node) -> Iterable[Key]:
        """Yield what a thing of any kind was made from, as far as we know."""

    def down(self, node: Node) -> Iterable[Key]:
        """Yield what was made from a thing of any kind, as far as we know."""

    def ids(self) -> Iterable[str]:
        """Yield ids that are cheap to list, for "did you mean"."""


class Lineage:
    """All families together."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    @property
    def kinds(self) -> list[str]:
        """The kinds of things that can be asked for."""
        return sorted({kind for family in self._families for kind in family.kinds})

    def find(self, id: str) -> Node:
        """Return the one thing of this id or beginning of it; WrongUse for none or several."""
        if len(id) < SHORTEST:
            raise WrongUse(f"an id must have {SHORTEST} characters or more, got '{id}'")
        found = {}
        for family in self._families:
            for node in family.find(id):
                found[node.key] = node
        exact = [node for node in found.values() if node.key.id == id]
        candidates = exact or list(found.values())
        if len(candidates) == 1:
            return candidates[0]
        raise WrongUse(_several(id, candidates) if candidates else self._none(id))

    def up(self, node: Node) -> list[Node]:
        """Return what a thing was made from."""
        return self._nodes(key for family in self._families for key in family.up(node))

    def down(self, node: Node) -> list[Node]:
        """Return what was made from a thing, newest first."""
        nodes = self._nodes(key for family in self._families for key in family.down(node))
        return sorted(nodes, key=lambda n: n.at.timestamp() if n.at else 0.0, reverse=True)

    def _nodes(self, keys: Iterable[Key]) -> list[Node]:
        asked, kept = list(dict.fromkeys(keys)), dict[Key, Node]()
        for family in self._families:
            mine = [key for key in asked if key.kind in family.kinds]
            kept |= {node.key: node for node in (family.nodes(mine) if mine else ())}
        return [kept.get(key) or Node(key=key, what="not kept any more") for key in asked]

    def _none(self, id: str) -> str:
        listed = [known for family in self._families for known in family.ids()]
        hint = nearest(id, listed) if listed else "nothing is there yet"
        near = hint if hint.startswith("did") else f"none of {len(listed):,} listed ids is near"
        kinds = ", ".join(self.kinds)
        return f"an id must be that of one of: {kinds}; got '{id[:80]}': {near}"


def _several(id: str, candidates: Sequence[Node]) -> str:
    shown = "; ".join(f"{node.key.kind} {node.key.id}" for node in candidates[:SHOWN])
    return f"an id must name one thing, got '{id}' for {len(candidates)}: {shown}: write more of it"


def walk(
    root: Node, step: Callable[[Node], list[Node]], *, depth: int = 20, width: int = 20
) -> Branch:
    """Return the tree that follows from `root`; each thing is shown once, where it is nearest.

    `depth` steps away at most, and at most `width` things after any one.
    """
    links: dict[Key, tuple[list[Node], list[Node], int]] = {}
    seen, level = {root.key}, [root]
    for _ in range(depth):
        following: list[Node] = []
        for node in level:
            found = step(node)
            new = [n for n in found if n.key not in seen]
            again = [n for n in found if n.key in seen and n.key != root.key]
            links[node.key] = (new[:width], again[:width], max(0, len(new) - width))
            seen.update(n.key for n in new[:width])
            following += new[:width]
        level = following
    return _branch(root, links)


def _branch(node: Node, links: dict[Key, tuple[list[Node], list[Node], int]]) -> Branch:
    new, again, more = links.get(node.key, ([], [], 0))
    branches = tuple(_branch(n, links) for n in new)
    return Branch(node=node, branches=branches, again=tuple(again), more=more)


def kept(one: Callable[[Key], Node | None], keys: Iterable[Key]) -> list[Node]:
    """Return the things of keys that are there, looked for one by one."""
    return [node for node in map(one, keys) if node is not None]


def matching(nodes: Iterable[Node], id: str) -> list[Node]:
    """Return the nodes whose id begins so."""
    return [node for node in nodes if node.key.id.startswith(id)]
