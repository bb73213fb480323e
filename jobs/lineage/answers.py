"""Models, forecasts and decisions: each names what it was made from in its own record."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from cluster.blobs import BlobMissing
from features import log
from features.lineage import scan
from features.lineage.graph import Key, Node, kept, matching
from serving import bundle, registry
from serving.answer.record import KIND
from serving.forecast import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cluster.journal import Entry, Journal
    from cluster.tables import Tables
    from cluster.workspace import Workspace
    from features.lineage.snapshots import Snapshots

DECISIONS = 10_000  # looked through, oldest first, for those of a model or about an event
ENTITIES = ("lead", "opportunity")
FORECASTS = "funnelcast.run"  # property of the forecast table's commits


class Models:
    """Published bundles, by their id."""

    kinds = ("model",)

    def __init__(self, workspace: Workspace, snapshots: Snapshots) -> None:
        self._workspace = workspace
        self._snapshots = snapshots

    def find(self, id: str) -> list[Node]:
        """Return models by id, or the one that an alias names."""
        ref = self._workspace.refs.get(id)
        if ref is not None and ref.target in self._published:
            return [self._node(ref.target)]
        return matching(map(self._node, self._published), id)

    def nodes(self, keys: Sequence[Key]) -> list[Node]:
        """Return models that were published."""
        return kept(self._one, keys)

    def _one(self, key: Key) -> Node | None:
        return self._node(key.id) if key.id in self._published else None

    def ids(self) -> Iterator[str]:
        """Yield every model."""
        return iter(self._published)

    def up(self, node: Node) -> Iterator[Key]:
        """Yield the training set of a model."""
        if node.key.kind == "model" and node.key.id in self._trained_on:
            yield Key("snapshot", self._trained_on[node.key.id])

    def down(self, node: Node) -> Iterator[Key]:
        """Yield the models of a training set."""
        if node.key.kind == "snapshot":
            for id, table in self._trained_on.items():
                if table == node.key.id:
                    yield Key("model", id)

    @cached_property
    def _published(self) -> dict[str, Entry]:
        entries = self._workspace.journal.entries(registry.KIND)
        return {entry.body["model"]: entry for entry in entries}

    @cached_property
    def _trained_on(self) -> dict[str, str]:
        found = {}
        for id in self._published:
            try:
                made = bundle.read(self._workspace.blobs.get(id)).provenance
            except BlobMissing:
                continue
            found[id] = f"{made.training_table}@{made.training_snapshot}"
        return found

    def _node(self, id: str) -> Node:
        entry = self._published[id]
        live = self._workspace.refs.get(entry.body["ref"])
        now = "live" if live is not None and live.target == id else "not live any more"
        what = f"'{entry.body['ref']}', {now}"
        return Node(key=Key("model", id), what=what, at=entry.at)


class Forecasts:
    """What simulations left behind, by the name of the blob with every draw."""

    kinds = ("forecast",)

    def __init__(self, workspace: Workspace, snapshots: Snapshots) -> None:
        self._workspace = workspace
        self._snapshots = snapshots

    def find(self, id: str) -> list[Node]:
        """Return forecasts by blob, or the one that a ref names."""
        ref = self._workspace.refs.get(id)
        if ref is not None and ref.target in self._facts:
            id = ref.target
        return matching(map(self._node, self._facts), id)

    def nodes(self, keys: Sequence[Key]) -> list[Node]:
        """Return forecasts that are kept."""
        return kept(self._one, keys)

    def _one(self, key: Key) -> Node | None:
        return self._node(key.id) if key.id in self._facts else None

    def ids(self) -> Iterator[str]:
        """Yield every forecast."""
        return iter(self._facts)

    def up(self, node: Node) -> Iterator[Key]:
        """Yield the snapshot of the log that a forecast was learnt from."""
        if node.key.kind == "forecast" and node.key.id in self._facts:
            yield Key("snapshot", f"{log.TABLE}@{self._facts[node.key.id]['log']}")

    def down(self, node: Node) -> Iterator[Key]:
        """Yield the forecasts that rest on a snapshot of the log."""
        if node.key.kind == "snapshot" and node.key.id.startswith(f"{log.TABLE}@"):
            holders = self._snapshots.holders(node.key.id)
            for id, facts in self._facts.items():
                if f"{log.TABLE}@{facts['log']}" in holders:
                    yield Key("forecast", id)

    @cached_property
    def _facts(self) -> dict[str, dict[str, Any]]:
        tables = self._workspace.tables
        said = tables.summaries(record.TABLE) if tables.exists(record.TABLE) else []
        names = dict.fromkeys(s[FORECASTS] for s in said if FORECASTS in s)
        kept = [name for name in names if self._workspace.blobs.has(name)]
        return {name: record.read(self._workspace.blobs.get(name))[1] for name in kept}

    def _node(self, id: str) -> Node:
        facts = self._facts[id]
        scenario = facts["scenario"]["name"]
        what = f"scenario '{scenario}' as of {facts['as_of']}, evidence {facts['grade']}"
        return Node(key=Key("forecast", id), what=what)


class Decisions:
    """Decisions of the service, by the id that it answered with."""

    kinds = ("decision",)

    def __init__(self, journal: Journal, tables: Tables) -> None:
        self._journal = journal
        self._tables = tables

    def find(self, id: str) -> list[Node]:
        """Return decisions by their id; by its beginning among the first of them."""
        exact = self._one(Key("decision", id))
        return [exact] if exact else matching(map(_decision_node, self._first), id)

    def nodes(self, keys: Sequence[Key]) -> list[Node]:
        """Return decisions on record."""
        return kept(self._one, keys)

    def _one(self, key: Key) -> Node | None:
        entry = self._entry(key)
        return _decision_node(entry) if entry else None

    def ids(self) -> Iterator[str]:
        """Yield the first of them."""
        return (entry.id for entry in self._first)

    def up(self, node: Node) -> Iterator[Key]:
        """Yield the model of a decision and the events of its entity and account known by then."""
        entry = self._entry(node.key) if node.key.kind == "decision" else None
        if entry is not None:
            yield Key("model", entry.body["basis"]["model"])
            yield from self._events(entry)

    def down(self, node: Node) -> Iterator[Key]:
        """Yield the decisions that a model made, those about whom an event tells newest first."""
        if node.key.kind == "model":
            made = (e.id for e in self._first if e.body["basis"]["model"] == node.key.id)
            yield from (Key("decision", id) for id in made)
        elif node.key.kind == "event":
            yield from (Key("decision", entry.id) for entry in self._about(node.key.id))

    def _entry(self, key: Key) -> Entry | None:
        found = self._journal.get(key.id)
        return found if found is not None and found.kind == KIND else None

    @cached_property
    def _first(self) -> list[Entry]:
        return list(islice(self._journal.entries(KIND), DECISIONS))

    def _events(self, entry: Entry) -> Iterator[Key]:
        said = entry.body
        wanted = dict.fromkeys(ENTITIES, said["entity"]) | {"account": said["account"]}
        at, columns = datetime.fromisoformat(said["time"]), ["event_id", "event_time", "known_at"]
        for rows in scan.where(self._tables, log.TABLE, wanted, columns):
            for row in rows.to_pylist():
                if row["event_time"] < at and row["known_at"] <= at:
                    yield Key("event", row["event_id"].hex())

    def _about(self, id: str) -> Iterator[Entry]:
        columns = [*ENTITIES, "account", "known_at"]
        found = scan.by_id(self._tables, log.TABLE, "event_id", id, columns)
        for row in found if self._first else ():
            keys = {row[name] for name in columns[:-1]} - {None}
            for entry in self._first:
                said = entry.body
                if keys & {said["entity"], said["account"]} and row["known_at"] <= entry.at:
                    yield entry


def _decision_node(entry: Entry) -> Node:
    verdict = entry.body["verdict"]
    what = f"about '{entry.body['entity']}': to {verdict['route']}"
    return Node(key=Key("decision", entry.id), what=what, at=entry.at)
