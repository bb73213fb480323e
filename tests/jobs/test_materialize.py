"""The job: what it refuses, what it makes for each purpose, and what it says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from cluster.errors import WrongUse
from cluster.workspace import Workspace
from features import log
from jobs import console
from jobs.materialize.question import MaterializeSettings
from jobs.materialize.run import JOB
from tests.features import child_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AS_OF = "2024-09-01T00:00:00Z"
PERIOD = {"from_": "2024-03-01T00:00Z", "to": "2024-04-05T02:00+02:00", "every_days": 14.0}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Open a workspace with a small log."""
    home = tmp_path_factory.mktemp("materialize")
    with Workspace.open(child_plan.settings(home, buckets=4)) as opened:
        child_plan.fill(opened)
        yield opened


def _done(workspace: Workspace, **options: Any) -> console.Done:
    said = {"target": "lead_qualification", "as_of": AS_OF, "runner": "inline", **options}
    return console.perform(JOB, MaterializeSettings(**said), workspace, child_plan.quiet)


def _rows(workspace: Workspace, done: console.Done) -> pa.Table:
    wrote = done.report["wrote"]
    rows = workspace.tables.read(wrote["table"], wrote["snapshot"])
    return rows.sort_by([("entity", "ascending"), ("time", "ascending")])


def test_the_report_names_rows_content_and_tag(workspace: Workspace) -> None:
    """And the same again does nothing."""
    done = _done(workspace)
    wrote = done.report["wrote"]
    assert wrote["table"] == "training_lead_qualification"
    assert wrote["rows"] == done.report["figures"]["rows"] > 0
    assert wrote["tag"].endswith(wrote["content"][:16])
    assert done.report["figures"]["computed"] == 4
    assert _done(workspace).unchanged


def test_a_backfill_has_every_moment_of_its_period(workspace: Workspace) -> None:
    """Its first, then every fourteen days, and not its end."""
    done = _done(workspace, purpose="backfill", **PERIOD)
    days = [datetime(2024, 3, 1, tzinfo=UTC) + timedelta(days=d) for d in (0, 14, 28)]
    assert sorted(set(_rows(workspace, done)["time"].to_pylist())) == days
    assert "3 moments, the last 2024-03-29T00:00:00+00:00" in done.report["decided"]
    weekly = _done(workspace, purpose="backfill", **{**PERIOD, "every_days": 7.0})
    assert len(set(_rows(workspace, weekly)["time"].to_pylist())) == 5


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_given_spine_is_answered_row_by_row(
    workspace: Workspace, tmp_path: Path, kind: str
) -> None:
    """Rows of a backfill, in no order and some twice, with one that nobody knows: the same rows."""
    backfill = _rows(workspace, _done(workspace, purpose="backfill", **PERIOD))
    asked = backfill.select(["time", "entity"])
    unknown = pa.table({"time": asked["time"][:1], "entity": ["nobody"]})
    asked = pa.concat_tables(
        [asked.slice(3), unknown, asked.slice(0, 20)], promote_options="permissive"
    )
    path = tmp_path / f"asked.{kind}"
    (pq.write_table if kind == "parquet" else pyarrow.csv.write_csv)(asked, path)
    done = _done(workspace, purpose="given", spine=str(path))
    assert done.report["wrote"]["table"] == "given_lead_qualification"
    assert _rows(workspace, done).equals(backfill)
    left = f"1 of {backfill.num_rows + 1:,} rows given are left out: no such lead was known then"
    assert left in done.report["decided"]
    assert [read["kind"] for read in done.report["inputs"]] == ["table", "file"]


def test_another_file_under_the_same_name_is_another_run(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Its content counts."""
    path, rows = tmp_path / "asked.csv", []
    for day in (1, 2, 2):
        path.write_text(f"entity,time,more\nlead-1,2024-05-0{day}T00:00:00+00:00,x\n")
        rows.append(_done(workspace, purpose="given", spine=str(path)))
    assert [done.unchanged for done in rows] == [False, False, True]
    assert rows[0].report["wrote"]["content"] != rows[1].report["wrote"]["content"]


def test_a_snapshot_of_the_log_can_be_named(workspace: Workspace) -> None:
    """A backfill of the log that claims to be old changes a training set: unless the snapshot of
    the log is named.
    """
    before, pinned = _done(workspace), log.pinned(workspace.tables)
    events = workspace.tables.read(log.TABLE)
    leads = pa.array([f"old-{n}" for n in range(events.num_rows)])
    old = events.select(log.CANDIDATE.names)
    old = old.set_column(old.column_names.index("lead"), "lead", leads)
    old = old.set_column(old.column_names.index("row_key"), "row_key", leads)
    workspace.tables.append(log.TABLE, log.identified(old.cast(log.CANDIDATE)))
    assert _content(_done(workspace)) != _content(before)
    assert _content(_done(workspace, log_snapshot=pinned)) == _content(before)


def _content(done: console.Done) -> str:
    content: str = done.report["wrote"]["content"]
    return content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"purpose": "scorin"}, "did you mean 'scoring'"),
        ({"purpose": "backfill"}, "--from must come with --purpose backfill"),
        ({"from_": AS_OF}, "--from must come with --purpose backfill, and only with it, got it"),
        ({"purpose": "given"}, "--spine must come with --purpose given"),
        ({"to": AS_OF}, "--to must come with --from"),
        ({"purpose": "backfill", **PERIOD, "from_": "May"}, "--from must be an ISO 8601 time"),
        ({"purpose": "backfill", **PERIOD, "to": "2024-05-01"}, "--to must name its time zone"),
        ({"purpose": "backfill", **PERIOD, "to": "2024-09-02T00:00Z"}, r"--from < --to <= what"),
        ({"purpose": "backfill", **PERIOD, "every_days": 0.0}, "from 1e-05 to 36,525, got 0.0"),
        ({"purpose": "backfill", **PERIOD, "every_days": 0.001}, "at most 10,000 moments, got 35"),
        ({"purpose": "backfill", **PERIOD, "every_days": 1e300}, "got 1e\\+300"),
        ({"purpose": "given", "spine": "no.csv"}, r"must be a file \*.parquet or \*.csv, got 'no"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    workspace: Workspace, options: dict[str, Any], words: str
) -> None:
    """Before any work."""
    with pytest.raises(WrongUse, match=words) as refused:
        _done(workspace, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("entity,when\na,1\n", "must have a column 'time', got none: valid are: entity, when"),
        ("entity,time\na,2024-05-01\n", "a time must be ISO 8601 with its zone, got '2024-05-01'"),
        ("entity,time\n,2024-05-01T00:00Z\n", "every row must have its entity, got 1 null"),
        ("entity,time\na,2024-09-02T00:00Z\n", "no time must lie after what is known"),
        ("entity,time\na,b,c\n", "must be read: CSV parse error"),
        ("", "must be read: Empty CSV file"),
    ],
)
def test_a_spine_that_cannot_be_read_is_refused_in_one_line(
    workspace: Workspace, tmp_path: Path, text: str, words: str
) -> None:
    """The file, the rule and the value."""
    path = tmp_path / "asked.csv"
    path.write_text(text)
    with pytest.raises(WrongUse, match=words) as refused:
        _done(workspace, purpose="given", spine=str(path))
    assert "\n" not in str(refused.value)
