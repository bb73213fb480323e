"""The job of lineage: from a row of a file to the model and back, on the terminal and a page."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from features import log
from features.lineage import Branch, Lineage, Node, walk
from features.targets import load_target
from jobs import console
from jobs.lineage import page, run, tree
from jobs.lineage.answers import Decisions
from serving import registry
from serving.answer import record

if TYPE_CHECKING:
    from cluster.workspace import Workspace

TARGET = load_target("lead_qualification")


@pytest.fixture
def lineage(trained: Workspace) -> Lineage:
    """Return what is known of lineage in the small trained world."""
    return run.families(trained)[0]


def _all(branch: Branch) -> Iterator[Node]:
    yield branch.node
    for inner in branch.branches:
        yield from _all(inner)


def _up(lineage: Lineage, id: str) -> list[str]:
    found = walk(lineage.find(id), lineage.up, width=50)
    return [f"{node.key.kind} {node.key.id}" for node in _all(found)]


def _head(trained: Workspace, table: str) -> str:
    return f"{table}@{trained.tables.head(table)}"


def test_scores_lead_back_to_rows_model_training_set_and_log(
    trained: Workspace, lineage: Lineage
) -> None:
    """Every derived snapshot names its parents, down to the mapping and contracts of the world."""
    model = registry.Registry(trained.blobs, trained.refs, trained.journal)
    id = model.resolve(registry.alias(TARGET.name))
    found = _up(lineage, _head(trained, TARGET.scores_table))
    assert f"model {id}" in found
    for table in (TARGET.scoring_table, TARGET.training_table, log.TABLE):
        assert f"snapshot {_head(trained, table)}" in found
    assert sum(line.startswith("contract ") for line in found) == 18


def test_an_event_leads_forward_to_the_model_trained_on_it(
    trained: Workspace, lineage: Lineage
) -> None:
    """Event, log, training set, model; and the scores under that model."""
    event = trained.tables.read(log.TABLE, columns=["event_id"])["event_id"][0].as_py().hex()
    down = [node.key for node in _all(walk(lineage.find(event), lineage.down))]
    model = trained.refs.get(registry.alias(TARGET.name))
    assert model is not None
    ids = {key.id for key in down}
    assert {model.target, _head(trained, TARGET.training_table)} < ids
    assert _head(trained, TARGET.scores_table) in ids


@pytest.mark.parametrize("property", ["funnelcast.events", "funnelcast.rows", "funnelcast.model"])
def test_without_what_a_commit_says_the_way_back_is_cut(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch, property: str
) -> None:
    """The tests above rest on the properties of commits: without one, a parent is missing."""
    whole = _up(run.families(trained)[0], _head(trained, TARGET.scores_table))
    read = trained.tables.history

    def silent(name: str) -> Any:
        said = read(name)
        for commit in said:
            commit.properties.pop(property, None)  # type: ignore[attr-defined]
        return said

    monkeypatch.setattr(trained.tables, "history", silent)
    cut = _up(run.families(trained)[0], _head(trained, TARGET.scores_table))
    assert set(cut) < set(whole)


def test_a_run_leads_to_what_it_read_and_wrote(trained: Workspace, lineage: Lineage) -> None:
    """By its key, from its report."""
    (scored,) = [r for r in trained.runs.all() if r.job == "score"]
    root = lineage.find(scored.key)
    assert [n.key.kind for n in lineage.up(root)] == ["snapshot", "model"]
    assert [n.key.id for n in lineage.down(root)] == [_head(trained, TARGET.scores_table)]


def test_an_alias_a_table_and_a_beginning_name_things_too(
    trained: Workspace, lineage: Lineage
) -> None:
    """What people type."""
    model = lineage.find(registry.alias(TARGET.name))
    assert lineage.find(model.key.id[:10]) == model
    assert lineage.find(TARGET.scores_table).key.id == _head(trained, TARGET.scores_table)


def _decision(workspace: Workspace, trained: Workspace) -> str:
    """Record a decision like the service's in a workspace; returns its id."""
    rows = trained.tables.read(TARGET.scores_table).slice(0, 1).to_pylist()
    at = datetime(2026, 3, 1, tzinfo=UTC)
    body = {
        "entity": rows[0]["entity"],
        "account": rows[0]["account"],
        "time": rows[0]["time"].isoformat(),
        "verdict": {"route": rows[0]["route"]},
        "basis": {"model": rows[0]["model"], "target": f"{TARGET.name}@{TARGET.version}"},
    }
    return workspace.journal.record(record.KIND, body, now=at).id


def test_a_decision_leads_to_its_model_and_the_events_it_saw(
    trained: Workspace, workspace: Workspace
) -> None:
    """None of them was known after its time; and each leads forward to the decision."""
    id = _decision(workspace, trained)
    known = Decisions(workspace.journal, trained.tables)
    (root,) = known.find(id)
    model, *events = list(known.up(root))
    assert model.kind == "model"
    said = workspace.journal.get(id)
    assert said is not None
    rows = trained.tables.read(log.TABLE, columns=["event_id", "event_time", "known_at"])
    times = {r["event_id"].hex(): r for r in rows.to_pylist()}
    assert events
    for key in events:
        row = times[key.id]
        assert row["event_time"] < datetime.fromisoformat(said.body["time"]) >= row["known_at"]
    seen = set(known.down(Node(key=events[0], what="")))
    assert root.key in seen


def _main(monkeypatch: pytest.MonkeyPatch, home: Path, *words: str) -> int:
    monkeypatch.setenv("FUNNELCAST_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["lineage", *words])
    with pytest.raises(SystemExit) as ended:
        console.main(run.JOB)
    return int(ended.value.code or 0)


def test_the_terminal_shows_both_trees_and_leaves_nothing_behind(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line per thing; no run record, no journal entry, no run event."""
    home, before = trained.settings.home, len(trained.runs.all())
    told = [path.read_bytes() for path in (home / "openlineage").iterdir()]
    assert _main(monkeypatch, home, _head(trained, TARGET.training_table)) == 0
    said = capsys.readouterr().out
    for words in ("made from", "used for", "contract of 'lead', version", "model ", "origin "):
        assert words in said
    assert len(trained.runs.all()) == before
    assert [path.read_bytes() for path in (home / "openlineage").iterdir()] == told


def test_json_holds_the_trees_and_a_wrong_id_is_exit_code_2(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For programs: the same trees as values."""
    home = trained.settings.home
    assert _main(monkeypatch, home, TARGET.scores_table, "--no-down", "--depth", "1", "--json") == 0
    trees = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert "down" not in trees
    assert {b["kind"] for b in trees["up"]["branches"]} == {"snapshot", "model"}
    assert _main(monkeypatch, home, "0123456789abcdef" * 4) == 2
    assert "an id must be that of one of" in capsys.readouterr().err


def test_the_page_is_whole_and_loads_nothing(trained: Workspace, lineage: Lineage) -> None:
    """Well-formed, every thing of both trees in it, and no address of anything to fetch."""
    root = lineage.find(TARGET.training_table)
    up, down = walk(root, lineage.up), walk(root, lineage.down)
    text = page.html(tree.Found(root=root, up=up, down=down))
    svg = text[text.index("<svg") : text.index("</svg>") + 6]
    titles = [e.text or "" for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("title")]
    shown = {node.key.id for branch in (up, down) for node in _all(branch)}
    assert {title.splitlines()[-1] for title in titles} == shown
    assert svg.count('id="asked"') == text.count('getElementById("asked")') == 1
    assert not re.search(r"(src|href)=|url\(|@import", text)


def _branch(name: str, *inner: dict[str, Any]) -> dict[str, Any]:
    plain = {"kind": "thing", "id": name, "what": "", "at": None, "again": [], "more": 0}
    return {**plain, "branches": list(inner)}


def test_boxes_of_the_picture_never_share_a_place() -> None:
    """A parent stands between its branches, and all columns lie on their side."""
    wide = _branch("a", _branch("b", _branch("c"), _branch("d")), _branch("e"), _branch("f"))
    boxes = page.layout({"root": wide, "up": wide, "down": _branch("a", _branch("g"))})
    places = [(box.column, box.row) for box in boxes]
    assert len(set(places)) == len(places) == 7
    for column in {box.column for box in boxes}:
        rows = sorted(box.row for box in boxes if box.column == column)
        assert all(below - above >= 1 for above, below in itertools.pairwise(rows))
    assert {box.column for box in boxes} == {-2, -1, 0, 1}


def test_every_run_of_the_pipeline_told_its_start_and_end(trained: Workspace) -> None:
    """With the datasets: files with their hash in, snapshots out, one chain to the model."""
    files = sorted((trained.settings.home / "openlineage").iterdir())
    events = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    parents = {e["run"]["facets"].get("parent", {}).get("job", {}).get("name") for e in events}
    assert parents == {None, "pipeline.small"}
    starts = [e["run"]["runId"] for e in events if e["eventType"] == "START"]
    ended = {e["run"]["runId"]: e for e in events if e["eventType"] == "COMPLETE"}
    assert set(starts) == set(ended)
    assert len(starts) == 8
    wrote = {e["job"]["name"]: {d["name"] for d in e["outputs"]} for e in ended.values()}
    assert wrote["ingest"] >= {"events", "quality"}
    assert wrote["score"] == {TARGET.scores_table}
    read = {e["job"]["name"]: {d["name"] for d in e["inputs"]} for e in ended.values()}
    assert read["score"] == {TARGET.scoring_table, registry.alias(TARGET.name)}
    assert read["ingest"] == {"world/world"}


def test_the_quality_of_an_ingestion_is_told_per_field(trained: Workspace) -> None:
    """Rows and nulls by field, statistics of what was written."""
    files = sorted((trained.settings.home / "openlineage").iterdir())
    events = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    (done,) = [e for e in events if (e["job"]["name"], e["eventType"]) == ("ingest", "COMPLETE")]
    (written,) = [d for d in done["outputs"] if d["name"] == log.TABLE]
    metrics = written["facets"]["dataQualityMetrics"]["columnMetrics"]
    assert metrics["event_time"]["count"] > 0
    rows = written["outputFacets"]["outputStatistics"]["rowCount"]
    kinds = trained.tables.read(log.TABLE, columns=["kind"])["kind"].to_pylist()
    assert rows == len(kinds) - kinds.count(log.RETRACTION)
    assert [f["name"] for f in written["facets"]["schema"]["fields"]] == log.SCHEMA.names


def test_a_failed_run_is_told_without_its_words(workspace: Workspace) -> None:
    """FAIL with the kind of error; ABORT for an interruption."""
    for error in (ValueError("Ada Lovelace"), KeyboardInterrupt()):

        def broken(w: Workspace, s: Any, p: Any, error: BaseException = error) -> console.Report:
            raise error

        job = console.Job(verb="ingest", summary="", settings=run.LineageSettings, needs=None,
                          inputs=lambda w, s: {}, run=broken)  # fmt: skip
        with pytest.raises(type(error)):
            console.perform(job, run.LineageSettings(id="x"), workspace, lambda *a: None)
    (path,) = (workspace.settings.home / "openlineage").iterdir()
    told = [json.loads(line)["eventType"] for line in path.read_text().splitlines()]
    assert told == ["START", "FAIL", "START", "ABORT"]
    assert "Lovelace" not in path.read_text()
