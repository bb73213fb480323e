"""Origins: which files under which mapping and contracts the log and quarantine were made from."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cluster.blobs import BlobMissing
from features import log
from features.contracts import Contract, register
from features.ingest import finish, origin, quarantine
from features.lineage.graph import Key, Node, kept, matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from cluster.commits import Commit
    from cluster.journal import Entry
    from cluster.workspace import Workspace
    from features.ingest.origin import Origin

TABLES = (log.TABLE, quarantine.TABLE)


class Origins:
    """Origins, the files, mappings and contracts behind them, and the ingestions they were in."""

    kinds = ("origin", "file", "mapping", "contract", "ingest")

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._of_commit: dict[tuple[str, int], tuple[str, ...]] = {}

    def find(self, id: str) -> list[Node]:
        """Return origins, files by their content, mappings, contracts and ingestions."""
        return matching(self._nodes.values(), id)

    def nodes(self, keys: Sequence[Key]) -> list[Node]:
        """Return origins and what is behind them."""
        return kept(self._one, keys)

    def _one(self, key: Key) -> Node | None:
        return self._nodes.get(key) or self._origin_node(key)

    def ids(self) -> Iterator[str]:
        """Yield the ids of all of them."""
        return (key.id for key in self._nodes)

    def up(self, node: Node) -> Iterator[Key]:
        """Yield what an origin, a row or a snapshot of log or quarantine goes back to."""
        kind, id = node.key
        if kind == "origin" and id in self._origins:
            found = self._origins[id]
            yield from _place(found)
            yield from (Key("contract", digest) for digest in found.contracts.values())
        elif kind == "row":
            yield from _place(self.origin(id.partition(":")[0]))
        elif kind == "ingest":
            yield from (Key("origin", name) for name in self._ingests[id].body["origins"])
        elif kind == "snapshot" and id.partition("@")[0] in TABLES:
            yield from (Key("origin", name) for name in self._behind(id))

    def down(self, node: Node) -> Iterator[Key]:
        """Yield the origins of a file, mapping or contract; the snapshots that an origin is in."""
        kind, id = node.key
        if kind == "ingest":
            names = self._ingests[id].body["origins"]
            yield from (key for name in names for key in self._landed(name))
        elif kind == "origin":
            yield from self._landed(id)
        elif kind in {"file", "mapping", "contract"}:
            for name, found in self._origins.items():
                if id in {found.content, found.mapping, *found.contracts.values()}:
                    yield Key("origin", name)

    def origin(self, name: str) -> Origin:
        """Return an origin by its whole id; BlobMissing for an event that names none."""
        return self._origins.get(name) or origin.read(self._workspace.blobs, name)

    def contract_of(self, name: str, kind: str | None) -> Iterator[Key]:
        """Yield the contract under which rows of a kind of event were taken in."""
        digest = self.origin(name).contracts.get(kind or "")
        if digest:
            yield Key("contract", digest)

    def chain(self, table: str) -> list[Commit]:
        """Return the commits of the log or of quarantine, oldest first."""
        return self._chains[table]

    @cached_property
    def _chains(self) -> dict[str, list[Commit]]:
        tables = self._workspace.tables
        return {t: tables.history(t) if tables.exists(t) else [] for t in TABLES}

    @cached_property
    def _ingests(self) -> dict[str, Entry]:
        return {e.body["ingest"]: e for e in self._workspace.journal.entries(finish.ENTRY)}

    @cached_property
    def _origins(self) -> dict[str, Origin]:
        told = (name for entry in self._ingests.values() for name in entry.body["origins"])
        said = (n for t in TABLES for c in self._chains[t] for n in self._named(t, c))
        found = {}
        for name in dict.fromkeys([*told, *said]):
            found[name] = origin.read(self._workspace.blobs, name)
        return found

    def _named(self, table: str, commit: Commit) -> tuple[str, ...]:
        """The origins of the rows of a commit: as it says, else as its rows say.

        The oldest that is kept stands for all that were given up before it.
        """
        is_first = commit == self._chains[table][0]
        if commit.operation != "append" and not is_first:
            return ()
        if origin.ORIGIN in commit.properties and not (is_first and commit.parent):
            return (commit.properties[origin.ORIGIN],)
        place = (table, commit.snapshot)
        if place not in self._of_commit:
            since = None if is_first else commit.parent
            self._of_commit[place] = self._in_rows(table, since, commit.snapshot)
        return self._of_commit[place]

    def _in_rows(self, table: str, since: int | None, until: int) -> tuple[str, ...]:
        tables = self._workspace.tables
        files = tables.added(table, since, until)
        column = tables.read_files(table, files, ["ingest"])["ingest"] if files else None
        names = column.unique().to_pylist() if column is not None else []
        return tuple(sorted(filter(None, names)))

    def _behind(self, id: str) -> Iterator[str]:
        table, _, snapshot = id.partition("@")
        if snapshot not in {str(c.snapshot) for c in self._chains[table]}:
            return
        for commit in self._chains[table]:
            yield from self._named(table, commit)
            if str(commit.snapshot) == snapshot:
                return

    def _landed(self, name: str) -> Iterator[Key]:
        for table in TABLES:
            for commit in self._chains[table]:
                if name in self._named(table, commit):
                    yield Key("snapshot", f"{table}@{commit.snapshot}")

    @cached_property
    def _nodes(self) -> dict[Key, Node]:
        nodes = [*map(_ingest_node, self._ingests.values())]
        for name, found in self._origins.items():
            nodes.append(_origin_node(name, found, self._read_at.get(name)))
            nodes += _place_nodes(found)
        digests = {d for o in self._origins.values() for d in o.contracts.values()}
        kinds = {k for o in self._origins.values() for k in o.contracts}
        for kind in sorted(kinds):
            moves = self._workspace.refs.history(f"{register.PREFIX}{kind}")
            digests |= {ref.target for ref in moves}
        nodes += filter(None, (self._contract(digest) for digest in sorted(digests)))
        return {node.key: node for node in nodes}

    @cached_property
    def _read_at(self) -> dict[str, datetime]:
        return {n: e.at for e in self._ingests.values() for n in e.body["origins"]}

    def _contract(self, digest: str) -> Node | None:
        try:
            found = Contract.model_validate_json(self._workspace.blobs.get(digest))
        except (BlobMissing, ValidationError):
            return None
        what = f"contract of '{found.event_kind}', version {found.version}"
        return Node(key=Key("contract", digest), what=what)

    def _origin_node(self, key: Key) -> Node | None:
        """An origin that no ingestion on record names: of one that was cut short."""
        try:
            if key.kind == "contract":
                return self._contract(key.id)
            if key.kind == "origin":
                return _origin_node(key.id, self.origin(key.id), None)
        except BlobMissing:
            return None
        return None


def _place(found: Origin) -> Iterable[Key]:
    return [node.key for node in _place_nodes(found)]


def _place_nodes(found: Origin) -> list[Node]:
    nodes = []
    if found.content:
        what = f"'{found.file}' of source '{found.source}', by the hash of its bytes"
        nodes.append(Node(key=Key("file", found.content), what=what))
    if found.mapping:
        what = f"mapping of source '{found.source}'"
        nodes.append(Node(key=Key("mapping", found.mapping), what=what))
    return nodes


def _origin_node(name: str, found: Origin, at: datetime | None) -> Node:
    what = f"'{found.file}' of source '{found.source}' under {len(found.contracts)} contracts"
    return Node(key=Key("origin", name), what=what, at=at)


def _ingest_node(entry: Entry) -> Node:
    counts = entry.body["counts"]
    what = (
        f"source '{entry.body['source']}': {counts['read']:,} rows read, {counts['added']:,} new, "
        f"{counts['quarantined']:,} to quarantine"
    )
    return Node(key=Key("ingest", entry.body["ingest"]), what=what, at=entry.at)
