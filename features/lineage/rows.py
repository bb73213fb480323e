"""Events and quarantined rows: each goes back to a row of a file and to its contract.

What is said of them is kind, name, place and times; no cell of a row is shown, sealed or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from features import log
from features.ingest import quarantine, repairs
from features.lineage import scan
from features.lineage.graph import Key, Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cluster.tables import Tables
    from cluster.workspace import Workspace
    from features.lineage.origins import Origins

EVENT = ("event_id", "ingest", "source", "source_row", "kind", "name", "event_time", "known_at",
         "text")  # fmt: skip
REFUSED = ("quarantine_id", "ingest", "source", "source_row", "kind", "refused_at")
ROW_DIGITS = 16  # of an event's id, that its row's other versions share


class Found:
    """Rows of a table by the first of some columns, an id; what was found is remembered."""

    def __init__(self, tables: Tables, table: str, columns: Sequence[str]) -> None:
        self._tables = tables
        self._table = table
        self._columns = columns
        self._seen: dict[str, dict[str, Any]] = {}

    def beginning(self, start: str) -> list[dict[str, Any]]:
        """Return the rows whose id begins so."""
        place = self._tables, self._table, self._columns[0]
        return self._learnt(scan.by_id(*place, start, self._columns))

    def of(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of whole ids, as far as they are there."""
        new = [id for id in ids if id not in self._seen]
        if new:
            place = self._tables, self._table, self._columns[0]
            self._learnt(scan.by_ids(*place, new, self._columns))
        return [self._seen[id] for id in ids if id in self._seen]

    def _learnt(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self._seen |= {row[self._columns[0]].hex(): row for row in rows}
        return rows


class Events:
    """Events of the log; versions of a row and their marks know one another."""

    kinds = ("event", "row")

    def __init__(self, workspace: Workspace, origins: Origins) -> None:
        self._workspace = workspace
        self._origins = origins
        self._found = Found(workspace.tables, log.TABLE, EVENT)

    def find(self, id: str) -> list[Node]:
        """Return the events whose id begins so."""
        if not scan.is_id(id):
            return []
        return [self._event_node(row) for row in self._found.beginning(id)]

    def nodes(self, keys: Sequence[Key]) -> Iterator[Node]:
        """Yield events, all found in one go, and rows of files."""
        yield from (self._row_node(key) for key in keys if key.kind == "row")
        ids = [key.id for key in keys if key.kind == "event"]
        yield from map(self._event_node, self._found.of(ids))

    def ids(self) -> Iterator[str]:
        """List none: there are too many."""
        return iter(())

    def up(self, node: Node) -> Iterator[Key]:
        """Yield row and contract of an event; of a mark also the version that it stands for."""
        if node.key.kind != "event":
            return
        (row,) = self._found.of([node.key.id])
        if row["ingest"]:
            yield Key("row", f"{row['ingest']}:{row['source_row']}")
            yield from self._origins.contract_of(row["ingest"], row["kind"])
        if row["kind"] == log.RETRACTION:
            yield Key("event", row["text"])

    def down(self, node: Node) -> Iterator[Key]:
        """Yield the snapshot of the log with which an event came; the events of a row."""
        if node.key.kind == "event":
            (row,) = self._found.of([node.key.id])
            chain = self._origins.chain(log.TABLE)
            commit = scan.came_in(
                self._workspace.tables, log.TABLE, chain, node.key.id, row["path"]
            )
            yield Key("snapshot", f"{log.TABLE}@{commit.snapshot}")

    def versions(self, node: Node) -> list[Node]:
        """Return the other versions of an event's row and the marks of both, oldest first."""
        if node.key.kind != "event":
            return []
        found = self._found.beginning(node.key.id[:ROW_DIGITS])
        rows = sorted(found, key=lambda row: (row["known_at"], row["event_id"]))
        return [self._event_node(r) for r in rows if r["event_id"].hex() != node.key.id]

    def _event_node(self, row: dict[str, Any]) -> Node:
        if row["kind"] == log.RETRACTION:
            what = f"mark: from then on replaced by {row['text'][:12]}, which lives elsewhere"
        else:
            what = f"{row['kind']} {row['name']} of source '{row['source']}', row"
            what += f" {row['source_row']}, happened {row['event_time']:%Y-%m-%d %H:%M}"
        return Node(key=Key("event", row["event_id"].hex()), what=what, at=row["known_at"])

    def _row_node(self, key: Key) -> Node:
        name, _, number = key.id.partition(":")
        found = self._origins.origin(name)
        what = f"row {number} of '{found.file}' of source '{found.source}'"
        return Node(key=key, what=what)


class Refused:
    """Rows in quarantine, and what became of them."""

    kinds = ("quarantined row",)

    def __init__(self, workspace: Workspace, origins: Origins) -> None:
        self._workspace = workspace
        self._origins = origins
        self._found = Found(workspace.tables, quarantine.TABLE, REFUSED)

    def find(self, id: str) -> list[Node]:
        """Return the quarantined rows whose id begins so."""
        if not scan.is_id(id):
            return []
        return [_refused_node(row) for row in self._found.beginning(id)]

    def nodes(self, keys: Sequence[Key]) -> Iterator[Node]:
        """Yield quarantined rows, all found in one go."""
        return map(_refused_node, self._found.of([key.id for key in keys]))

    def ids(self) -> Iterator[str]:
        """List none: there may be many."""
        return iter(())

    def up(self, node: Node) -> Iterator[Key]:
        """Yield the row of the file, and the contract that it broke."""
        if node.key.kind == "quarantined row":
            (row,) = self._found.of([node.key.id])
            yield Key("row", f"{row['ingest']}:{row['source_row']}")
            yield from self._origins.contract_of(row["ingest"], row["kind"])

    def down(self, node: Node) -> Iterator[Key]:
        """Yield the snapshot of quarantine with which it came, and the origin that repaired it."""
        if node.key.kind == "quarantined row":
            tables, chain = self._workspace.tables, self._origins.chain(quarantine.TABLE)
            (row,) = self._found.of([node.key.id])
            commit = scan.came_in(tables, quarantine.TABLE, chain, node.key.id, row["path"])
            yield Key("snapshot", f"{quarantine.TABLE}@{commit.snapshot}")
            yield from self._repairs(row["quarantine_id"])

    def _repairs(self, id: bytes) -> Iterator[Key]:
        tables = self._workspace.tables
        if tables.exists(repairs.TABLE):
            done = tables.read(repairs.TABLE, columns=["quarantine_id", "ingest"])
            mine = done.filter(pc.equal(done["quarantine_id"], pa.scalar(id, pa.binary(16))))
            yield from (Key("origin", name) for name in mine["ingest"].unique().to_pylist())


def _refused_node(row: dict[str, Any]) -> Node:
    what = f"row {row['source_row']} of source '{row['source']}' broke its contract"
    key = Key("quarantined row", row["quarantine_id"].hex())
    return Node(key=key, what=what, at=row["refused_at"])
