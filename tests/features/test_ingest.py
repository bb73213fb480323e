"""Ingestion: rows that move between accounts, writers that meet, runs that are cut short."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.settings import CONFIGS
from cluster.tables import Tables
from cluster.workspace import Workspace
from features import ingest, log
from features.contracts import load_contracts
from features.ingest import land, origin, retraction, run
from features.sources.mapping import SourceMapping
from tests.drills import mostly

CONTRACTS = load_contracts(CONFIGS / "contracts")
DAY = 86_400_000_000
START = 1_700_000_000_000_000
MAPPING = SourceMapping.model_validate(
    {
        "source": "shop",
        "files": [
            {
                "file": "visits*.csv",
                "row_key": "id",
                "events": [
                    {
                        "kind": "touch",
                        "name": "web_visit",
                        "event_time": {"column": "at"},
                        "known_at": {"column": "at"},
                        "keys": {"account": "account"},
                        "number": {"column": "seconds"},
                    }
                ],
            }
        ],
    }
)


@pytest.fixture
def visits() -> Callable[..., pa.Table]:
    """Return a function that makes visits from (row, account, day known, seconds)."""

    def make(*rows: tuple[str, str, int, int]) -> pa.Table:
        plain = [
            {
                "row_key": row,
                "source": "shop",
                "kind": "touch",
                "name": "web_visit",
                "event_time": START,
                "known_at": START + day * DAY,
                "account": account,
                "number": seconds,
            }
            for row, account, day, seconds in rows
        ]
        whole = [pa.field(f.name, _stored(f.type)) for f in log.CANDIDATE]
        return pa.Table.from_pylist(plain, schema=pa.schema(whole)).cast(log.CANDIDATE)

    return make


def _stored(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def _seen(workspace: Workspace, accounts: str, day: float) -> list[int]:
    """What a reader of the shards of some accounts sees on a day."""
    events = workspace.tables.read(log.TABLE)
    mine = events.filter(pc.is_in(events["shard"], pa.array(list(accounts))))
    at = datetime.fromtimestamp(START / 1e6, UTC) + timedelta(days=day)
    visible = log.visible(mine, at)
    return sorted(visible.filter(pc.equal(visible["kind"], "touch"))["number"].to_pylist())


MOVES = [("r", "a", 1, 10), ("r", "b", 2, 20), ("r", "a", 3, 30), ("q", "a", 1, 1)]


@pytest.mark.parametrize(("order",), mostly([(o,) for o in permutations((2, 1, 0))], 3))
def test_a_row_that_moves_is_seen_in_one_account_at_a_time(
    workspace: Workspace, visits: Callable[..., pa.Table], order: tuple[int, ...]
) -> None:
    """Whatever the order in which its versions arrive."""
    for place in (*order, 3):
        ingest.ingest(workspace, CONTRACTS, visits(MOVES[place]))
    seen = [[_seen(workspace, accounts, day) for accounts in ("a", "b", "ab")] for day in (1, 2, 3)]
    assert seen[0] == [[1, 10], [], [1, 10]]
    assert seen[1] == [[1], [20], [1, 20]]
    assert seen[2] == [[1, 30], [], [1, 30]]


def test_versions_in_one_lot_are_told_apart_too(
    workspace: Workspace, visits: Callable[..., pa.Table]
) -> None:
    """And a replay adds no mark."""
    ingest.ingest(workspace, CONTRACTS, visits(*MOVES))
    rows = workspace.tables.read(log.TABLE).num_rows
    assert _seen(workspace, "b", 3) == []
    ingest.ingest(workspace, CONTRACTS, visits(*reversed(MOVES)))
    assert workspace.tables.read(log.TABLE).num_rows == rows


def test_without_marks_both_accounts_keep_the_row(
    workspace: Workspace, visits: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: this is what the marks are for."""
    monkeypatch.setattr(retraction, "marks", lambda versions: log.SCHEMA.empty_table())
    ingest.ingest(workspace, CONTRACTS, visits(*MOVES))
    assert _seen(workspace, "b", 3) == [20]


def _raced(workspace: Workspace, other: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another ingestion add `other` when ours is about to commit."""
    commit_after, others = Tables.commit_after, [other]

    def late(self: Tables, name: str, files: Any, **said: Any) -> int | None:
        if name == log.TABLE and others:
            ingest.ingest(workspace, CONTRACTS, others.pop())
        return commit_after(self, name, files, **said)

    monkeypatch.setattr(Tables, "commit_after", late)


def test_rows_that_another_writer_added_meanwhile_are_not_doubled(
    workspace: Workspace, visits: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours are looked at again before each try; a row that moved is marked too."""
    ours, theirs = [("x", "a", 1, 1), *MOVES[1:]], [("x", "a", 1, 1), MOVES[0]]
    _raced(workspace, visits(*theirs), monkeypatch)
    result = ingest.ingest(workspace, CONTRACTS, visits(*ours))
    assert (result.added, result.known) == (3, 1)
    events = workspace.tables.read(log.TABLE)
    assert len(pc.unique(events["event_id"])) == events.num_rows
    assert (_seen(workspace, "a", 3), _seen(workspace, "b", 3)) == ([1, 1, 30], [])


def test_a_commit_that_ignores_the_head_doubles_rows(
    workspace: Workspace, visits: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: compare-and-swap switched off."""
    ours = visits(("x", "a", 1, 1), ("y", "a", 1, 2))
    _raced(workspace, ours, monkeypatch)
    raced = Tables.commit_after

    def careless(self: Tables, name: str, files: Any, **said: Any) -> int | None:
        raced(self, name, [], **{**said, "head": -1})
        return self.commit(name, files)

    monkeypatch.setattr(Tables, "commit_after", careless)
    ingest.ingest(workspace, CONTRACTS, ours)
    assert workspace.tables.read(log.TABLE).num_rows > 2


@pytest.fixture
def what(tmp_path: Path) -> ingest.Source:
    """Return a source of two files in several strips, with duplicates between them."""
    rows = [f"v{k},2024-03-{k % 28 + 1:02d}T10:00:00Z,acc-{k % 7},{k % 600}" for k in range(600)]
    for number, part in enumerate((rows[:400], rows[350:])):
        text = "\n".join(["id,at,account,seconds", *part, "bad,yesterday,acc-1,5"]) + "\n"
        (tmp_path / f"visits{number}.csv").write_text(text)
    return ingest.Source(mapping=MAPPING, folder=tmp_path, terms=CONTRACTS, strip_bytes=4_000)


def _quiet(done: int, total: int, words: str) -> None:
    pass


def test_every_event_names_its_file_and_row(workspace: Workspace, what: ingest.Source) -> None:
    """The way back to the source needs the log and one document."""
    result = ingest.source(workspace, what, "inline", _quiet)
    assert (result.added, result.known, result.quarantined) == (600, 50, 2)
    for event in workspace.tables.read(log.TABLE).slice(0, 40).to_pylist():
        found = origin.read(workspace.blobs, event["ingest"])
        line = (what.folder / found.file).read_text().splitlines()[event["source_row"]]
        assert line.split(",")[0] == event["row_key"].rpartition(":")[2]
        assert "touch" in found.contracts


def test_a_run_cut_short_is_completed(
    workspace: Workspace, what: ingest.Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strips that landed are not read again; the end is that of a run of one piece."""
    land_once, landed = run.Begun.land, []

    def until_third(self: run.Begun, task: Any, written: Any) -> Any:
        if len(landed) == 3:
            raise KeyboardInterrupt
        landed.append(task)
        return land_once(self, task, written)

    monkeypatch.setattr(run.Begun, "land", until_third)
    with pytest.raises(KeyboardInterrupt):
        ingest.source(workspace, what, "inline", _quiet)
    monkeypatch.setattr(run.Begun, "land", land_once)
    result = ingest.source(workspace, what, "inline", _quiet)
    assert result.resumed >= 2
    assert (result.added, result.known, result.quarantined) == (600, 50, 2)
    assert workspace.tables.read(log.TABLE).num_rows == 600


def test_ids_of_other_writers_are_looked_for(
    workspace: Workspace, what: ingest.Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strips written apart, as on Ray, leave every row once; mutant: not looking doubles them."""
    apart = {"disjoint": False}
    begun = run.begin(workspace, what)
    written = [(t, run.write(workspace, t, run.known(workspace, None, None))) for t in begun.todo]
    for _, strip in written:
        begun.gates.events.land(strip.events, {}, versions=strip.versions, **apart)
    assert workspace.tables.read(log.TABLE).num_rows == 600
    monkeypatch.setattr(
        land.Landing, "_without", lambda self, files, head: (files, 0, land._none())
    )
    careless = land.Landing(workspace.tables, log.TABLE, None)
    careless.land(written[0][1].events, {}, **apart)
    assert workspace.tables.read(log.TABLE).num_rows > 600


@pytest.mark.drill
@pytest.mark.ray
def test_both_runners_fill_the_same_log(
    workspace: Workspace, what: ingest.Source, ray_session: None, tmp_path: Path
) -> None:
    """Actors on two nodes that do not see one another's rows; threads of this process that do."""
    there = ingest.source(workspace, what, "ray", _quiet)
    settings = workspace.settings.model_copy(update={"home": tmp_path / "inline"})
    with Workspace.open(settings) as other:
        here = ingest.source(other, what, "inline", _quiet)
        logs = [_content(w, log.TABLE, "event_id") for w in (workspace, other)]
        refused = [_content(w, log.QUARANTINE, "quarantine_id") for w in (workspace, other)]
    assert logs[0].equals(logs[1])
    assert refused[0].num_rows == refused[1].num_rows == 1  # the same bad row in both files
    assert (there.counts, there.nodes) == (here.counts, 2)


def _content(workspace: Workspace, table: str, key: str) -> pa.Table:
    rows = workspace.tables.read(table)
    kept = [n for n in rows.column_names if n not in {"ingest", "source_row", "sealed", "subject"}]
    return rows.select(kept).take(pc.sort_indices(rows[key]))
