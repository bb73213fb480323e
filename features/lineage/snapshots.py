"""Snapshots of tables: what each says about its making, in the properties of its commit.

The log only grows, so what was made from a snapshot of it rests on every earlier one too.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from features import log
from features.lineage.graph import Key, Node, kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cluster.commits import Commit
    from cluster.tables import Tables

ROWS = "funnelcast.rows"  # <table>@<snapshot>
MADE_FROM = {"funnelcast.model": "model", "funnelcast.run": "forecast"}  # property -> kind
SAID = ("funnelcast.target", "funnelcast.as_of", "funnelcast.policy")


class Snapshots:
    """All snapshots that are kept, of all tables."""

    kinds = ("snapshot",)

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def find(self, id: str) -> list[Node]:
        """Return snapshots by `table@number`, by number, or the newest of a table by its name."""
        table, at, number = id.partition("@")
        if table in self._chains and not at:
            return [self._node(table, c) for c in self._chains[table][-1:]]
        wanted = number if at else id
        return [
            self._node(name, commit)
            for name, chain in self._chains.items()
            for commit in chain
            if str(commit.snapshot).startswith(wanted) and (not at or name == table)
        ]

    def nodes(self, keys: Sequence[Key]) -> list[Node]:
        """Return the snapshots that are kept."""
        return kept(self._one, keys)

    def _one(self, key: Key) -> Node | None:
        table, _, number = key.id.partition("@")
        for commit in self._chains.get(table, ()):
            if str(commit.snapshot) == number:
                return self._node(table, commit)
        return None

    def ids(self) -> Iterator[str]:
        """Yield every snapshot as `table@number`, and every table."""
        yield from self._chains
        yield from (f"{t}@{c.snapshot}" for t, chain in self._chains.items() for c in chain)

    def up(self, node: Node) -> Iterator[Key]:
        """Yield what a snapshot says it was made from."""
        commit = self._commit(node.key)
        if commit is None:
            return
        if log.MADE_FROM in commit.properties:
            yield Key("snapshot", f"{log.TABLE}@{commit.properties[log.MADE_FROM]}")
        if ROWS in commit.properties:
            yield Key("snapshot", commit.properties[ROWS])
        for name, kind in MADE_FROM.items():
            if name in commit.properties:
                yield Key(kind, commit.properties[name])

    def down(self, node: Node) -> Iterator[Key]:
        """Yield the snapshots made from a snapshot, a model or a forecast."""
        for name, chain in self._chains.items():
            for commit in chain:
                if self._rests_on(commit, node.key):
                    yield Key("snapshot", f"{name}@{commit.snapshot}")

    def holders(self, id: str) -> set[str]:
        """Return a snapshot of the log, `events@<number>`, and all that hold its rows too."""
        return {id, *(f"{log.TABLE}@{s}" for s in self._since(id.partition("@")[2]))}

    def _rests_on(self, commit: Commit, key: Key) -> bool:
        said = commit.properties
        if key.kind != "snapshot":
            return any(said.get(n) == key.id for n, kind in MADE_FROM.items() if kind == key.kind)
        if key.id.startswith(f"{log.TABLE}@") and log.MADE_FROM in said:
            return f"{log.TABLE}@{said[log.MADE_FROM]}" in self.holders(key.id)
        return said.get(ROWS) == key.id

    def _since(self, number: str) -> list[str]:
        numbers = [str(c.snapshot) for c in self._chains.get(log.TABLE, ())]
        return numbers[numbers.index(number) :] if number in numbers else []

    def _commit(self, key: Key) -> Commit | None:
        table, _, number = key.id.partition("@")
        found = [c for c in self._chains.get(table, ()) if str(c.snapshot) == number]
        return found[0] if found and key.kind == "snapshot" else None

    @cached_property
    def _chains(self) -> dict[str, list[Commit]]:
        return {name: self._tables.history(name) for name in self._tables.names()}

    @staticmethod
    def _node(table: str, commit: Commit) -> Node:
        added, total = commit.count("added-records"), commit.count("total-records")
        said = [f"{name.rpartition('.')[2]} {commit.properties[name]}" for name in SAID
                if name in commit.properties]  # fmt: skip
        what = f"{added or 0:,} rows written, {total or 0:,} in all"
        key = Key("snapshot", f"{table}@{commit.snapshot}")
        return Node(key=key, what=", ".join([what, *said]), at=commit.at)
