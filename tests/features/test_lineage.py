"""Lineage of facts: each event goes back to file, row and contract, and forward to snapshots."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cluster import canonical
from cluster.errors import WrongUse
from cluster.settings import CONFIGS, Settings
from cluster.workspace import Workspace
from features import compaction, ingest, log
from features.contracts import load_contracts
from features.ingest import origin, quarantine
from features.lineage import Branch, Key, Lineage, Node, scan, walk
from features.lineage.origins import Origins
from features.lineage.rows import Events, Refused
from features.lineage.snapshots import Snapshots
from features.sources.mapping import SourceMapping

CONTRACTS = load_contracts(CONFIGS / "contracts")
EVENT = {
    "kind": "touch",
    "name": "web_visit",
    "event_time": {"column": "at"},
    "known_at": {"column": "known"},
    "keys": {"account": "account"},
    "number": {"column": "seconds"},
}
MAPPING = SourceMapping.model_validate(
    {"source": "shop", "files": [{"file": "visits*.csv", "row_key": "id", "events": [EVENT]}]}
)
FIRST = ["1,2026-01-05T10:00:00Z,2026-01-05T11:00:00Z,a,31",
         "2,2026-01-06T10:00:00Z,2026-01-06T11:00:00Z,b,32",
         "3,2026-01-07T10:00:00Z,2026-01-07T11:00:00Z,c,a secret word"]  # fmt: skip
SECOND = ["4,2026-02-05T10:00:00Z,2026-02-05T11:00:00Z,a,41",
          "2,2026-01-06T10:00:00Z,2026-02-06T11:00:00Z,moved,42"]  # fmt: skip


def _take_in(workspace: Workspace, folder: Path, name: str, rows: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    text = "\n".join(["id,at,known,account,seconds", *rows, ""])
    (folder / name).write_text(text, encoding="utf-8")
    what = ingest.Source(mapping=MAPPING, folder=folder, terms=CONTRACTS)
    ingest.source(workspace, what, "inline", lambda done, total, unit: None)


def _fill(workspace: Workspace, folder: Path) -> None:
    """Two files of visits: one bad row, one correction that moved."""
    _take_in(workspace, folder, "visits-1.csv", FIRST)
    _take_in(workspace, folder, "visits-2.csv", SECOND)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the files and of the workspace that all tests read."""
    return tmp_path_factory.mktemp("lineage")


@pytest.fixture(scope="module")
def shop(place: Path) -> Iterator[Workspace]:
    """Return a workspace with two files of visits: read it, do not change it."""
    with Workspace.open(Settings(home=place / "home", buckets=2)) as opened:
        _fill(opened, place / "shop")
        yield opened


def _known(workspace: Workspace) -> tuple[Lineage, Events]:
    origins = Origins(workspace)
    events = Events(workspace, origins)
    families = [origins, Snapshots(workspace.tables), events, Refused(workspace, origins)]
    return Lineage(families), events


def _events(workspace: Workspace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = workspace.tables.read(log.TABLE).to_pylist()
    return [row for row in rows if row["kind"] != log.RETRACTION]


def _all(branch: Branch) -> Iterator[Node]:
    yield branch.node
    for inner in branch.branches:
        yield from _all(inner)


def _up(workspace: Workspace, id: str) -> dict[str, Node]:
    lineage, _ = _known(workspace)
    return {node.key.kind: node for node in _all(walk(lineage.find(id), lineage.up))}


def _cell(folder: Path, file: str, row: int, column: str) -> str:
    with (folder / file).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))[row - 1][column]


def test_each_event_leads_to_its_row_file_mapping_and_contract(
    shop: Workspace, place: Path
) -> None:
    """The row named holds the very value; the file and the contract are named by their bytes."""
    folder = place / "shop"
    for event in _events(shop):
        found = _up(shop, event["event_id"].hex())
        file = found["row"].what.split("'")[1]
        row = int(found["row"].key.id.partition(":")[2])
        assert int(_cell(folder, file, row, "seconds")) == event["number"]
        assert found["file"].key.id == canonical.sha256_hex((folder / file).read_bytes())
        assert (
            found["contract"].what == f"contract of 'touch', version {CONTRACTS['touch'].version}"
        )
        assert found["mapping"].key.id == origin.read(shop.blobs, event["ingest"]).mapping


def test_an_event_without_origin_leads_nowhere(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above rests on the event's own word: without it no file is found."""
    read = scan.by_id
    monkeypatch.setattr(
        scan, "by_id", lambda *asked: [{**row, "ingest": ""} for row in read(*asked)]
    )
    assert set(_up(shop, _events(shop)[0]["event_id"].hex())) == {"event"}


def test_an_event_shows_other_versions_and_marks_of_its_row(shop: Workspace) -> None:
    """The correction lives with another account, so a mark stands where the first one lives."""
    first, second = sorted(
        (e for e in _events(shop) if e["number"] in {32, 42}), key=lambda e: e["number"]
    )
    lineage, events = _known(shop)
    beside = events.versions(lineage.find(first["event_id"].hex()))
    mark, other = sorted(beside, key=lambda node: not node.what.startswith("mark"))
    assert other.key.id == second["event_id"].hex()
    assert second["event_id"].hex()[:12] in mark.what
    assert [node.key.id for node in lineage.up(mark)][-1] == other.key.id


def test_a_quarantined_row_leads_to_its_row_and_shows_no_cell(shop: Workspace) -> None:
    """Place and contract, not what stands in the row."""
    (bad,) = shop.tables.read(quarantine.TABLE).to_pylist()
    found = _up(shop, bad["quarantine_id"].hex())
    assert found["row"].what == "row 3 of 'visits-1.csv' of source 'shop'"
    assert found["contract"].what.startswith("contract of 'touch'")
    assert not [node for node in found.values() if "secret" in node.what]


def test_an_event_leads_forward_to_the_commit_it_came_with(shop: Workspace) -> None:
    """Not to a later one that only holds it too."""
    chain = shop.tables.history(log.TABLE)
    lineage, _ = _known(shop)
    came = {}
    for event in _events(shop):
        (snapshot,) = lineage.down(lineage.find(event["event_id"].hex()))
        came[event["number"]] = snapshot.key.id
    first, second = (f"{log.TABLE}@{commit.snapshot}" for commit in (chain[0], chain[-1]))
    assert came == {31: first, 32: first, 41: second, 42: second}


def test_rewritten_files_are_looked_through(workspace: Workspace, tmp_path: Path) -> None:
    """After a compaction an event still goes forward to the commit it came with."""
    _fill(workspace, tmp_path / "shop")
    before = {c.snapshot for c in workspace.tables.history(log.TABLE)}
    compaction.rewrite(workspace, most_files=1)
    assert {c.snapshot for c in workspace.tables.history(log.TABLE)} > before
    lineage, _ = _known(workspace)
    for event in _events(workspace):
        (snapshot,) = lineage.down(lineage.find(event["event_id"].hex()))
        assert int(snapshot.key.id.partition("@")[2]) in before


def test_a_snapshot_of_the_log_goes_back_to_all_files_so_far(shop: Workspace) -> None:
    """The first rests on one file, the second on both."""
    lineage, _ = _known(shop)
    files = []
    for commit in (shop.tables.history(log.TABLE)[0], shop.tables.history(log.TABLE)[-1]):
        root = lineage.find(f"{log.TABLE}@{commit.snapshot}")
        found = [n.what.split("'")[1] for n in _all(walk(root, lineage.up)) if n.key.kind == "file"]
        files.append(sorted(found))
    assert files == [["visits-1.csv"], ["visits-1.csv", "visits-2.csv"]]


def test_a_file_and_a_contract_lead_forward_to_the_log(shop: Workspace, place: Path) -> None:
    """From the bytes of a file to the ingestion's snapshot, and from a contract to all of them."""
    lineage, _ = _known(shop)
    content = canonical.sha256_hex((place / "shop" / "visits-2.csv").read_bytes())
    root = lineage.find(content[:20])
    down = {node.key.id for node in _all(walk(root, lineage.down))}
    last = shop.tables.history(log.TABLE)[-1].snapshot
    assert root.key == Key("file", content)
    assert f"{log.TABLE}@{last}" in down


def test_events_made_in_memory_have_an_origin_too(workspace: Workspace, tmp_path: Path) -> None:
    """Their commit says nothing, so the rows themselves are asked."""
    _fill(workspace, tmp_path / "shop")
    rows = workspace.tables.read(log.TABLE).select(log.CANDIDATE.names).slice(0, 1).to_pylist()
    rows[0] |= {"row_key": "another", "kind": "touch", "name": "web_visit", "source": "memory"}
    ingest.ingest(workspace, CONTRACTS, pa.Table.from_pylist(rows, schema=log.CANDIDATE))
    lineage, _ = _known(workspace)
    root = lineage.find(f"{log.TABLE}@{workspace.tables.head(log.TABLE)}")
    origins = [node.what for node in lineage.up(root) if node.key.kind == "origin"]
    assert sum("'memory' of source 'memory'" in what for what in origins) == 1


def test_a_wrong_id_is_told_what_would_be_right(shop: Workspace) -> None:
    """Unknown: the kinds, and the nearest. Ambiguous: the candidates."""
    lineage, _ = _known(shop)
    with pytest.raises(WrongUse, match="did you mean 'events'"):
        lineage.find("evnets")
    with pytest.raises(WrongUse, match="one of: contract, event, file"):
        lineage.find("f" * 32)
    with pytest.raises(WrongUse, match="6 characters or more"):
        lineage.find("abc")
    moved = next(e for e in _events(shop) if e["number"] == 42)["event_id"].hex()
    with pytest.raises(WrongUse, match=r"for 3: event .*; event .*: write more of it"):
        lineage.find(moved[:16])


def _node(name: str) -> Node:
    return Node(key=Key("thing", name), what=name)


def test_a_walk_shows_each_thing_once_and_ends() -> None:
    """Two ways to the same thing, and a circle: what was shown is named again, not followed."""
    links = {"a": ["b", "c"], "b": ["d"], "c": ["d", "a"], "d": ["a"]}
    tree = walk(_node("a"), lambda node: [_node(n) for n in links[node.key.id]])
    b, c = tree.branches
    assert [n.key.id for n in _all(tree)] == ["a", "b", "d", "c"]
    assert [inner.node.key.id for inner in b.branches] == ["d"]
    assert [node.key.id for node in c.again] == ["d"]


def test_a_walk_keeps_its_depth_and_width() -> None:
    """What is left out is counted."""
    tree = walk(_node("a"), lambda node: [_node(f"{node.key.id}{n}") for n in range(5)],
                depth=2, width=2)  # fmt: skip
    assert tree.more == 3
    assert [inner.node.key.id for inner in tree.branches] == ["a0", "a1"]
    assert all(not far.branches for inner in tree.branches for far in inner.branches)
